import { isGlob } from '../glob.ts';
import type { Slot } from '../grammar.ts';
import { isExact, type Token } from '../tokens.ts';
import type { YamlPath } from '../yaml-source.ts';
import type { Argument } from './arguments.ts';
import type { ProgramFacts } from './facts.ts';
import type { Level, LintFinding } from './finding.ts';
import { canMeet, globShape, shapesOf } from './shape.ts';

/** Files of which nobody but their owner should see the content, whoever runs the command. */
const SECRETS = [
  '/etc/shadow',
  '/etc/gshadow',
  ...['/root', '/home/somebody'].map((home) => `${home}/.ssh/id_ed25519`),
  '/etc/ssh/ssh_host_ed25519_key',
  '/etc/ssl/private/key.pem',
  '/etc/fanout/node.key',
  '/proc/1/environ',
  '/proc/self/environ',
  '/proc/kcore',
  '/dev/sda',
  '/dev/mem',
];

/** What is wrong with the files that a program gets: patterns that lead out of where they seem to stay. */
export function pathFindings(
  program: string,
  facts: ProgramFacts | undefined,
  all: readonly Argument[],
  at: YamlPath,
): readonly LintFinding[] {
  return all.flatMap((argument): LintFinding[] => {
    const path = [...at, ...argument.path];
    const problem = wholeDisk(argument.token.text) ?? filesOf(program, facts, argument);
    return problem === undefined ? [] : [{ code: 'path', path, ...problem }];
  });
}

/** The same for the parameters of a handler, as far as they are written as paths. Its manifest bounds them too, where it runs. */
export function parameterFindings(
  handler: string,
  slots: ReadonlyMap<string, Slot>,
  at: YamlPath,
): readonly LintFinding[] {
  return [...slots].flatMap(([name, slot]) =>
    slot.flatMap((token): LintFinding[] => {
      const { text } = token;
      if (!text.startsWith('path:')) return [];
      const reached = wholeDisk(text) === undefined ? secretIn(token) : 'every file of the machine';
      if (reached === undefined) return [];
      const message = `"${text}" gives ${reached} to ${handler}, if the handler's manifest lets it have that`;
      const hint =
        'Name the files or folders that are needed: a manifest can be widened without a look at the policy.';
      return [{ level: 'warn', code: 'path', path: [...at, 'params', name], message, hint }];
    }),
  );
}

type Problem = Pick<LintFinding, 'level' | 'message' | 'hint'>;

function wholeDisk(text: string): Problem | undefined {
  if (!/^path:(?:\/\*\*|\/\*)+(?:\/\*)?$/.test(text) || !text.includes('**')) return undefined;
  return {
    level: 'danger',
    message: `"${text}" is every file of the machine`,
    hint: 'Name the folders that are needed, as path:/srv/**',
  };
}

function filesOf(program: string, facts: ProgramFacts | undefined, argument: Argument): Problem | undefined {
  const { token, role, to } = argument;
  if (facts?.paths === undefined || role !== 'free' || to < facts.paths.from) return undefined;
  const { shows } = facts.paths;
  const level: Level = shows === 'content' ? 'danger' : 'warn';
  const { text } = token;
  if (!text.startsWith('path:')) {
    const isOpen = text.startsWith('any:') || (isGlob(text) && !isExact(token) && text.includes('*'));
    if (isOpen) {
      const message = `"${text}" is any file for ${program}: in it a slash and ".." are characters like others`;
      return { level, message, hint: 'Write path:/..., which stays below its folder, also through links.' };
    }
  }
  if (shows !== 'content') return undefined;
  if (isExact(token) && !text.startsWith('/')) return undefined;
  const secret = secretIn(token);
  if (secret === undefined) return undefined;
  const message = `"${text}" lets ${program} show ${secret}`;
  return { level: 'danger', message, hint: 'Name the files or folders that are needed.' };
}

function secretIn(token: Token): string | undefined {
  return SECRETS.find((file) => shapesOf(token).some((shape) => canMeet(shape, globShape(file))));
}
