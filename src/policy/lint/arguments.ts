import type { Grammar, Slot } from '../grammar.ts';
import { compileToken, isExact, type Token } from '../tokens.ts';
import type { YamlPath } from '../yaml-source.ts';
import type { ProgramFacts } from './facts.ts';
import { isSpelled } from './spelling.ts';

/** One form that an argument of a command can have, and where it can stand. */
export interface Argument {
  readonly token: Token;
  /** Within the command. */
  readonly path: YamlPath;
  /** It stands as the key of a mapping. */
  readonly atKey: boolean;
  /**
   * `option`: declared or spelled as one. `value`: what the program takes as the value of the option in front, as far as
   * anybody knows. `free`: anything else.
   */
  readonly role: 'option' | 'value' | 'free';
  /** Of a value: the option in front. */
  readonly option?: string;
  /** The program is known to take a value behind that option. */
  readonly isCertain?: boolean;
  /** Which of the arguments that are no options it can be, from 0. */
  readonly from: number;
  readonly to: number;
  /** Of an option: what can stand behind it. */
  readonly next?: Slot;
  /** The command is never without it. */
  readonly isFixed: boolean;
}

/** As many arguments as a command can have, and more. */
const POSITIONALS_MAX = 1000;

/** Every form of every argument that a grammar lets through. Empty for commands that are no programs' arguments. */
export function argumentsOf(grammar: Grammar, facts: ProgramFacts | undefined): readonly Argument[] {
  if (grammar.form === 'sequence') return sequenceArguments(grammar.slots, facts);
  return grammar.form === 'options' ? optionArguments(grammar, facts) : [];
}

/** How many arguments that are no options there can be. */
export function positionalCounts(grammar: Grammar, all: readonly Argument[]): { min: number; max: number } {
  if (grammar.form === 'options') {
    const { first, rest } = grammar;
    return { min: first.length + rest.min, max: first.length + rest.max };
  }
  const last = Math.max(-1, ...all.filter(({ role }) => role === 'free').map(({ to }) => to));
  const least = Math.max(-1, ...all.filter(({ role }) => role === 'free').map(({ from }) => from));
  return { min: least + 1, max: last + 1 };
}

function sequenceArguments(slots: readonly Slot[], facts: ProgramFacts | undefined): readonly Argument[] {
  const found: Argument[] = [];
  let [from, to] = [0, 0];
  for (const [index, slot] of slots.entries()) {
    const option = valuedBy(slots[index - 1], facts);
    const isDashed = slot.every((token) => isExact(token) && isDashWord(token.text));
    const role = option !== undefined ? 'value' : isDashed ? 'option' : 'free';
    const next = slots[index + 1];
    for (const [choice, token] of slot.entries()) {
      found.push({
        token,
        path: ['argv', index, choice],
        atKey: false,
        role: role === 'free' && isExact(token) && isDashWord(token.text) ? 'option' : role,
        ...(option === undefined ? {} : { option, isCertain: true }),
        from,
        to,
        ...(next === undefined ? {} : { next }),
        isFixed: slot.length === 1,
      });
    }
    if (role !== 'free') continue;
    to++;
    if (!slot.some((token) => token.text.startsWith('-'))) from++;
  }
  return found;
}

/** The option in front of a value, when whatever stands there takes one. */
function valuedBy(slot: Slot | undefined, facts: ProgramFacts | undefined): string | undefined {
  if (slot === undefined || facts?.valued === undefined) return undefined;
  const { valued } = facts;
  const areAll = slot.every((token) => isExact(token) && takesNext(token.text, valued, facts));
  return areAll ? slot[0]?.text : undefined;
}

/** Whether the value of an option is the next word: not behind a `=`, nor attached to its letter. */
function takesNext(word: string, valued: string, facts: ProgramFacts): boolean {
  if (word.includes('=')) return false;
  const list = valued.split(' ');
  if (list.includes(word)) return true;
  if (facts.hasWordOptions === true || word.startsWith('--')) return false;
  const [prefix, letters] = word.startsWith('-') ? ['-', word.slice(1)] : ['.', word];
  const at = [...letters].findIndex((letter) => list.includes(prefix + letter));
  return at >= 0 && at === letters.length - 1 && /^[A-Za-z0-9]+$/.test(letters);
}

function optionArguments(
  grammar: Extract<Grammar, { form: 'options' }>,
  facts: ProgramFacts | undefined,
): readonly Argument[] {
  const found: Argument[] = [];
  const base = { from: 0, to: 0, isFixed: false, atKey: false } as const;
  for (const [index, flag] of [...grammar.flags].entries()) {
    found.push({ ...base, token: compileToken(flag), path: ['flags', index], role: 'option' });
  }
  for (const [option, slot] of grammar.options) {
    const path = ['options', option];
    found.push({ ...base, token: compileToken(option), path, atKey: true, role: 'option', next: slot });
    const isCertain =
      facts !== undefined && (takesNext(option, facts.valued ?? '', facts) || isSpelled(option, facts));
    for (const [choice, token] of slot.entries()) {
      const one = { ...base, token, path: [...path, choice], option };
      if (isCertain) found.push({ ...one, role: 'value', isCertain });
      // What stands behind a flag of the program is an argument of its own, whatever the rule calls it.
      else found.push({ ...one, role: facts === undefined ? 'value' : 'free', to: POSITIONALS_MAX });
    }
  }
  const { first, rest } = grammar;
  for (const [index, slot] of first.entries()) {
    for (const [choice, token] of slot.entries()) {
      const path = ['first', index, choice];
      found.push({ ...base, token, path, role: 'free', from: index, to: index, isFixed: slot.length === 1 });
    }
  }
  if (rest.max === 0) return found;
  for (const [choice, token] of rest.slot.entries()) {
    const path = ['positionals', 'match', choice];
    const to = first.length + rest.max - 1;
    found.push({ ...base, token, path, role: 'free', from: first.length, to });
  }
  return found;
}

export function isDashWord(text: string): boolean {
  return text.startsWith('-') && text !== '-';
}
