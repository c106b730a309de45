import { sanitiseText } from '../../lib/sanitise.ts';
import { formatDuration, type Millis } from '../../lib/time.ts';
import type { Outcome } from '../../run/outcome.ts';
import { liveBindings } from '../model/bindings.ts';
import type { ListPosition } from '../model/list.ts';
import type { SessionState } from '../model/state.ts';
import type { TextField } from '../model/text-field.ts';
import { columnsOf, fitted, type Line, type Span, type StyleName } from '../view/line.ts';
import { wrappedWords } from '../view/wrap.ts';

const RULE = '─';
/** Room for the mark in front of a line of output. */
const MARGIN = '   ';

export function span(text: string, style?: StyleName): Span {
  return style === undefined ? { text } : { text, style };
}

/** Text that came from somewhere else: from a node, a member, a file. */
export function foreign(text: string, style?: StyleName): Span {
  return span(sanitiseText(text), style);
}

/** A text of somewhere else in as many lines as it takes, for what has to be read to its end. */
export function paragraph(text: string, columns: number): Line[] {
  const width = Math.max(1, columns - MARGIN.length);
  return wrappedWords(sanitiseText(text), width).map((line) =>
    fitted([span(MARGIN), span(line, 'warn')], columns),
  );
}

/** A line across the screen, with a title in it if there is one. */
export function rule(columns: number, title = ''): Line {
  if (title === '') return [span(RULE.repeat(columns), 'dim')];
  const head = `${RULE} ${sanitiseText(title)} `;
  const rest = Math.max(0, columns - columnsOf(head));
  return fitted([span(head + RULE.repeat(rest), 'dim')], columns);
}

/** Left and right on one line; the right side is kept, the left one gives way. */
export function ends(left: Line, right: Line, columns: number): Line {
  const width = right.reduce((sum, { text }) => sum + columnsOf(text), 0);
  if (width >= columns) return fitted(left, columns);
  return [...fitted(left, columns - width), ...right];
}

export interface Column {
  readonly title: string;
  readonly width: number;
  readonly align?: 'right';
}

/** Cells below each other: each is cut or filled to its width, two blanks apart. */
export function cells(columns: readonly Column[], spans: readonly Span[]): Line {
  const line: Span[] = [];
  for (const [i, column] of columns.entries()) {
    const cell = spans[i] ?? span('');
    if (i > 0) line.push(span('  '));
    const missing = column.width - columnsOf(cell.text);
    if (column.align === 'right' && missing > 0) line.push(span(' '.repeat(missing)), cell);
    else line.push(...fitted([cell], column.width));
  }
  return line;
}

export function heads(columns: readonly Column[]): Line {
  return cells(
    columns,
    columns.map(({ title }) => span(title, 'dim')),
  );
}

/** A row of a list. The selected one is marked by a sign as well as by its look. */
export function row(line: Line, isSelected: boolean, columns: number): Line {
  if (!isSelected) return fitted([span('  '), ...line], columns);
  // One style all along, so that colours inside do not break the bar.
  const text = fitted(line, columns - 2);
  return [span('> ', 'selected'), ...text.map((part) => span(part.text, 'selected'))];
}

/** The rows of a list that are on the screen, padded with empty lines to its height. */
export function listRows<T>(
  items: readonly T[],
  position: ListPosition,
  height: number,
  draw: (item: T, index: number, isSelected: boolean) => Line,
): Line[] {
  const shown = items
    .slice(position.top, position.top + height)
    .map((item, i) => draw(item, position.top + i, position.top + i === position.cursor));
  return filled(shown, height);
}

/** Exactly so many lines. */
export function filled(lines: readonly Line[], height: number): Line[] {
  return Array.from({ length: height }, (_, i) => lines[i] ?? []);
}

/** A text that is being edited, and where its cursor stands; what does not fitted on the left gives way. */
export function editable(field: TextField, columns: number): { line: Line; column: number } {
  const width = Math.max(1, columns - 1);
  let start = 0;
  while (columnsOf(field.text.slice(start, field.cursor)) > width) start++;
  const before = field.text.slice(start, field.cursor);
  return {
    line: fitted([foreign(field.text.slice(start))], columns),
    column: columnsOf(sanitiseText(before)),
  };
}

/** The keys that work here, as many as fitted; a remark takes their place while it is fresh. */
export function keyLine(state: SessionState): Line {
  const { notice, columns } = state;
  if (notice !== undefined) return fitted([span(' '), foreign(notice.text, notice.style)], columns);
  const spans: Span[] = [];
  let left = columns - 1;
  for (const { keys, label, blocked } of liveBindings(state)) {
    if (label === '' || blocked?.(state) !== undefined) continue;
    const key = shownKey(keys[0] ?? '');
    const width = columnsOf(key) + columnsOf(label) + 3;
    if (width > left) continue;
    left -= width;
    spans.push(span(' '), span(key, 'key'), span(` ${label} `));
  }
  return fitted(spans, columns);
}

const KEY_NAMES: Readonly<Record<string, string>> = {
  enter: 'Enter',
  escape: 'Esc',
  tab: 'Tab',
  backtab: 'Shift-Tab',
  space: 'Space',
  up: '↑',
  down: '↓',
  left: '←',
  right: '→',
  home: 'Home',
  end: 'End',
  pageup: 'PgUp',
  pagedown: 'PgDn',
  backspace: 'Backspace',
  delete: 'Del',
};

/** A key as people write it: `ctrl-r` is `^R`. */
export function shownKey(key: string): string {
  if (key.startsWith('ctrl-')) return `^${key.slice('ctrl-'.length).toUpperCase()}`;
  return KEY_NAMES[key] ?? key;
}

const OUTCOME_STYLES: Readonly<Record<Outcome, StyleName>> = {
  untrusted: 'bad',
  failed: 'bad',
  'not-started': 'bad',
  denied: 'warn',
  'timed-out': 'bad',
  lost: 'bad',
  silent: 'bad',
  cancelled: 'warn',
  running: 'note',
  held: 'note',
  acked: 'dim',
  waiting: 'dim',
  allowed: 'good',
  ok: 'good',
};

export function outcomeSpan(outcome: Outcome): Span {
  return span(outcome, OUTCOME_STYLES[outcome]);
}

/** A moment of the day on the operator's clock. */
export function clock(state: SessionState, unixMs = state.unixMs): string {
  return new Date(unixMs + state.zoneMinutes * 60_000).toISOString().slice(11, 19);
}

/** How long ago, in words short enough for a column. */
export function ago(unixMs: number, nowUnixMs: number): string {
  const ms = nowUnixMs - unixMs;
  return ms < 2000 ? 'just now' : `${formatDuration(ms)} ago`;
}

export function seconds(ms: Millis): string {
  return ms < 100_000 ? `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s` : formatDuration(ms);
}

/** A size in four columns: `831`, `12k`, `3.4M`. */
export function shortSize(bytes: number): string {
  let value = bytes;
  for (const unit of ['', 'k', 'M', 'G']) {
    if (value < 1000 || unit === 'G') {
      return unit === '' || value >= 100 ? `${Math.round(value)}${unit}` : `${value.toFixed(1)}${unit}`;
    }
    value /= 1000;
  }
  return String(bytes);
}
