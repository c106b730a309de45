import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { Canvas } from '../../src/tui/terminal/canvas.tsx';
import { Painter } from '../../src/tui/terminal/painter.ts';
import { ascii, columnsOf, type Frame, fitted, type Line, textOf } from '../../src/tui/view/line.ts';
import { removeFolder, runProgram, temporaryFolder } from '../support/processes.ts';
import { Xterm } from '../support/xterm.ts';

const CANVAS = fileURLToPath(new URL('../../src/tui/terminal/canvas.tsx', import.meta.url));
const MODULES = fileURLToPath(new URL('../../node_modules', import.meta.url));

const canvas = new Canvas(true);
afterAll(() => canvas.close());

const styles = [undefined, 'dim', 'bold', 'good', 'bad', 'warn', 'note', 'selected', 'key', 'title'] as const;
const span = fc.record({
  text: fc.string({ maxLength: 12, unit: fc.constantFrom('a', 'b', ' ', 'é', '世', '─', '~') }),
  style: fc.constantFrom(...styles),
});
const line: fc.Arbitrary<Line> = fc
  .array(span, { maxLength: 6 })
  .map((spans) => spans.map(({ text, style }) => (style === undefined ? { text } : { text, style })));

describe('a line', () => {
  test('is fitted to exactly the width, and cut between characters', () => {
    fc.assert(
      fc.property(line, fc.integer({ min: 1, max: 60 }), (one, columns) => {
        const text = textOf(fitted(one, columns));
        expect(columnsOf(text)).toBe(columns);
        if (columnsOf(textOf(one)) <= columns) expect(text.startsWith(textOf(one))).toBe(true);
      }),
      { numRuns: 1000 },
    );
    expect(textOf(fitted([{ text: '世界世界' }], 4))).toBe('世… ');
  });

  test('has an ASCII form of the same width', () => {
    expect(textOf(ascii([{ text: '─ … ↑↓←→ é' }]))).toBe('- ~ ^v<> é');
  });
});

describe('frames through Ink and the painter', () => {
  test('are what the terminal shows, whatever came before, at any size', async () => {
    const sizes = fc.record({
      columns: fc.integer({ min: 10, max: 100 }),
      rows: fc.integer({ min: 3, max: 30 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(sizes, fc.array(line, { maxLength: 30 })), { maxLength: 5 }),
        async (frames) => {
          const terminal = new Xterm(80, 24);
          const painter = new Painter();
          for (const [{ columns, rows }, lines] of frames) {
            terminal.resize(columns, rows);
            painter.forget();
            const { scrolled } = terminal;
            const whole = Array.from({ length: rows }, (_, row) => fitted(lines[row] ?? [], columns));
            const frame: Frame = { lines: whole, cursor: { row: rows - 1, column: columns - 1 } };
            await terminal.write(painter.paint(canvas.lines(frame, columns), frame.cursor));
            expect(terminal.screen).toEqual(whole.map((one) => textOf(one).trimEnd()));
            expect(terminal.cursor).toEqual(frame.cursor);
            expect(terminal.scrolled).toBe(scrolled);
          }
          // Neither clears: they flicker, and one of them takes the scrollback with it.
          expect(terminal.written).not.toMatch(/\u001b\[[23]J/);
        },
      ),
      { numRuns: 60 },
    );
  });

  test('write only what has changed', async () => {
    const painter = new Painter();
    const lines = Array.from({ length: 24 }, (_, row) => [{ text: `row ${row}` }]);
    painter.paint(canvas.lines({ lines }, 80), undefined);
    expect(painter.paint(canvas.lines({ lines }, 80), undefined)).toBe('');
    lines[7] = [{ text: 'other' }];
    const change = painter.paint(canvas.lines({ lines }, 80), undefined);
    expect(change).toContain('\u001b[8;1H');
    expect(change.length).toBeLessThan(80);
  });

  test('take no memory, however many there are', { timeout: 120_000 }, async () => {
    const dir = temporaryFolder();
    const entry = join(dir, 'soak.ts');
    writeFileSync(
      entry,
      `import { Canvas } from ${JSON.stringify(CANVAS)};
const canvas = new Canvas(true);
const draw = (from: number, to: number): void => {
  for (let i = from; i < to; i++) {
    const lines = Array.from({ length: 24 }, (_, row) => [{ text: \`frame \${i} row \${row} \${'x'.repeat(40)}\` }]);
    canvas.lines({ lines }, 80);
  }
};
const heap = (): number => {
  (globalThis as { gc?: () => void }).gc?.();
  return process.memoryUsage().heapUsed;
};
draw(0, 500);
const before = heap();
draw(500, 1500);
const measures = performance.getEntriesByType('measure').length;
console.log(JSON.stringify({ grown: heap() - before, measures }));
canvas.close();
`,
    );
    writeFileSync(join(dir, 'nothing.mjs'), 'export default {};');
    const outfile = join(dir, 'soak.mjs');
    // As scripts/build.mjs does it.
    await build({
      entryPoints: [entry],
      outfile,
      bundle: true,
      format: 'esm',
      platform: 'node',
      jsx: 'automatic',
      define: { 'process.env.NODE_ENV': '"production"', 'process.env.DEV': '"false"' },
      alias: { 'react-devtools-core': join(dir, 'nothing.mjs') },
      nodePaths: [MODULES],
      banner: {
        js: "import { createRequire as r_ } from 'node:module'; const require = r_(import.meta.url);",
      },
      logLevel: 'error',
    });
    const { stdout, stderr } = await runProgram(process.execPath, ['--expose-gc', outfile], {
      timeoutMs: 110_000,
    });
    removeFolder(dir);
    expect(stderr).toBe('');
    const { grown, measures } = JSON.parse(stdout) as { grown: number; measures: number };
    // 24,000 different lines of 60 characters: were they kept, it would be more than two megabytes.
    expect(grown).toBeLessThan(1024 * 1024);
    // React's development build adds one for each commit and never forgets it.
    expect(measures).toBe(0);
  });
});
