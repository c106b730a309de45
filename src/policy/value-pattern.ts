import { FanoutError } from '../lib/errors.ts';
import {
  checkGlob,
  compileGlob,
  isGlob,
  type Matcher,
  mayMatchWildcard,
  PATTERN_LENGTH_MAX,
} from './glob.ts';

/** A bracket that holds only these is a list of numbers, never a set of characters. */
const RANGE_LIST = /\[([0-9,-]+)\]/g;
const NUMBER_RANGE = /^([0-9]{1,15})(?:-([0-9]{1,15}))?$/;
/** Longest number that is compared: as many digits as fit a JavaScript number exactly. */
const DIGITS_MAX = 15;
/** Lists of numbers in one pattern. Each further one multiplies the ways in which digits can be split up. */
const LISTS_MAX = 4;

/** A list of numbers costs as much as this many exact values, beside its items. */
const LIST_COST = 8;

/** What a pattern costs whoever evaluates it. */
export interface PatternCost {
  /** In exact values: 1, or what its lists of numbers cost. */
  readonly values: number;
  readonly isGlob: boolean;
}

const EXACT: PatternCost = { values: 1, isGlob: false };

/** The numbers from `low` to `high`; written with at least `width` digits, or without leading zeros when it is 0. */
interface NumberRange {
  readonly low: number;
  readonly high: number;
  readonly width: number;
}

type Piece =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'numbers'; readonly ranges: readonly NumberRange[] }
  | { readonly kind: 'any' }
  | { readonly kind: 'one'; readonly accepts: Matcher };

/** Throws FanoutError USAGE with what is wrong with a pattern; tells what it costs when nothing is. */
export function checkValue(pattern: string): PatternCost {
  // Most values are plain names, a thousand of them perhaps: this is all there is to check.
  if (!isGlob(pattern) && pattern.length <= PATTERN_LENGTH_MAX) return EXACT;
  let lists = 0;
  let values = 0;
  const rest = pattern.replace(RANGE_LIST, (_, list: string) => {
    lists++;
    values += parseRanges(list).length + LIST_COST;
    return '0';
  });
  if (lists > LISTS_MAX) {
    throw new FanoutError('USAGE', `"${abridged(pattern)}" has more than ${LISTS_MAX} lists of numbers`, {
      hint: 'Write several patterns with commas between them.',
    });
  }
  checkGlob(rest);
  return { values: Math.max(1, values), isGlob: isGlob(rest) };
}

/** As `compileChecked`, for a pattern that nobody has checked yet. Throws FanoutError USAGE. */
export function compileValue(pattern: string): Matcher {
  checkValue(pattern);
  return compileChecked(pattern);
}

/**
 * One value of a selector: an exact text, a glob as `compileGlob` takes it, and lists of numbers as
 * ClusterShell writes them, in any mixture: `web[01-20]`, `web[1-5,9]*`. Of a list, numbers are compared, not
 * expanded. A zero in front of the first number says how many digits there are: `[01-20]` is 01 to 20, and
 * `[1-20]` has no 05. The pattern has to be a checked one.
 */
export function compileChecked(pattern: string): Matcher {
  if (!isGlob(pattern)) return (value) => value === pattern;
  if (pattern.search(RANGE_LIST) < 0) return compileGlob(pattern);
  const pieces = piecesOf(pattern);
  const hasWildcard = pieces.some(({ kind }) => kind === 'any' || kind === 'one');
  return (value) => (!hasWildcard || mayMatchWildcard(pattern, value)) && matchPieces(pieces, value);
}

/** Throws FanoutError USAGE. */
function parseRanges(list: string): NumberRange[] {
  return list.split(',').map((item) => {
    const [, first = '', last = first] = NUMBER_RANGE.exec(item) ?? [];
    const problem = rangeProblem(first, last);
    if (problem !== undefined) {
      const hint = 'Write it like [1-20], [01-20] or [1-5,9].';
      throw new FanoutError('USAGE', `"${abridged(item)}" in [${abridged(list)}] ${problem}`, { hint });
    }
    const width = first.length > 1 && first.startsWith('0') ? first.length : 0;
    return { low: Number(first), high: Number(last), width };
  });
}

function rangeProblem(first: string, last: string): string | undefined {
  if (first === '') return 'is not a number or a range of numbers';
  if (Number(first) > Number(last)) return 'is a range that ends before it begins';
  const isPadded = last.length > 1 && last.startsWith('0');
  if (isPadded && last.length !== first.length) return 'has two numbers with different zeros in front';
  return undefined;
}

function piecesOf(pattern: string): Piece[] {
  const pieces: Piece[] = [];
  // Lists of numbers, wildcards and sets of characters; what lies between them is text.
  const special = /\[([0-9,-]+)\]|\*+|\?|\[[^\]]+\]/g;
  let from = 0;
  for (const match of pattern.matchAll(special)) {
    if (match.index > from) pieces.push({ kind: 'text', text: pattern.slice(from, match.index) });
    from = match.index + match[0].length;
    pieces.push(specialPiece(match[0], match[1]));
  }
  if (from < pattern.length) pieces.push({ kind: 'text', text: pattern.slice(from) });
  return pieces;
}

function specialPiece(text: string, list: string | undefined): Piece {
  if (list !== undefined) return { kind: 'numbers', ranges: parseRanges(list) };
  if (text.startsWith('*')) return { kind: 'any' };
  // The letter takes away the special meaning of the first character of a value.
  const accepts = compileGlob(`x${text}`);
  return { kind: 'one', accepts: (character) => accepts(`x${character}`) };
}

/** Follows all ways through the pattern at once: a set of places in the value, moved on by each piece. */
function matchPieces(pieces: readonly Piece[], value: string): boolean {
  let places: ReadonlySet<number> = new Set([0]);
  for (const piece of pieces) {
    const next = new Set<number>();
    if (piece.kind === 'any') {
      for (let place = Math.min(...places); place <= value.length; place++) next.add(place);
    } else {
      for (const place of places) for (const end of endsOf(piece, value, place)) next.add(end);
    }
    if (next.size === 0) return false;
    places = next;
  }
  return places.has(value.length);
}

/** Where a piece that begins at `place` can end. */
function endsOf(piece: Exclude<Piece, { kind: 'any' }>, value: string, place: number): readonly number[] {
  if (piece.kind === 'text') return value.startsWith(piece.text, place) ? [place + piece.text.length] : [];
  if (piece.kind === 'one') return piece.accepts(value.charAt(place)) ? [place + 1] : [];
  const ends: number[] = [];
  let number = 0;
  for (let digits = 1; digits <= DIGITS_MAX; digits++) {
    const digit = value.charCodeAt(place + digits - 1) - 0x30;
    if (!(digit >= 0 && digit <= 9)) break;
    number = number * 10 + digit;
    const isPadded = digits > 1 && value.charAt(place) === '0';
    if (piece.ranges.some((range) => isWithin(range, number, digits, isPadded))) ends.push(place + digits);
  }
  return ends;
}

function isWithin(
  { low, high, width }: NumberRange,
  number: number,
  digits: number,
  isPadded: boolean,
): boolean {
  if (number < low || number > high) return false;
  return isPadded ? digits === width : digits >= width;
}

function abridged(text: string): string {
  return text.length > 24 ? `${text.slice(0, 20)}...` : text;
}
