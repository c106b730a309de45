import type { Token } from '../tokens.ts';

/**
 * What a token can be, as a pattern of character sets, so that two of them can be held against each other: not "does this
 * word match" but "is there a word that both match". Larger than the token where that is simpler, never smaller.
 */
export interface Shape {
  readonly parts: readonly Part[];
  /** No word of it begins with a dash, whatever its parts say. */
  readonly isDashless: boolean;
}

/** One character of a set, or any number of them. */
interface Part {
  readonly set: Ranges;
  readonly repeats: boolean;
}

/** Sorted, disjoint, inclusive ranges of UTF-16 units. */
type Ranges = readonly (readonly [low: number, high: number])[];

const LAST = 0xffff;
const DASH = '-'.charCodeAt(0);
const ANY: Ranges = [[0, LAST]];
const NO_SLASH = complement(unitsOf('/'));
const NO_DASH = complement(unitsOf('-'));
const DIGITS: Ranges = [[0x30, 0x39]];
const LETTERS: Ranges = [
  [0x41, 0x5a],
  [0x61, 0x7a],
];

/** The shapes of a token: several, where it has several forms. */
export function shapesOf({ text }: Token): readonly Shape[] {
  if (text.startsWith('path:')) return [pathShape(text.slice('path:'.length))];
  if (text.startsWith('any:')) {
    return [{ parts: [one(NO_DASH), many(ANY)], isDashless: true }];
  }
  if (text.startsWith('int:')) return integerShapes(text);
  return [globShape(text)];
}

/** A glob in which `*` spans everything. As in the policy, a wildcard does not become a dash. */
export function globShape(glob: string): Shape {
  return { parts: globParts(glob, ANY), isDashless: !glob.startsWith('-') };
}

/** `-` and letters with this one among them, and anything behind it: a cluster, or an option with its value attached. */
export function clusterShape(letter: string, prefix: '-' | ''): Shape {
  const parts = [...literal(prefix), many(LETTERS), ...literal(letter), many(prefix === '' ? LETTERS : ANY)];
  return { parts, isDashless: prefix === '' };
}

/** Whether there is a word that both can be. The empty word is none. */
export function canMeet(a: Shape, b: Shape): boolean {
  const seen = new Set<number>();
  const width = b.parts.length + 1;
  const pending: [i: number, j: number, isStart: boolean][] = [[0, 0, true]];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const [i, j, isStart] = next;
    const state = (i * width + j) * 2 + (isStart ? 1 : 0);
    if (seen.has(state)) continue;
    seen.add(state);
    if (i === a.parts.length && j === b.parts.length && !isStart) return true;
    const [left, right] = [a.parts[i], b.parts[j]];
    if (left?.repeats === true) pending.push([i + 1, j, isStart]);
    if (right?.repeats === true) pending.push([i, j + 1, isStart]);
    if (left === undefined || right === undefined) continue;
    const mayBeDash = !(isStart && (a.isDashless || b.isDashless));
    if (!overlaps(left.set, right.set, mayBeDash)) continue;
    pending.push([left.repeats ? i : i + 1, right.repeats ? j : j + 1, false]);
  }
  return false;
}

function overlaps(a: Ranges, b: Ranges, mayBeDash: boolean): boolean {
  for (const [low, high] of a) {
    for (const [otherLow, otherHigh] of b) {
      const [from, to] = [Math.max(low, otherLow), Math.min(high, otherHigh)];
      if (from > to) continue;
      if (mayBeDash || from !== DASH || to !== DASH) return true;
    }
  }
  return false;
}

function globParts(glob: string, wild: Ranges): Part[] {
  const parts: Part[] = [];
  // Stars, single characters, sets, and text.
  for (const [piece] of glob.matchAll(/\*+|\?|\[!?[^\]]+\]|[\s\S]/g)) {
    if (piece.startsWith('*')) parts.push(many(wild));
    else if (piece === '?') parts.push(one(wild));
    else if (piece.length > 1) parts.push(one(setOf(piece.slice(1, -1))));
    else parts.push(...literal(piece));
  }
  return parts;
}

function pathShape(glob: string): Shape {
  const segments = glob.slice(1).split('/');
  const parts = segments.flatMap((segment, index): Part[] => {
    if (segment !== '**') return [...literal('/'), ...globParts(segment, NO_SLASH)];
    // In the middle it stands for no folder too.
    return index === segments.length - 1 ? [...literal('/'), many(ANY)] : [many(ANY)];
  });
  return { parts, isDashless: true };
}

function integerShapes(text: string): readonly Shape[] {
  const [, low = '0', high = '0'] = /^int:(.+?)\.\.(.+)$/.exec(text) ?? [];
  const digits = [one(DIGITS), many(DIGITS)];
  const shapes: Shape[] = [];
  if (Number(high) >= 0) shapes.push({ parts: digits, isDashless: true });
  if (Number(low) < 0) shapes.push({ parts: [...literal('-'), ...digits], isDashless: false });
  return shapes;
}

function setOf(text: string): Ranges {
  const isNegated = text.startsWith('!');
  const inner = isNegated ? text.slice(1) : text;
  const ranges: [number, number][] = [];
  for (const [piece] of inner.matchAll(/[\s\S]-[\s\S]|[\s\S]/g)) {
    ranges.push([piece.charCodeAt(0), piece.charCodeAt(piece.length - 1)]);
  }
  return isNegated ? complement(ranges) : ranges;
}

function complement(ranges: Ranges): Ranges {
  const result: [number, number][] = [];
  let from = 0;
  for (const [low, high] of [...ranges].sort((a, b) => a[0] - b[0])) {
    if (low > from) result.push([from, low - 1]);
    from = Math.max(from, high + 1);
  }
  if (from <= LAST) result.push([from, LAST]);
  return result;
}

function literal(text: string): Part[] {
  return [...Array(text.length).keys()].map((i) => one(unitsOf(text.charAt(i))));
}

function unitsOf(character: string): Ranges {
  return [[character.charCodeAt(0), character.charCodeAt(0)]];
}

function one(set: Ranges): Part {
  return { set, repeats: false };
}

function many(set: Ranges): Part {
  return { set, repeats: true };
}
