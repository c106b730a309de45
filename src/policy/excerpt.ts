import { textWidth } from '../lib/text-width.ts';
import { shown } from './characters.ts';

/** Columns of a line that are shown. Fits a terminal of 80 columns with the indentation. */
const EXCERPT_COLUMNS = 72;
const INDENT = '  ';

/**
 * Two lines: the part of `line` around `index` (in UTF-16 units), and a caret under that place. Nothing in
 * `line` can steer the terminal, and the caret stands right under wide characters too.
 */
export function caretExcerpt(line: string, index: number): string {
  const before = shown(line.slice(0, index));
  const from = Math.max(0, before.length - EXCERPT_COLUMNS / 2);
  const head = `${from > 0 ? '...' : ''}${before.slice(from)}`;
  const tail = shown(line.slice(index));
  const room = Math.max(1, EXCERPT_COLUMNS - head.length);
  const end = tail.length > room ? `${tail.slice(0, room)}...` : tail;
  return `${INDENT}${head}${end}\n${INDENT}${' '.repeat(textWidth(head))}^`;
}
