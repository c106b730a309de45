import { Minimatch } from 'minimatch';
import { FanoutError } from '../lib/errors.ts';
import { refusedCharacter } from './characters.ts';

/** Whether a value matches a compiled pattern. */
export type Matcher = (value: string) => boolean;

/**
 * Longest pattern in characters, and most wildcards in one: nobody can tell any more what a larger one
 * admits.
 */
export const PATTERN_LENGTH_MAX = 256;
const STARS_MAX = 3;

/**
 * Every feature of minimatch that a policy author does not expect is off: negation, comments, extended globs,
 * braces, hidden dot files, folded slashes, rewritten patterns. What is left is `*`, `?` and `[...]`.
 */
const OPTIONS = {
  nonegate: true,
  nocomment: true,
  noext: true,
  nobrace: true,
  dot: true,
  platform: 'linux',
  preserveMultipleSlashes: true,
  optimizationLevel: 0,
} as const;

/** A set of characters: single ones and ranges within letters or digits, after an optional `!`. */
const CHARACTER_SET = /\[!?(?:[A-Z]-[A-Z]|[a-z]-[a-z]|[0-9]-[0-9]|[^[\]\\/^!-])+\]/g;
/** Control characters cannot be in values either, so that these two can stand for something else. */
const SLASH_STAND_IN = '\u0001';
const START_MARK = '\u0002';
const RESERVED = /[\u0000-\u0008\u000a-\u001f]/;

/** Whether a pattern has a wildcard. One without is compared byte for byte. */
export function isGlob(pattern: string): boolean {
  return /[*?[\]]/.test(pattern);
}

/**
 * An allowing glob over a whole value, in which `/` is an ordinary character. It matches too little rather
 * than too much: case counts, the empty value never matches, and neither does a value with a leading dash
 * unless the pattern has one too, because a wildcard must not become an option. Throws FanoutError USAGE with
 * what is wrong with the pattern.
 */
export function compileGlob(pattern: string): Matcher {
  checkGlob(pattern);
  if (!isGlob(pattern)) return (value) => value === pattern;
  const matches = flatMatcher(pattern, false);
  return (value) => mayMatchWildcard(pattern, value) && matches(value);
}

/** Whether a value is one that the wildcards of an allowing pattern may match at all. */
export function mayMatchWildcard(pattern: string, value: string): boolean {
  return value !== '' && (pattern.startsWith('-') || !value.startsWith('-')) && !RESERVED.test(value);
}

/**
 * A denying glob. It matches too much rather than too little: `*` spans everything and nothing, and upper and
 * lower case are the same. Throws FanoutError USAGE.
 */
export function compileDenyGlob(pattern: string): Matcher {
  checkGlob(pattern);
  const lower = pattern.toLowerCase();
  if (!isGlob(pattern)) return (value) => value.toLowerCase() === lower;
  return flatMatcher(pattern, true);
}

/**
 * A glob over absolute paths, in which only `**` crosses slashes. Values that are not canonical never match.
 * Throws FanoutError USAGE.
 */
export function compilePathGlob(pattern: string): Matcher {
  checkGlob(pattern);
  const problem = pathProblem(pattern);
  if (problem !== undefined) throw unusable(pattern, problem, 'Write it like /var/log/*.log or /srv/**');
  const isMixed = pattern.split('/').some((segment) => segment.includes('**') && segment !== '**');
  if (isMixed)
    throw unusable(pattern, 'has ** next to other characters', 'Write ** between slashes: /srv/**');
  if (!isGlob(pattern)) return (value) => value === pattern;
  const glob = new Minimatch(pattern, OPTIONS);
  return (value) => pathProblem(value) === undefined && !RESERVED.test(value) && glob.match(value);
}

/** Why a text is not an absolute path in its only canonical spelling, or undefined when it is. */
export function pathProblem(path: string): string | undefined {
  if (!path.startsWith('/')) return 'is not an absolute path';
  if (path === '/') return undefined;
  if (path.endsWith('/')) return 'ends with a slash';
  const segments = path.slice(1).split('/');
  if (segments.includes('')) return 'has a double slash';
  if (segments.includes('.') || segments.includes('..')) return 'has a . or .. in it';
  return undefined;
}

/**
 * minimatch over one flat text. A stand-in for `/` lets `*` span it, and a mark at the start takes away the
 * special meaning that minimatch gives to leading dots and to a lone `**`.
 */
function flatMatcher(pattern: string, nocase: boolean): Matcher {
  const flat = (text: string): string => START_MARK + text.replaceAll('/', SLASH_STAND_IN);
  const glob = new Minimatch(flat(pattern), { ...OPTIONS, nocase });
  return (value) => glob.match(flat(value));
}

/** Throws FanoutError USAGE with what is wrong with a pattern, without the cost of compiling it. */
export function checkGlob(pattern: string): void {
  if (pattern.length > PATTERN_LENGTH_MAX) {
    const hint = 'Shorten it, or write several patterns.';
    throw unusable(
      `${pattern.slice(0, 20)}...`,
      `has ${pattern.length} characters, at most ${PATTERN_LENGTH_MAX}`,
      hint,
    );
  }
  const bad = refusedCharacter(pattern);
  if (bad !== undefined)
    throw unusable('', `has a character that no argument can have: ${bad.name}`, 'Remove it.');
  if (!isGlob(pattern)) return;
  if (pattern.includes('\\')) {
    throw unusable(pattern, 'has a backslash beside wildcards', 'Write the pattern without it.');
  }
  // A letter in the place of each set, so that the wildcards around it stay apart.
  const rest = pattern.replace(CHARACTER_SET, 'x');
  if (/[[\]]/.test(rest)) {
    throw unusable(
      pattern,
      'has a bracket that is no set of characters',
      'Write sets like [abc], [0-9] or [!a-z].',
    );
  }
  const stars = rest.match(/\*+/g) ?? [];
  if (stars.length > STARS_MAX || stars.some((run) => run.length > 2)) {
    throw unusable(pattern, `has more than ${STARS_MAX} wildcards "*"`, 'Write several narrower patterns.');
  }
}

function unusable(pattern: string, problem: string, hint: string): FanoutError {
  return new FanoutError('USAGE', `the pattern ${pattern === '' ? '' : `"${pattern}" `}${problem}`, { hint });
}
