import * as v from 'valibot';
import { FanoutError } from '../lib/errors.ts';
import { refusedCharacter } from './characters.ts';
import { checkArgv } from './command-string.ts';
import { pathProblem } from './glob.ts';
import { schemaError } from './load.ts';
import { manifestSchema, type TestCase, testSchema } from './manifest-schema.ts';
import { assignmentOf, PARAMETER_NAME } from './names.ts';
import { compileParameter, type Parameter, valueProblem } from './parameters.ts';
import { Place } from './place.ts';
import type { SandboxProfile } from './policy.ts';
import { didYouMean } from './suggest.ts';
import { YamlSource } from './yaml-source.ts';

/** A word of a handler's command: itself, or the value of a parameter, which is never a part of a word. */
type Word =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'parameter'; readonly name: string };

/** What a handler is, takes and runs. */
export interface Manifest {
  readonly name: string;
  readonly description: string;
  /** A Serf query that it answers as well, where the policy says so. */
  readonly query: string | undefined;
  readonly params: ReadonlyMap<string, Parameter>;
  /** `./file` in its own folder, the bare name of a program, or an absolute path. */
  readonly program: string;
  readonly words: readonly Word[];
  /** The sandboxes in which it works; undefined: in all of them. */
  readonly profiles: readonly SandboxProfile[] | undefined;
  readonly needsNetwork: boolean;
  readonly output: 'text' | 'json';
}

/** A value that was given for a path: the real path has to be within the pattern too. */
interface ParameterPath {
  readonly path: string;
  readonly accepts: (realPath: string) => boolean;
  readonly pattern: string;
}

export type FilledCommand =
  | {
      readonly kind: 'filled';
      /** Behind the program. */
      readonly args: readonly string[];
      readonly paths: readonly ParameterPath[];
    }
  | { readonly kind: 'refused'; readonly reason: string };

/** Reads a manifest. Throws FanoutError CONFIG with file, line, excerpt and hint. `file` is for messages only. */
export function loadManifest(text: string, file: string): Manifest {
  return asConfig(() => {
    const source = new YamlSource(text, file);
    const result = v.safeParse(manifestSchema, source.value);
    if (!result.success) throw schemaError(source, result.issues);
    const { name, description, query, params, command, sandbox, output } = result.output;
    const place = new Place(source);
    const compiled = new Map(
      Object.entries(params).map(([key, parameter]) => {
        const here = place.at('params', key);
        if (!PARAMETER_NAME.test(key)) {
          throw here.error(`"${key}" is not a name of small letters, digits and _`, undefined, true);
        }
        return [key, compileParameter(key, parameter, here)] as const;
      }),
    );
    const [program = '', ...rest] = command;
    checkProgram(program, place.at('command', 0));
    const words = rest.map((word, index) => compileWord(word, compiled, place.at('command', index + 1)));
    for (const key of compiled.keys()) {
      if (words.some((word) => word.kind === 'parameter' && word.name === key)) continue;
      throw place
        .at('params', key)
        .error(`"${key}" has no place in the command`, `Add "{${key}}" to command.`, true);
    }
    return {
      name,
      description,
      query,
      params: compiled,
      program,
      words,
      profiles: sandbox?.profile,
      needsNetwork: sandbox?.network === 'host',
      output,
    };
  });
}

/** Reads the tests of a handler. Throws as `loadManifest` does. */
export function loadCases(text: string, file: string): readonly TestCase[] {
  return asConfig(() => {
    const source = new YamlSource(text, file);
    const result = v.safeParse(testSchema, source.value);
    if (!result.success) throw schemaError(source, result.issues);
    return result.output;
  });
}

/** Puts values, given as `name=value`, into the places of a handler's command; what is not given has its default. */
export function fillCommand({ params, words }: Manifest, assignments: readonly string[]): FilledCommand {
  const values = new Map<string, string>();
  for (const assignment of assignments) {
    const pair = assignmentOf(assignment);
    if (pair === undefined) return refused('a parameter is not of the form name=value');
    const parameter = params.get(pair.name);
    if (parameter === undefined) {
      const hint =
        didYouMean(pair.name, params.keys()) ?? `It takes ${[...params.keys()].join(', ') || 'none'}.`;
      return refused(`there is no parameter "${pair.name}". ${hint}`);
    }
    if (values.has(pair.name)) return refused(`${pair.name} is given twice`);
    const problem = valueProblem(parameter, pair.value);
    if (problem !== undefined) return refused(problem);
    values.set(pair.name, pair.value);
  }
  const paths: ParameterPath[] = [];
  for (const [name, parameter] of params) {
    const value = values.get(name) ?? parameter.default;
    if (value === undefined) return refused(`${name} has to be given: ${parameter.shown}`);
    values.set(name, value);
    if (parameter.type !== 'path') continue;
    paths.push({ path: value, accepts: parameter.accepts, pattern: parameter.shown });
  }
  const args = words.map((word) => (word.kind === 'text' ? word.text : (values.get(word.name) ?? '')));
  const unfit = checkArgv(['handler', ...args]);
  return unfit === undefined ? { kind: 'filled', args, paths } : refused(unfit);
}

function refused(reason: string): FilledCommand {
  return { kind: 'refused', reason };
}

function checkProgram(program: string, place: Place): void {
  const isOwn = /^\.\/[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/.test(program);
  const isBare = /^(?!\.{1,2}$)[A-Za-z0-9._+][A-Za-z0-9._+-]{0,63}$/.test(program);
  const isPath =
    program.startsWith('/') && pathProblem(program) === undefined && checkArgv([program]) === undefined;
  if (isOwn || isBare || isPath) return;
  throw place.error(
    `"${program}" is not a program`,
    'Write ./run for a file in its own folder, df, or /usr/bin/df.',
  );
}

function compileWord(text: string, params: ReadonlyMap<string, Parameter>, place: Place): Word {
  const name = /^\{([^{}]*)\}$/.exec(text)?.[1];
  if (name !== undefined) {
    if (params.has(name)) return { kind: 'parameter', name };
    throw place.error(
      `there is no parameter "${name}"`,
      didYouMean(name, params.keys()) ?? 'Declare it in params.',
    );
  }
  if (/[{}]/.test(text)) {
    throw place.error(
      `"${text}" has a brace inside of a word`,
      'A parameter is a whole argument: ["--lines", "{lines}"], not "--lines={lines}".',
    );
  }
  const bad = refusedCharacter(text);
  if (bad !== undefined) throw place.error(`has a character that no argument can have: ${bad.name}`);
  return { kind: 'text', text };
}

/** The readers of policies complain about policies. */
function asConfig<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof FanoutError) || error.code !== 'POLICY_INVALID') throw error;
    const { message, hint = 'Compare it with one that works: fanout handlers show disk', cause } = error;
    throw new FanoutError('CONFIG', message, { hint, cause });
  }
}
