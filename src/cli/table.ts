import { textWidth } from '../lib/text-width.ts';

/** Rows as Serf prints them: cells padded to the widest of their column, two spaces between, the last one not padded. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, textWidth(cell));
  }
  const pad = (cell: string, i: number, row: readonly string[]): string =>
    i === row.length - 1 ? cell : cell + ' '.repeat((widths[i] ?? 0) - textWidth(cell));
  return rows.map((row) => row.map((cell, i) => pad(cell, i, row)).join('  ')).join('\n');
}
