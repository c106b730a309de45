import { FanoutError } from '../lib/errors.ts';
import type { Level } from './lint/finding.ts';
import { lintPolicy } from './lint/lint.ts';
import { compilePolicy, type PolicyFile, shapeErrors } from './load.ts';
import { Place } from './place.ts';
import { SourceError, type Spot, YamlSource } from './yaml-source.ts';

/** One thing to say about a policy file. An error is what keeps the file from being read at all. */
export interface Problem {
  readonly level: 'error' | Level;
  readonly code: string;
  /** Undefined for what is about no place. */
  readonly spot: Spot | undefined;
  /** With the rule or operator that it is about in front. */
  readonly message: string;
  readonly hint: string | undefined;
  /** Of a danger: the sentence by which the policy takes it. */
  readonly accepted: string | undefined;
}

/** What there is to say about a file, in its order. */
export interface PolicyReport {
  readonly file: string;
  readonly problems: readonly Problem[];
  /** A node takes the file. */
  readonly isSound: boolean;
  /** Undefined where there are errors. */
  readonly compiled: PolicyFile | undefined;
}

/** Checks a policy text: its shape, its meaning, its examples, and what the lint sees in it at that moment. */
export function checkPolicy(text: string, file: string, unixMs: number): PolicyReport {
  let compiled: PolicyFile;
  try {
    const errors = shapeErrors(new YamlSource(text, file));
    if (errors.length > 0) return unsound(file, errors);
    compiled = compilePolicy(text, file);
  } catch (error) {
    if (!(error instanceof FanoutError)) throw error;
    return unsound(file, [error]);
  }
  const problems = lintPolicy(compiled, unixMs).map(
    ({ level, code, path, atKey, message, hint, accepted }): Problem => ({
      level,
      code,
      spot: compiled.source.spotOf(path, atKey === true),
      message: `${new Place(compiled.source, path).subject}${message}`,
      hint,
      accepted,
    }),
  );
  const isSound = !problems.some(({ level, accepted }) => level === 'danger' && accepted === undefined);
  return { file, problems, isSound, compiled };
}

/** The report of a file that cannot be read at all, or whose content is no policy. */
export function unsound(file: string, errors: readonly FanoutError[]): PolicyReport {
  const problems = errors.map((error): Problem => {
    const isPlaced = error instanceof SourceError;
    return {
      level: 'error',
      code: 'error',
      spot: isPlaced ? error.spot : undefined,
      message: isPlaced ? error.problem : error.message,
      hint: error.hint,
      accepted: undefined,
    };
  });
  return { file, problems, isSound: false, compiled: undefined };
}

/** The word for a problem's weight: that of a danger that somebody answers for is its own. */
export function weightOf({ level, accepted }: Problem): 'error' | Level | 'accepted' {
  return accepted === undefined ? level : 'accepted';
}

/** A report for a terminal, without a final line end. Informations are shown too: they are few. */
export function reportText({ file, problems, isSound }: PolicyReport): string {
  const lines = problems.flatMap((problem) => {
    const { spot, message, hint, accepted } = problem;
    const place = spot === undefined ? file : `${file}:${spot.line}`;
    return [
      `${place}: ${weightOf(problem)}: ${message}`,
      ...(spot === undefined ? [] : [spot.excerpt]),
      `  ${accepted === undefined ? (hint ?? '') : `dangerous: "${accepted}"`}`.trimEnd(),
    ].filter((line) => line !== '');
  });
  return [...lines, `${file}: ${summary(problems, isSound)}`].join('\n');
}

function summary(problems: readonly Problem[], isSound: boolean): string {
  const count = (weight: string, one: string, many = `${one}s`): string[] => {
    const number = problems.filter((problem) => weightOf(problem) === weight).length;
    return number === 0 ? [] : [`${number} ${number === 1 ? one : many}`];
  };
  const counts = [
    ...count('error', 'error'),
    ...count('danger', 'danger'),
    ...count('accepted', 'danger taken', 'dangers taken'),
    ...count('warn', 'warning'),
    ...count('info', 'remark'),
  ];
  return `${isSound ? 'sound' : 'refused'}${counts.length === 0 ? '' : `: ${counts.join(', ')}`}`;
}
