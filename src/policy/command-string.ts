import { parse as shellQuoteParse } from 'shell-quote';
import { utf8 } from '../lib/bytes.ts';
import { FanoutError } from '../lib/errors.ts';
import { refusedCharacter, shown } from './characters.ts';
import { caretExcerpt } from './excerpt.ts';
import { handlerName, queryName } from './names.ts';

/** Longest command line in bytes. Far above what a person types; bounds the work of both parsers. */
const COMMAND_BYTES_MAX = 2048;
/** The envelope's bounds: arguments of one command, bytes of one argument, bytes of all of them together. */
export const ARGUMENTS_MAX = 64;
const ARGUMENT_BYTES_MAX = 4096;
const ARGV_BYTES_MAX = 32 * 1024;

/** A program is a bare name or a path. Anything else (`FOO=bar`, `-x`) would mean something to a shell. */
const PROGRAM = /^[A-Za-z0-9._+/][A-Za-z0-9._+/-]*$/;

/**
 * What an unquoted character means to a shell, and what to do instead. Each of them refuses the whole
 * command.
 */
const SHELL_CHARACTERS: Readonly<Record<string, readonly [name: string, hint: string]>> = {
  '|': ['pipe', 'Filter here instead, behind the closing quote: fanout "..." | grep x'],
  '&': ['operator', 'Give one command; fanout waits for it. Run a second one with a second fanout.'],
  ';': ['separator', 'Give one command, and run a second one with a second fanout.'],
  '<': ['redirection', 'Name the file as an argument, if the program takes one.'],
  '>': ['redirection', 'Collect the output here instead, behind the closing quote: fanout "..." > file'],
  '(': ['subshell', 'Give one command. In an argument, quote it: "("'],
  ')': ['subshell', 'Give one command. In an argument, quote it: ")"'],
  $: ['expansion', "Write the value itself. For a literal dollar sign, use single quotes: '$'"],
  '`': ['substitution', "Run the inner command first, and write its result. For a literal one: '`'"],
  '\\': ['backslash', "Use single quotes instead: 'two words'"],
  '*': ['wildcard', 'Name the files, or their folder. For a literal one, quote it: "*"'],
  '?': ['wildcard', 'Name the files, or their folder. For a literal one, quote it: "?"'],
  '[': ['wildcard', 'Name the files, or their folder. For a literal one, quote it: "["'],
  ']': ['wildcard', 'Name the files, or their folder. For a literal one, quote it: "]"'],
  '{': ['brace', 'Write each argument out. For a literal one, quote it: "{"'],
  '}': ['brace', 'Write each argument out. For a literal one, quote it: "}"'],
  '~': ['home directory', 'Write the path out. For a literal one, quote it: "~"'],
  '#': ['comment', 'Leave the comment out. For a literal one, quote it: "#"'],
  '!': ['negation', 'Leave it out. For a literal one, quote it: "!"'],
};

/** What still means something to a shell inside double quotes. */
const ACTIVE_IN_DOUBLE_QUOTES = new Set(['$', '`', '\\']);

const NO_SHELL = 'fanout runs one program, not a shell';

/**
 * Splits a command line into an argv exactly as a POSIX shell would split it, or refuses it: whatever a shell
 * would expand, glob, connect or substitute is refused, never guessed at. shell-quote has to come to the same
 * words. Throws FanoutError COMMAND_REFUSED with the place under a caret and a hint.
 */
export function parseCommandString(text: string): string[] {
  const size = utf8(text).length;
  if (size > COMMAND_BYTES_MAX) {
    throw new FanoutError(
      'COMMAND_REFUSED',
      `the command has ${size} bytes, at most ${COMMAND_BYTES_MAX} are taken`,
      { hint: 'Give a long argument after --, where nothing is parsed: fanout -- program argument' },
    );
  }
  const bad = refusedCharacter(text);
  if (bad !== undefined) {
    throw refusal(text, bad.index, bad.name, 'not taken, not even in quotes', 'Remove or retype it.');
  }
  const argv = splitWords(text);
  if (argv.length === 0) {
    throw new FanoutError('COMMAND_REFUSED', 'the command is empty', { hint: 'For example: fanout "ps ax"' });
  }
  const problem = checkArgv(argv);
  if (problem !== undefined) throw unfitArgv(text, argv[0] ?? '', problem);
  if (!shellQuoteAgrees(text, argv)) {
    throw new FanoutError('COMMAND_REFUSED', 'two parsers disagree about this command', {
      hint: 'Give its words one by one after --, where nothing is parsed: fanout -- program argument',
    });
  }
  return argv;
}

/**
 * Why an argv is not acceptable, or undefined when it is. Both ends ask: the operator's for `fanout -- ps
 * ax`, and the node's for whatever arrived, because a node parses nothing but checks everything.
 */
export function checkArgv(argv: readonly string[]): string | undefined {
  const program = argv[0];
  if (program === undefined) return 'there is no program';
  if (argv.length > ARGUMENTS_MAX) return `${argv.length} words, at most ${ARGUMENTS_MAX} are taken`;
  let total = 0;
  for (const [index, argument] of argv.entries()) {
    const name = index === 0 ? 'the program name' : `argument ${index}`;
    const bad = refusedCharacter(argument);
    if (bad !== undefined) return `${name} has a character that is not taken: ${bad.name}`;
    const size = utf8(argument).length;
    if (size > ARGUMENT_BYTES_MAX)
      return `${name} has ${size} bytes, at most ${ARGUMENT_BYTES_MAX} are taken`;
    total += size;
  }
  if (total > ARGV_BYTES_MAX)
    return `the words have ${total} bytes together, at most ${ARGV_BYTES_MAX} are taken`;
  return isProgram(program) ? undefined : `"${program}" is not a program name`;
}

/** A program, or what stands in its place: a handler or a query of the node, with a colon that no program has. */
function isProgram(word: string): boolean {
  return PROGRAM.test(word) || handlerName(word) !== undefined || queryName(word) !== undefined;
}

/**
 * Words split at blanks; quotes keep blanks, and pieces that touch join. Throws for everything with another
 * meaning.
 */
function splitWords(text: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let at = 0;
  while (at < text.length) {
    const character = text.charAt(at);
    if (character === ' ' || character === '\t') {
      if (word !== undefined) words.push(word);
      word = undefined;
      at++;
    } else if (character === "'" || character === '"') {
      const end = closingQuote(text, at, character);
      word = (word ?? '') + text.slice(at + 1, end);
      at = end + 1;
    } else {
      // An exclamation mark negates only where a word begins; inside one it is an ordinary letter.
      const isInsideWord = character === '!' && word !== undefined;
      if (!isInsideWord && Object.hasOwn(SHELL_CHARACTERS, character)) throw shellCharacter(text, at);
      word = (word ?? '') + character;
      at++;
    }
  }
  if (word !== undefined) words.push(word);
  return words;
}

/** Index of the quote that closes the one at `open`. */
function closingQuote(text: string, open: number, quote: string): number {
  for (let at = open + 1; at < text.length; at++) {
    const character = text.charAt(at);
    if (character === quote) return at;
    if (quote === '"' && ACTIVE_IN_DOUBLE_QUOTES.has(character)) throw shellCharacter(text, at);
  }
  throw refusal(text, open, `quote ${quote}`, 'it is never closed', 'Close it, or leave it out.');
}

function shellCharacter(text: string, at: number): FanoutError {
  const character = text.charAt(at);
  const [name, hint] = SHELL_CHARACTERS[character] ?? ['character', 'Quote it.'];
  const isDoubled = '|&<>'.includes(character) && text.charAt(at + 1) === character;
  const operator = isDoubled ? character + character : character;
  const kind = isDoubled && character === '|' ? 'operator' : name;
  return refusal(text, at, `${kind} "${operator}"`, NO_SHELL, hint);
}

function unfitArgv(text: string, program: string, problem: string): FanoutError {
  if (isProgram(program)) {
    return new FanoutError('COMMAND_REFUSED', problem, { hint: 'Split the command into several.' });
  }
  const start = text.search(/[^ \t]/);
  const hint = /^[A-Za-z_]\w*=/.test(program)
    ? 'The environment of a command is fixed. Leave the variable out.'
    : 'Begin with a program, such as: ps ax';
  return refusal(text, start, `"${program}"`, 'it is not the name of a program', hint);
}

function refusal(text: string, index: number, what: string, why: string, hint: string): FanoutError {
  const column = [...text.slice(0, index)].length + 1;
  const message = `${what} at column ${column}: ${why}\n${caretExcerpt(text, index)}`;
  return new FanoutError('COMMAND_REFUSED', message, { hint });
}

/** A second opinion by an independent parser. Only a list of the same plain words counts as agreement. */
function shellQuoteAgrees(text: string, argv: readonly string[]): boolean {
  try {
    // Handed in so that a variable comes back as an object, never as an empty string.
    const words = shellQuoteParse(text, (name) => ({ op: name }));
    return words.length === argv.length && argv.every((word, index) => words[index] === word);
  } catch {
    return false;
  }
}

/**
 * A word as a person would type it: bare when it can be, else in quotes, with nothing that could steer a
 * terminal.
 */
export function shownWord(word: string): string {
  const text = shown(word);
  return /^[A-Za-z0-9._+/:=,@%-]+$/.test(text) ? text : JSON.stringify(text);
}
