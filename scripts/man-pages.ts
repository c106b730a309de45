import type { Command } from 'commander';
import { VERSION } from '../src/lib/version.ts';

/** The man pages of a program and all its commands, by file name, made of what `--help` would print. */
export function manPages(program: Command): ReadonlyMap<string, string> {
  return new Map(withChildren(program).map((command) => [`${pageName(command)}.1`, manPage(command)]));
}

function withChildren(command: Command): Command[] {
  return [command, ...childrenOf(command).flatMap(withChildren)];
}

/** Without those that are hidden, and without commander's own "help". */
function childrenOf(command: Command): Command[] {
  return command
    .createHelp()
    .visibleCommands(command)
    .filter((child) => command.commands.includes(child));
}

function pageName(command: Command): string {
  return command.parent === null ? command.name() : `${pageName(command.parent)}-${command.name()}`;
}

function manPage(command: Command): string {
  const help = command.createHelp();
  const name = pageName(command);
  const terms = <T>(
    title: string,
    items: readonly T[],
    term: (item: T) => string,
    about: (item: T) => string,
  ) =>
    items.length === 0 ? [] : [`.SH ${title}`, ...items.flatMap((item) => entry(term(item), about(item)))];
  const lines = [
    `.TH ${escaped(name.toUpperCase())} 1 "" "fanout ${VERSION}" fanout`,
    '.nh',
    '.ad l',
    '.SH NAME',
    `${escaped(name)} \\- ${escaped(summaryOf(command))}`,
    '.SH SYNOPSIS',
    escaped(help.commandUsage(command)),
    '.SH DESCRIPTION',
    ...prose(help.commandDescription(command)),
    ...terms(
      'ARGUMENTS',
      help.visibleArguments(command),
      (item) => help.argumentTerm(item),
      (item) => help.argumentDescription(item),
    ),
    ...terms(
      'OPTIONS',
      help.visibleOptions(command),
      (item) => help.optionTerm(item),
      (item) => help.optionDescription(item),
    ),
    ...terms(
      'COMMANDS',
      help.visibleCommands(command),
      (item) => help.subcommandTerm(item),
      (item) => help.subcommandDescription(item),
    ),
    ...notes(textAfterHelp(command)),
    ...seeAlso(command),
  ];
  return `${lines.join('\n')}\n`;
}

/** A program has no summary; its description begins with a sentence. */
function summaryOf(command: Command): string {
  return command.summary() || (command.description().split('.\n')[0] ?? '').replace(/\n/g, ' ');
}

/** What `addHelpText` has added: commander tells it to whoever prints the help. */
function textAfterHelp(command: Command): string {
  const { writeOut } = command.configureOutput();
  let text = '';
  command.configureOutput({
    writeOut: (part) => {
      text += part;
    },
  });
  command.outputHelp();
  if (writeOut !== undefined) command.configureOutput({ writeOut });
  return text.slice(command.helpInformation().length);
}

function notes(text: string): string[] {
  const lines = prose(text);
  return lines[0] === undefined || lines[0].startsWith('.SH') ? lines : ['.SH NOTES', ...lines];
}

function seeAlso(command: Command): string[] {
  const others = [...(command.parent === null ? [] : [command.parent]), ...childrenOf(command)];
  if (others.length === 0) return [];
  return ['.SH SEE ALSO', others.map((other) => `\\fB${escaped(pageName(other))}\\fR(1)`).join(', ')];
}

/**
 * Text of a help as it was written: paragraphs, lines with an indent that stay as they are, rows of two columns, and
 * headings that end in a colon.
 */
function prose(text: string): string[] {
  const out: string[] = [];
  let last = 'gap' as 'text' | 'row' | 'kept' | 'gap';
  const move = (to: typeof last, ...lines: string[]): void => {
    if (last === 'kept' && to !== 'kept') out.push('.fi', '.RE');
    if (last !== 'kept' && to === 'kept') out.push(...(out.length > 0 ? ['.PP'] : []), '.RS 4', '.nf');
    // The first paragraph of a section needs no space above it.
    if (to === 'text' && last !== 'text' && out.length > 0) out.push('.PP');
    out.push(...lines);
    last = to;
  };
  for (const line of text.trim().split('\n')) {
    const [, indent = '', first = '', second] = /^( *)(\S.*?)(?: {2,}(\S.*))?$/.exec(line) ?? [];
    if (first === '') move('gap');
    else if (/^[A-Z][a-z ]+:$/.test(line)) move('gap', `.SH ${escaped(first.slice(0, -1).toUpperCase())}`);
    else if (indent === '') move('text', escaped(line));
    else if (second !== undefined) move('row', ...entry(first, second));
    else if (last === 'row' && indent.length > 8) out.push(escaped(first));
    else move('kept', escaped(line.slice(2)));
  }
  move('gap');
  return out;
}

function entry(term: string, about: string): string[] {
  return ['.TP', `\\fB${escaped(term)}\\fR`, escaped(about)];
}

/** Text as roff shows it unchanged: its quotes, dashes and hats would otherwise become other characters. */
function escaped(text: string): string {
  const shown = text.replace(/[\\\-'"`^~]/g, (character) => SPECIAL[character] ?? character);
  return shown.replace(/^\./gm, '\\&.');
}

const SPECIAL: Readonly<Record<string, string>> = {
  '\\': '\\(rs',
  '-': '\\-',
  "'": '\\(aq',
  '"': '\\(dq',
  '`': '\\(ga',
  '^': '\\(ha',
  '~': '\\(ti',
};
