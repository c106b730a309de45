import { isGlob } from '../glob.ts';
import type { AllowedCommand } from '../policy.ts';
import { isExact, type Token } from '../tokens.ts';
import type { YamlPath } from '../yaml-source.ts';
import { type Argument, argumentsOf, isDashWord, positionalCounts } from './arguments.ts';
import { HARM_TEXT, type Harm, type ProgramFacts } from './facts.ts';
import type { Level, LintFinding } from './finding.ts';
import { parameterFindings, pathFindings } from './path-findings.ts';
import { factsOf } from './programs/known.ts';
import { canMeet, globShape, shapesOf } from './shape.ts';
import { spelledBy } from './spelling.ts';

const LEVELS: Readonly<Record<Harm, Level | undefined>> = {
  starts: 'danger',
  writes: 'danger',
  reads: 'danger',
  // What a rule is for: only one that says the contrary is wrong (below).
  changes: undefined,
  endless: 'warn',
  terminal: 'warn',
};

const HINTS: Readonly<Record<Harm, string>> = {
  starts: 'Whoever may run it may run anything. Leave it out, or say why it is needed: dangerous: "..."',
  writes: 'Leave it out, or say why it is needed: dangerous: "..."',
  reads: 'It reaches what no path: pattern guards. Leave it out, or say why it is needed: dangerous: "..."',
  changes: 'Leave readOnly out: then runs on many nodes ask for a confirmation.',
  endless: 'Bound it, or leave it out: it runs until its timeout and keeps a place.',
  terminal: 'Leave it out: sequences in the output are shown, not obeyed, and only disturb.',
};

/** Values behind an option that writes with which it writes nowhere. */
const NOWHERE = new Set(['/dev/null', '-', '/dev/stdout', '/dev/stderr']);

/** What one command can do, found at one place. */
interface Found {
  readonly harm: Harm;
  readonly path: YamlPath;
  readonly atKey?: boolean;
  readonly what: string;
}

/** What a command of a rule can do beside what its author listed it for. `at` is where it stands in the file. */
export function commandFindings(
  command: AllowedCommand,
  at: YamlPath,
  isReadOnly: boolean,
): readonly LintFinding[] {
  const { program, grammar } = command;
  if (grammar.form === 'parameters') return parameterFindings(program, grammar.slots ?? new Map(), at);
  const facts = factsOf(program);
  const all = argumentsOf(grammar, facts);
  const found = facts === undefined ? [] : harmsOf(command, facts, all);
  const findings = firstOfEach(found).flatMap((one) => asFindings(one, at, isReadOnly));
  findings.push(...swallowers(all, facts, at));
  findings.push(...pathFindings(program, facts, all, at));
  findings.push(...colours(all, at));
  if (facts === undefined) findings.push(unknownProgram(program, at));
  return findings;
}

function harmsOf(command: AllowedCommand, facts: ProgramFacts, all: readonly Argument[]): readonly Found[] {
  const found: Found[] = [];
  const path: YamlPath = ['program'];
  if (facts.does !== undefined && !isAlways(facts.unless, all, facts)) {
    found.push({ harm: facts.does, path, what: `${command.program} ${HARM_TEXT[facts.does]}` });
  }
  for (const argument of all) {
    found.push(...optionHarms(argument, facts), ...verbHarms(argument, all, facts));
    const { at } = facts;
    if (at !== undefined && argument.role === 'free' && argument.to >= at.from) {
      found.push(told(at.harm, argument, undefined));
    }
    if (isCode(argument, all, facts)) found.push(told('starts', argument, 'code'));
  }
  if (facts.guarded !== undefined && found.some(({ harm }) => harm === 'changes')) {
    found.push(...guardedHarms(all, facts.guarded));
  }
  const { min, max } = positionalCounts(command.grammar, all);
  if (facts.repeatsByNumber === true && min <= 1 && max >= 1) {
    found.push({ harm: 'endless', path, what: `${command.program} with one number never ends by itself` });
  }
  return found;
}

function optionHarms(argument: Argument, facts: ProgramFacts): readonly Found[] {
  const found: Found[] = [];
  for (const [harm, spellings] of harmEntries(facts.options)) {
    const spelling = spelledBy(spellings, argument, facts);
    if (spelling === undefined) continue;
    const goesNowhere = argument.next?.every((token) => isExact(token) && NOWHERE.has(token.text)) === true;
    if (harm === 'writes' && argument.role === 'option' && goesNowhere) continue;
    found.push(told(harm, argument, spelling));
  }
  return found;
}

function verbHarms(argument: Argument, all: readonly Argument[], facts: ProgramFacts): readonly Found[] {
  const { token, role, from, to } = argument;
  if (role !== 'free') return [];
  const found: Found[] = [];
  for (const verbs of facts.verbs ?? []) {
    if (verbs.at < from || verbs.at > to) continue;
    const { under } = verbs;
    if (
      under !== undefined &&
      !all.some((one) => one.role === 'free' && one.from === 0 && meets(one.token, under))
    )
      continue;
    const isKnown = isExact(token) && verbs.safe?.split(' ').includes(token.text) === true;
    if (isKnown) continue;
    let isNamed = false;
    for (const [harm, words] of harmEntries(verbs.means)) {
      const word = wordOf(token, words, verbs.abbreviates === true);
      if (word === undefined) continue;
      isNamed = true;
      found.push(told(harm, argument, word));
    }
    if (verbs.other !== undefined && (!isNamed || !isExact(token))) {
      found.push(told(verbs.other, argument, undefined));
    }
  }
  return found;
}

function wordOf(token: Token, words: string, abbreviates: boolean): string | undefined {
  const { text } = token;
  return words
    .split(' ')
    .find(
      (word) => meets(token, word) || (abbreviates && isExact(token) && text !== '' && word.startsWith(text)),
    );
}

/** Whether a token can be one of these words. */
function meets(token: Token, words: string): boolean {
  const list = words.split(' ');
  if (isExact(token) && !isGlob(words)) return list.includes(token.text);
  const shapes = shapesOf(token);
  return list.some((word) => shapes.some((shape) => canMeet(shape, globShape(word))));
}

function isCode(argument: Argument, all: readonly Argument[], { code }: ProgramFacts): boolean {
  if (code === undefined) return false;
  const { token, role, option, from, to } = argument;
  if (isExact(token) && code.safe.test(token.text)) return false;
  const after = code.after?.split(' ') ?? [];
  if (role === 'value') return option !== undefined && after.includes(option);
  if (role !== 'free' || code.at === undefined || to < code.at.from || from > code.at.to) return false;
  // With the script behind an option, those that stand free are files.
  return !all.some((one) => one.role === 'option' && one.isFixed && after.includes(one.token.text));
}

function guardedHarms(all: readonly Argument[], guarded: string): readonly Found[] {
  return all.flatMap((argument) => {
    if (argument.role !== 'free' || argument.to < 1) return [];
    const word = guarded.split(' ').find((one) => meets(argument.token, one));
    if (word === undefined) return [];
    const { token, path, atKey } = argument;
    return [
      { harm: 'starts', path, atKey, what: `"${token.text}" takes in "${word}", and the machine with it` },
    ];
  });
}

/** Whether every command of the grammar has one of these spellings in it. */
function isAlways(spellings: string | undefined, all: readonly Argument[], facts: ProgramFacts): boolean {
  if (spellings === undefined) return false;
  return all.some(
    (one) => one.isFixed && isExact(one.token) && spelledBy(spellings, one, facts) !== undefined,
  );
}

function told(harm: Harm, { token, path, atKey }: Argument, spelling: string | undefined): Found {
  const { text } = token;
  const wish = spelling?.replace(/^[~=.]/, '');
  const what =
    wish === undefined || isExact(token)
      ? `"${text}" here ${HARM_TEXT[harm]}`
      : `"${text}" can be ${nameOf(wish)}, which ${HARM_TEXT[harm]}`;
  return { harm, path, atKey, what };
}

function nameOf(wish: string): string {
  if (wish === 'code') return 'any code';
  return isGlob(wish) ? 'a word' : `"${wish}"`;
}

function asFindings({ harm, path, atKey, what }: Found, at: YamlPath, isReadOnly: boolean): LintFinding[] {
  const base = { path: [...at, ...path], atKey: atKey === true };
  const level = LEVELS[harm];
  const findings: LintFinding[] = [];
  if (level !== undefined) findings.push({ ...base, level, code: harm, message: what, hint: HINTS[harm] });
  if (isReadOnly && (harm === 'changes' || harm === 'writes')) {
    const message = `says readOnly, but ${what}`;
    findings.push({ ...base, level: 'danger', code: 'not-read-only', message, hint: HINTS.changes });
  }
  return findings;
}

/** One finding for each kind of harm is enough to look at a command. */
function firstOfEach(found: readonly Found[]): readonly Found[] {
  return found.filter((one, index) => found.findIndex(({ harm }) => harm === one.harm) === index);
}

/** Wildcards that begin with a dash and take in options that nobody listed. */
function swallowers(
  all: readonly Argument[],
  facts: ProgramFacts | undefined,
  at: YamlPath,
): readonly LintFinding[] {
  return all.flatMap(({ token, path, role, isCertain }): LintFinding[] => {
    const { text } = token;
    if (!isDashWord(text) || !isGlob(text) || isExact(token)) return [];
    // `--since=*` and `-[0-9]*` are one option, and `-n*` is one where the program is known to take a value there.
    if (/^--[^=*?[]+=|^-\[[0-9-]+\]/.test(text)) return [];
    if (role === 'value' && isCertain === true) return [];
    const letter = /^-[A-Za-z]/.exec(text)?.[0];
    if (letter !== undefined && facts?.valued?.split(' ').includes(letter) === true) return [];
    return [
      {
        level: 'danger',
        code: 'swallows-options',
        path: [...at, ...path],
        message: `"${text}" takes in options that nobody has listed`,
        hint: 'Write the options out.',
      },
    ];
  });
}

/** Colours that are on whatever reads the output. */
function colours(all: readonly Argument[], at: YamlPath): readonly LintFinding[] {
  return all.flatMap(({ token, path, option }): LintFinding[] => {
    const isValue = option === '--color' || option === '--colour' || option === '--colors';
    const word = isValue ? 'always' : '--color=always --colour=always --colors=always';
    // A wildcard that takes in every option is a danger of its own.
    if (!meets(token, word) || (!isValue && !token.text.startsWith('--col'))) return [];
    const message = `"${token.text}" colours the answer also where nobody looks at it`;
    return [{ level: 'warn', code: 'terminal', path: [...at, ...path], message, hint: HINTS.terminal }];
  });
}

function unknownProgram(program: string, at: YamlPath): LintFinding {
  return {
    level: 'info',
    code: 'unknown-program',
    path: [...at, 'program'],
    message: `the lint knows nothing of "${program}"`,
    hint: 'Ask what its options can start, write and read, and list those that you need.',
  };
}

function harmEntries(table: Partial<Record<Harm, string>> | undefined): readonly [Harm, string][] {
  const harms = ['starts', 'writes', 'reads', 'changes', 'endless', 'terminal'] as const;
  return harms.flatMap((harm) => {
    const text = table?.[harm];
    return text === undefined ? [] : [[harm, text]];
  });
}
