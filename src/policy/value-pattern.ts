import { FanoutError } from '../lib/errors.ts';
import { compileGlob, isGlob, type Matcher } from './glob.ts';

/** A bracket of digits, commas and dashes is a list of numbers, as in ClusterShell. Every other one is a set of characters. */
const RANGE = /\[([\d,-]+)\]/g;
/** Longest number in a name: beyond this it is no number any more. */
const DIGITS_MAX = 15;
const RANGES_MAX = 3;
const ITEMS_MAX = 1024;

interface Numbers {
  readonly from: number;
  readonly to: number;
  /** How many digits padded numbers have; 0: no leading zeros. */
  readonly width: number;
}

/** Whether a pattern matches more than its own text. */
export function isPattern(text: string): boolean {
  return isGlob(text);
}

/**
 * Compiles a pattern of a selector: a glob (`web*`), numbers (`web[01-20,25]`, padding counts, never expanded), or plain text.
 * Throws FanoutError USAGE.
 */
export function compileValue(text: string): Matcher {
  const ranges = [...text.matchAll(RANGE)];
  if (ranges.length === 0) return compileGlob(text);
  if (ranges.length > RANGES_MAX) throw unusable(text, `has more than ${RANGES_MAX} lists of numbers`);
  const lists = ranges.map((match) => readNumbers(text, match[1] ?? ''));
  const pieces = text.split(/\[[\d,-]+\]/);
  if (pieces.some(isGlob)) throw unusable(text, 'has wildcards beside a list of numbers');
  const shape = new RegExp(`^${pieces.map(escaped).join(`(\\d{1,${DIGITS_MAX}})`)}$`);
  return (value) => {
    const match = shape.exec(value);
    return match !== null && lists.every((list, i) => isListed(list, match[i + 1] ?? ''));
  };
}

function readNumbers(text: string, list: string): readonly Numbers[] {
  const items = list.split(',');
  if (items.length > ITEMS_MAX) throw unusable(text, `has a list of more than ${ITEMS_MAX} items`);
  return items.map((item) => {
    const match = /^(\d{1,15})(?:-(\d{1,15}))?$/.exec(item);
    if (match === null) throw unusable(text, `has "${item}" in a list of numbers`);
    const [, first = '', last = first] = match;
    const [from, to] = [Number(first), Number(last)];
    if (from > to) throw unusable(text, `counts down: ${item}`);
    const isPadded = first.startsWith('0') && first.length > 1;
    if (isPadded && last.length < first.length) throw unusable(text, `pads only one end: ${item}`);
    return { from, to, width: isPadded ? first.length : 0 };
  });
}

function isListed(list: readonly Numbers[], digits: string): boolean {
  const number = Number(digits);
  return list.some(({ from, to, width }) => {
    const spelling = width === 0 ? String(number) : String(number).padStart(width, '0');
    return number >= from && number <= to && digits === spelling;
  });
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
}

function unusable(pattern: string, problem: string): FanoutError {
  return new FanoutError('USAGE', `the pattern "${pattern}" ${problem}`, {
    hint: 'Write it like web[01-20] or web[1-5,9], or use a glob: web*.',
  });
}
