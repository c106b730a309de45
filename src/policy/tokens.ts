import { FanoutError } from '../lib/errors.ts';
import { compileGlob, compilePathGlob, isGlob, type Matcher } from './glob.ts';

/** Longest free text that `any:n` may admit, in characters. */
const FREE_TEXT_MAX = 4096;

/**
 * One allowed form of one argument: an exact word, a glob, `path:GLOB`, `int:a..b` or `any:n`. It
 * under-matches: of these only an exact word, an `int:` and a glob that itself begins with a dash accept a
 * value with a leading dash.
 */
export interface Token {
  /** As the policy spells it. */
  readonly text: string;
  readonly accepts: Matcher;
  /** The real path of the accepted value has to be accepted too, by whoever can ask the file system. */
  readonly isPath: boolean;
}

/** Throws FanoutError USAGE with what is wrong with the text of a token. */
export function compileToken(text: string): Token {
  if (text.startsWith('path:')) return { text, accepts: compilePathGlob(text.slice(5)), isPath: true };
  if (text.startsWith('int:')) return { text, accepts: integerMatcher(text), isPath: false };
  if (text.startsWith('any:')) return { text, accepts: freeTextMatcher(text), isPath: false };
  return { text, accepts: compileGlob(text), isPath: false };
}

/** Whether a token could accept a word that begins with a dash and is not a number. */
export function mayBeOption(token: Token): boolean {
  return token.text.startsWith('-');
}

/** Whether a token is one exact word. */
export function isExact(token: Token): boolean {
  return !/^(path|int|any):/.test(token.text) && !isGlob(token.text);
}

/** Whole numbers in plain decimal: no plus sign, no leading zero, no blank, no exponent. */
const INTEGER = /^(?:0|-?[1-9][0-9]{0,14})$/;

function integerMatcher(text: string): Matcher {
  const [, low = '', high = ''] = /^int:(.+?)\.\.(.+)$/.exec(text) ?? [];
  if (!INTEGER.test(low) || !INTEGER.test(high)) {
    throw new FanoutError('USAGE', `"${text}" is not a range of whole numbers`, {
      hint: 'Write it like int:1..500',
    });
  }
  const [min, max] = [Number(low), Number(high)];
  if (min > max) {
    throw new FanoutError('USAGE', `"${text}" is an empty range`, { hint: `Write int:${high}..${low}` });
  }
  return (value) => INTEGER.test(value) && Number(value) >= min && Number(value) <= max;
}

function freeTextMatcher(text: string): Matcher {
  const most = Number(/^any:([1-9][0-9]{0,3})$/.exec(text)?.[1] ?? 0);
  if (most < 1 || most > FREE_TEXT_MAX) {
    throw new FanoutError('USAGE', `"${text}" does not say how long the text may be`, {
      hint: `Write it like any:256, with 1 to ${FREE_TEXT_MAX} characters`,
    });
  }
  return (value) => value !== '' && !value.startsWith('-') && [...value].length <= most;
}
