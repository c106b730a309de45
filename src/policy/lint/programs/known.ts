import { isGlob } from '../../glob.ts';
import type { ProgramFacts } from '../facts.ts';
import { canMeet, globShape } from '../shape.ts';
import { FILE_PROGRAMS } from './files.ts';
import { MACHINE_PROGRAMS } from './machine.ts';
import { NETWORK_PROGRAMS } from './network.ts';
import { SERVICE_PROGRAMS } from './services.ts';
import { STARTERS } from './starters.ts';

const ALL = [FILE_PROGRAMS, MACHINE_PROGRAMS, NETWORK_PROGRAMS, SERVICE_PROGRAMS, STARTERS].flat();

/** What is known of a program, by its bare name; undefined when nothing is. */
export function factsOf(program: string): ProgramFacts | undefined {
  const exact = ALL.find(({ names }) => names.split(' ').includes(program));
  if (exact !== undefined) return exact;
  const shape = globShape(program);
  return ALL.find(({ names }) =>
    names.split(' ').some((name) => isGlob(name) && name !== '[' && canMeet(globShape(name), shape)),
  );
}
