import { assert } from '../lib/assert.ts';
import { shownWord } from './command-string.ts';
import type { Matcher } from './glob.ts';
import { assignmentOf } from './names.ts';
import type { Token } from './tokens.ts';

/** One place for an argument, and the forms that it may have: at least one of them has to accept. */
export type Slot = readonly Token[];

/**
 * The arguments that a program may get, in one of three forms. Each consumes the whole list or does not
 * match.
 */
export type Grammar =
  | {
      /** Exactly these arguments, in this order. */
      readonly form: 'sequence';
      readonly slots: readonly Slot[];
    }
  | {
      /** Dash arguments as declared, in any order, among positionals. */
      readonly form: 'options';
      readonly flags: ReadonlySet<string>;
      readonly options: ReadonlyMap<string, Slot>;
      /** What the first positionals have to be, one each. */
      readonly first: readonly Slot[];
      /** What the positionals behind them may be, and how many. */
      readonly rest: { readonly min: number; readonly max: number; readonly slot: Slot };
    }
  | {
      /** Arguments of a handler, `name=value` each. What they may be at all, its manifest on the node says. */
      readonly form: 'parameters';
      /** The only ones that may be given, and what they may be; undefined: as the manifest says. */
      readonly slots: ReadonlyMap<string, Slot> | undefined;
    };

/** An argument whose real path has to be accepted too, because a link may lead elsewhere. */
export interface PathCheck {
  /** Index in argv. */
  readonly index: number;
  /** The path itself: the whole argument, or what is behind the `=` of a long option or a parameter. */
  readonly path: string;
  readonly accepts: Matcher;
  /** The policy's patterns, for a message. */
  readonly pattern: string;
}

/** What came of matching: the paths to check, or the first argument that has no place, and why. */
export type GrammarResult =
  | { readonly matches: true; readonly pathChecks: readonly PathCheck[] }
  | { readonly matches: false; readonly index: number; readonly reason: string };

/** Matches everything behind argv[0]. Deterministic and total; the time is linear in the arguments. */
export function matchGrammar(grammar: Grammar, argv: readonly string[]): GrammarResult {
  switch (grammar.form) {
    case 'sequence':
      return matchSequence(grammar.slots, argv);
    case 'options':
      return matchOptions(grammar, argv);
    case 'parameters':
      return matchParameters(grammar.slots, argv);
  }
}

function matchParameters(
  slots: ReadonlyMap<string, Slot> | undefined,
  argv: readonly string[],
): GrammarResult {
  const pathChecks: PathCheck[] = [];
  const seen = new Set<string>();
  for (let index = 1; index < argv.length; index++) {
    const pair = assignmentOf(argv[index] ?? '');
    if (pair === undefined) return misfit(index, `argument ${index} is not of the form name=value`);
    if (seen.has(pair.name)) return misfit(index, `argument ${index}: ${pair.name} is given twice`);
    seen.add(pair.name);
    if (slots === undefined) continue;
    const slot = slots.get(pair.name);
    if (slot === undefined) return misfit(index, `argument ${index}: ${pair.name} is not declared`);
    const problem = fill(slot, { index, path: pair.value }, pathChecks);
    if (problem !== undefined) return misfit(index, problem);
  }
  return { matches: true, pathChecks };
}

function matchSequence(slots: readonly Slot[], argv: readonly string[]): GrammarResult {
  const pathChecks: PathCheck[] = [];
  for (const [position, slot] of slots.entries()) {
    const index = position + 1;
    const value = argv[index];
    if (value === undefined)
      return misfit(index, `argument ${index} is missing, expected ${shownSlot(slot)}`);
    const problem = fill(slot, { index, path: value }, pathChecks);
    if (problem !== undefined) return misfit(index, problem);
  }
  const surplus = argv[slots.length + 1];
  if (surplus === undefined) return { matches: true, pathChecks };
  return misfit(slots.length + 1, `argument ${slots.length + 1} ${shownWord(surplus)} is one too many`);
}

function matchOptions(
  grammar: Extract<Grammar, { form: 'options' }>,
  argv: readonly string[],
): GrammarResult {
  const { flags, options, first, rest } = grammar;
  const takesPositionals = first.length + rest.max > 0;
  const pathChecks: PathCheck[] = [];
  let positionals = 0;
  let areOptionsOver = false;
  for (let index = 1; index < argv.length; index++) {
    const value = argv[index] as string;
    let slot: Slot | undefined;
    let place = { index, path: value };
    if (!value.startsWith('-')) {
      slot = positionals < first.length ? first[positionals] : rest.slot;
      if (positionals++ >= first.length + rest.max) {
        return misfit(index, `argument ${index} ${shownWord(value)} is one too many`);
      }
    } else if (areOptionsOver) {
      return misfit(index, `argument ${index} ${shownWord(value)} begins with a dash behind --`);
    } else if (value === '--' && takesPositionals) {
      areOptionsOver = true;
      continue;
    } else if (flags.has(value)) {
      continue;
    } else if (options.has(value)) {
      slot = options.get(value);
      const next = argv[++index];
      if (next === undefined) return misfit(index, `option ${shownWord(value)} has no value`);
      place = { index, path: next };
    } else {
      const equals = value.startsWith('--') ? value.indexOf('=') : -1;
      slot = equals > 0 ? options.get(value.slice(0, equals)) : undefined;
      if (slot === undefined) return misfit(index, `argument ${index} ${shownWord(value)} is not declared`);
      place = { index, path: value.slice(equals + 1) };
    }
    assert(slot !== undefined, 'every argument that is not refused has a slot');
    const problem = fill(slot, place, pathChecks);
    if (problem !== undefined) return misfit(index, problem);
  }
  const wanted = first.length + rest.min;
  if (positionals >= wanted) return { matches: true, pathChecks };
  return misfit(argv.length, `${positionals} of at least ${wanted} positional arguments`);
}

/** Puts a value into a slot: notes the check of its real path, or returns why it does not fit. */
function fill(
  slot: Slot,
  place: Pick<PathCheck, 'index' | 'path'>,
  pathChecks: PathCheck[],
): string | undefined {
  const token = slot.find(({ accepts }) => accepts(place.path));
  if (token === undefined) {
    return `argument ${place.index} ${shownWord(place.path)} is not ${shownSlot(slot)}`;
  }
  if (token.isPath) {
    const paths = slot.filter(({ isPath }) => isPath);
    pathChecks.push({
      ...place,
      accepts: (realPath) => paths.some(({ accepts }) => accepts(realPath)),
      pattern: paths.map(({ text }) => text).join(', '),
    });
  }
  return undefined;
}

function shownSlot(slot: Slot): string {
  return slot.map(({ text }) => shownWord(text)).join(' or ');
}

function misfit(index: number, reason: string): GrammarResult {
  return { matches: false, index, reason };
}
