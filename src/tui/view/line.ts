import { textWidth } from '../../lib/text-width.ts';

/** How a piece of text looks. None of them carries a meaning that the text does not carry as well. */
export type StyleName = 'dim' | 'bold' | 'good' | 'bad' | 'warn' | 'note' | 'selected' | 'key' | 'title';

export interface Span {
  readonly text: string;
  readonly style?: StyleName;
}

/** One line of a screen. */
export type Line = readonly Span[];

/** A whole screen. Rows and columns are counted from 0; without a cursor it is hidden. */
export interface Frame {
  readonly lines: readonly Line[];
  readonly cursor?: { readonly row: number; readonly column: number };
}

const CUT_MARK = '…';

/** Terminal columns of a text without control characters. */
export function columnsOf(text: string): number {
  return textWidth(text);
}

export function textOf(line: Line): string {
  return line.map(({ text }) => text).join('');
}

/** The line at exactly so many columns: filled with blanks, or cut with a mark. Characters are never cut in two. */
export function fitted(line: Line, columns: number): Line {
  let used = 0;
  for (const { text } of line) used += columnsOf(text);
  if (used === columns) return line;
  if (used < columns) return [...line, { text: ' '.repeat(columns - used) }];
  return columns <= 0 ? [] : cutLine(line, columns);
}

function cutLine(line: Line, columns: number): Line {
  const kept: Span[] = [];
  let left = columns - 1;
  for (const span of line) {
    const width = columnsOf(span.text);
    if (width <= left) {
      kept.push(span);
      left -= width;
      continue;
    }
    const text = cutText(span.text, left);
    const missing = left - columnsOf(text);
    kept.push({ ...span, text: text + CUT_MARK + ' '.repeat(missing) });
    break;
  }
  return kept;
}

/** As much of the start of a text as fits into so many columns. */
function cutText(text: string, columns: number): string {
  let used = 0;
  let at = 0;
  for (const character of text) {
    const width = columnsOf(character);
    if (used + width > columns) break;
    used += width;
    at += character.length;
  }
  return text.slice(0, at);
}

const ASCII_FOR: Readonly<Record<string, string>> = {
  '─': '-',
  '…': '~',
  '↑': '^',
  '↓': 'v',
  '←': '<',
  '→': '>',
};

/** The line without the few glyphs of ours that are not ASCII. What nodes write stays as it is. */
export function ascii(line: Line): Line {
  return line.map((span) => ({
    ...span,
    text: span.text.replace(/[─…↑↓←→]/g, (glyph) => ASCII_FOR[glyph] ?? '?'),
  }));
}
