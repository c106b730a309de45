import { foldNames } from '../../lib/node-set.ts';
import { runTargets } from '../model/command.ts';
import {
  type HistoryEntry,
  OPTION_NAMES,
  type OptionName,
  type SessionState,
  type VerdictGroup,
} from '../model/state.ts';
import type { Frame, Line, Span } from '../view/line.ts';
import { fitted } from '../view/line.ts';
import { ago, editable, ends, filled, foreign, keyLine, rule, span } from './parts.ts';
import { titleLine } from './targets.ts';

const LABEL_WIDTH = 9;
/** Kinds of verdict that are listed; more than these are counted together. */
const VERDICT_LINES_MAX = 6;

const OPTION_LABELS: Readonly<Record<OptionName, string>> = {
  timeout: 'timeout',
  batch: 'batch',
  pause: 'pause between batches',
  canary: 'canary',
  errors: 'stop above this many errors',
  window: 'at once at most',
};
const OPTION_EMPTY: Readonly<Record<OptionName, string>> = {
  timeout: '30s',
  batch: 'all at once',
  pause: 'none',
  canary: 'none',
  errors: 'never',
  window: 'no limit',
};

/** Typing the command: what the nodes would say to it, its options, and what was run before. */
export function drawCommand(state: SessionState): Frame {
  const { columns, rows, command } = state;
  const targets = runTargets(state);
  const room = columns - LABEL_WIDTH - 1;
  const field = editable(command.field, room);
  const where =
    command.only === undefined
      ? `${state.targets.selector === '' ? 'everybody' : state.targets.selector}`
      : `${command.only.why}: ${foldNames(targets)}`;
  const count = span(`  ${targets.length} node${targets.length === 1 ? '' : 's'} `, 'bold');
  const placeholder = span('a program with its arguments, such as: uptime', 'dim');
  const text = command.field.text === '' ? fitted([placeholder], room) : field.line;
  const options = optionLines(state);
  const above: Line[] = [
    titleLine(state),
    ends([label('Target'), foreign(where)], [count], columns),
    [label('Run'), ...text],
    rule(columns),
    ...verdictLines(state),
    rule(columns, 'options (^O)'),
    ...options.lines,
    rule(columns, 'before (↑ ↓, ^R searches)'),
  ];
  const lines = [
    ...filled([...above, ...historyLines(state, rows - 1 - above.length)], rows - 1),
    keyLine(state),
  ];
  if (state.overlay !== undefined) return { lines };
  const cursor =
    command.option === undefined
      ? { row: 2, column: LABEL_WIDTH + field.column }
      : { row: above.length - 1 - options.lines.length + options.row, column: options.column };
  return { lines, cursor };
}

function label(text: string): Span {
  return span(` ${text}`.padEnd(LABEL_WIDTH), 'title');
}

function verdictLines(state: SessionState): Line[] {
  const { verdict } = state.command;
  const one = (text: Span): Line[] => [[label('Verdict'), text]];
  switch (verdict.kind) {
    case 'none':
      return one(
        runTargets(state).length > 0 && state.command.field.text.trim() !== ''
          ? span('not asked: ^P asks the nodes what they would do', 'dim')
          : span('what the nodes would say to it is shown here before anything runs', 'dim'),
      );
    case 'refused':
      return one(foreign(`not a command: ${verdict.reason}`, 'bad'));
    case 'waiting':
    case 'asking':
      return one(span('asking the nodes ...', 'dim'));
    case 'unknown':
      return one(foreign(`could not ask: ${verdict.reason}`, 'warn'));
    case 'known':
      return knownLines(verdict.groups, state.columns);
  }
}

function knownLines(groups: readonly VerdictGroup[], columns: number): Line[] {
  const shown = groups.slice(0, VERDICT_LINES_MAX);
  const lines = shown.map((group, i) =>
    fitted([label(i === 0 ? 'Verdict' : ''), ...verdictSpans(group)], columns),
  );
  const rest = groups.slice(VERDICT_LINES_MAX).reduce((sum, { names }) => sum + names.length, 0);
  if (rest > 0) lines.push([label(''), span(`and other answers of ${rest} nodes`, 'dim')]);
  return lines.length > 0 ? lines : [[label('Verdict'), span('nobody answered', 'warn')]];
}

const VERDICT_STYLES = {
  allowed: 'good',
  denied: 'bad',
  failed: 'bad',
  silent: 'warn',
  untrusted: 'bad',
} as const;

function verdictSpans(group: VerdictGroup): Span[] {
  const { verdict, rule: by, reason, readOnly, names } = group;
  const word = { failed: 'cannot start it', silent: 'silent', untrusted: 'NOT TRUSTED' }[
    verdict as 'failed' | 'silent' | 'untrusted'
  ] as string | undefined;
  const why = by === '' ? reason : `by rule "${by}"${reason === '' ? '' : `: ${reason}`}`;
  return [
    span(`${word ?? verdict} `, VERDICT_STYLES[verdict]),
    span(`on ${names.length} `, 'bold'),
    foreign(`${why}${verdict !== 'allowed' ? '' : readOnly ? ', read-only' : ', MAY CHANGE THINGS'}  `),
    foreign(foldNames(names), 'dim'),
  ];
}

/** The options on as many lines as they need, and where the cursor stands when one is edited. */
function optionLines(state: SessionState): { lines: Line[]; row: number; column: number } {
  const { option, options } = state.command;
  const lines: Span[][] = [[]];
  let width = 0;
  const at = { row: 0, column: 0 };
  for (const name of OPTION_NAMES) {
    const { text, cursor } = options[name];
    const isEdited = option === name;
    const value = text === '' && !isEdited ? OPTION_EMPTY[name] : text;
    const head = `  ${OPTION_LABELS[name]} `;
    const size = head.length + Math.max(value.length + 1, 4);
    if (width > 0 && width + size > state.columns) {
      lines.push([]);
      width = 0;
    }
    lines
      .at(-1)
      ?.push(span(head, 'dim'), foreign(value, isEdited ? 'selected' : text === '' ? 'dim' : 'bold'));
    lines.at(-1)?.push(span(' '.repeat(Math.max(1, 4 - value.length))));
    if (isEdited) Object.assign(at, { row: lines.length - 1, column: width + head.length + cursor });
    width += size;
  }
  return { lines: lines.map((line) => fitted(line, state.columns)), ...at };
}

function historyLines(state: SessionState, height: number): Line[] {
  const { recalled } = state.command;
  const seen = new Set<string>();
  const entries = state.history.filter(({ command }) => !seen.has(command) && seen.add(command));
  const start = Math.max(0, recalled - Math.max(1, height) + 1);
  return entries
    .slice(start, start + Math.max(0, height))
    .map((entry, i) =>
      ends(
        [span(start + i === recalled ? ' > ' : '   '), foreign(entry.command)],
        [foreign(`  ${whatCame(entry)}  ${ago(entry.unixMs, state.unixMs).padStart(10)} `, 'dim')],
        state.columns,
      ),
    );
}

/** What came of a run of before, in few words. */
export function whatCame(entry: HistoryEntry): string {
  const { counts, targets } = entry;
  const parts = Object.entries(counts)
    .filter(([outcome, count]) => outcome !== 'ok' && (count ?? 0) > 0)
    .map(([outcome, count]) => `${count} ${outcome}`);
  return [`${counts.ok ?? 0}/${targets} ok`, ...parts].join(' ');
}
