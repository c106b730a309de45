import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { LineChild } from '../../src/runtime/line-child.ts';
import { eventually, removeFolder, temporaryFolder } from '../support/processes.ts';

const dir = temporaryFolder();
afterAll(() => removeFolder(dir));

function child(file: string, args: readonly string[]): { child: LineChild; ends: string[]; lost: number[] } {
  const [ends, lost]: [string[], number[]] = [[], []];
  const made = new LineChild({
    file,
    args,
    onEnd: (reason) => ends.push(reason),
    onLost: (count) => lost.push(count),
  });
  return { child: made, ends, lost };
}

test('a child that does not read holds nobody up, keeps a bounded number of lines, and is killed at the end', async () => {
  const { child: deaf, ends, lost } = child('sleep', ['1000']);
  const line = 'x'.repeat(1000);
  const before = process.memoryUsage();
  for (let i = 0; i < 200_000; i++) deaf.write(line);
  const after = process.memoryUsage();
  // 200 MB were offered.
  expect(after.arrayBuffers + after.heapUsed - before.arrayBuffers - before.heapUsed).toBeLessThan(
    50 * 2 ** 20,
  );
  expect(lost).toEqual([]);
  const started = performance.now();
  await deaf.close();
  expect(performance.now() - started).toBeLessThan(10_000);
  expect(ends).toEqual([]);
});

test('a program that is not there is said, and costs no more than its lines', async () => {
  const { child: none, ends } = child('no-such-program-here', []);
  none.write('one');
  await eventually('the reason', () => ends.length > 0);
  expect(ends[0]).toMatch(/ENOENT/);
  none.write('two');
  await none.close();
});

test('a child that ends is started again, and told first what it has missed', async () => {
  const file = join(dir, 'out');
  // Reads one line, writes it down, and ends.
  const {
    child: brief,
    ends,
    lost,
  } = child('sh', ['-c', 'read -r line; echo "$line" >> "$0"; exit 3', file]);
  brief.write('first');
  await eventually('its end', () => ends.length === 1);
  expect(ends[0]).toBe('it ended with 3');
  brief.write('lost');
  await eventually('the next one', () => {
    if (lost.length === 0) brief.write('again');
    return lost.length > 0 && readFileSync(file, 'utf8').includes('again');
  });
  expect(lost[0]).toBeGreaterThan(0);
  expect(readFileSync(file, 'utf8')).toMatch(/^first\nagain\n/);
  await brief.close();
});

test('a line end inside of a line does not make two', async () => {
  const file = join(dir, 'lines');
  const { child: cat } = child('sh', ['-c', 'exec cat > "$0"', file]);
  cat.write('a\nb\r\nc');
  cat.write('d');
  await cat.close();
  expect(readFileSync(file, 'utf8')).toBe('a b c\nd\n');
});
