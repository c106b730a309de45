import { hasProgram } from './processes.ts';

/** Whether a program that some tests need is here. In continuous integration it must be: nothing is skipped there. */
export function hasOptional(program: string, what: string, pkg: string): boolean {
  if (hasProgram(program)) return true;
  const install = `apt-get install ${pkg}`;
  if (process.env.CI === 'true') throw new Error(`${program} is missing: ${install}`);
  process.stderr.write(`SKIPPED: ${what}. To run them: ${install}\n`);
  return false;
}
