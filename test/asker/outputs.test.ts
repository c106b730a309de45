import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Outputs } from '../../src/asker/outputs.ts';
import { OutputSearch } from '../../src/asker/search.ts';

type Piece = readonly ['stdout' | 'stderr', string | Uint8Array];

function outputsOf(...chunks: readonly Piece[]): Outputs {
  const outputs = new Outputs(() => {
    throw new Error('nothing here is in a file');
  });
  for (const [stream, text] of chunks) {
    const data = typeof text === 'string' ? new TextEncoder().encode(text) : text;
    if (data.length > 0) outputs.add('n', stream, { data }, data);
  }
  return outputs;
}

describe('lines', () => {
  test('are the same however the output was cut', () => {
    const text = fc.string({ maxLength: 60, unit: fc.constantFrom('a', 'b', '\n', '\n', 'é') });
    fc.assert(
      fc.property(text, fc.array(fc.nat(60), { maxLength: 6 }), fc.nat(12), (whole, cuts, from) => {
        const bytes = new TextEncoder().encode(whole);
        const edges = [
          0,
          ...cuts.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b),
          bytes.length,
        ];
        const outputs = outputsOf(
          ...edges.slice(1).map((edge, i) => ['stdout', bytes.subarray(edges[i]!, edge)] as const),
        );
        const expected = whole.split('\n');
        if (expected.at(-1) === '') expected.pop();
        expect(outputs.lineCount('n')).toBe(expected.length);
        expect(outputs.lines('n', from, 5).map((line) => line.text)).toEqual(expected.slice(from, from + 5));
        const last = expected.filter((line) => line !== '').at(-1) ?? '';
        expect(outputs.lastLine('n')).toBe(last);
      }),
      { numRuns: 3000 },
    );
  });

  test('of the two streams keep the order of arrival, and a change of the stream ends a line', () => {
    const outputs = outputsOf(['stdout', 'a\nb'], ['stderr', 'oops'], ['stdout', 'c\n']);
    expect(outputs.lines('n', 0, 9)).toEqual([
      { stream: 'stdout', text: 'a' },
      { stream: 'stdout', text: 'b' },
      { stream: 'stderr', text: 'oops' },
      { stream: 'stdout', text: 'c' },
    ]);
    expect(outputs.lines('n', 2, 1)).toEqual([{ stream: 'stderr', text: 'oops' }]);
    expect(outputs.lineCount('n')).toBe(4);
  });

  test('that try to drive the terminal are shown, not obeyed', () => {
    const hostile =
      '\u001b]52;c;aGk=\u0007\u001b[2J\u001b[31mred\u001b[0m \u202eabc \0 \u009b5A \r back\tx\n';
    const [line] = outputsOf(['stdout', hostile]).lines('n', 0, 1);
    expect(line?.text).not.toMatch(/[\p{Cc}\u202e\u009b]/u);
    expect(line?.text).toContain('red');
    expect(outputsOf(['stdout', Uint8Array.of(0xff, 0xfe, 0x0a)]).lines('n', 0, 1)[0]?.text).toBe(
      '\ufffd\ufffd',
    );
  });

  test('without an end cost no more than what is shown of them', () => {
    const block = new Uint8Array(64 * 1024).fill(0x78);
    const reads = { count: 0 };
    const outputs = new Outputs((_offset, length) => {
      reads.count++;
      return block.subarray(0, length);
    });
    for (let i = 0; i < 1600; i++) outputs.add('n', 'stdout', { offset: i * block.length }, block);
    expect(outputs.lineCount('n')).toBe(1);
    const [line] = outputs.lines('n', 0, 10);
    expect(line?.text.endsWith('\u27e8cut\u27e9')).toBe(true);
    expect(reads.count).toBeLessThan(5);
    expect(outputs.lines('n', 1, 10)).toEqual([]);
    expect(outputs.lastLine('n').length).toBe(256);
  });
});

test('the digest is the same exactly where both streams are', () => {
  const digest = (...chunks: readonly Piece[]): string => outputsOf(...chunks).digest('n');
  expect(digest(['stdout', 'ab'])).toBe(digest(['stdout', 'a'], ['stdout', 'b']));
  expect(digest(['stdout', 'ab'])).not.toBe(digest(['stderr', 'ab']));
  expect(digest(['stdout', 'a'], ['stderr', 'b'])).toBe(digest(['stderr', 'b'], ['stdout', 'a']));
  expect(digest()).toBe('');
});

describe('a search', () => {
  function search(outputs: Outputs, query: string) {
    const found = new OutputSearch(outputs, ['n', 'nobody'], query);
    while (!found.isDone) found.step();
    return found.found;
  }

  test('counts the hits, and names the line of the first', () => {
    const outputs = outputsOf(['stdout', 'one\ntwo err\n'], ['stdout', 'err err\n']);
    expect(search(outputs, 'err')).toEqual([{ node: 'n', count: 3, line: 1, text: 'two err' }]);
    expect(search(outputs, 'nothing')).toEqual([]);
  });

  test('finds what lies across two chunks, once', () => {
    expect(search(outputsOf(['stdout', 'x\nab'], ['stdout', 'cabc\n']), 'abc')).toMatchObject([
      { count: 2, line: 1 },
    ]);
  });

  test('minds capitals only when there are some', () => {
    const outputs = outputsOf(['stdout', 'Error error\n']);
    expect(search(outputs, 'error')).toMatchObject([{ count: 2 }]);
    expect(search(outputs, 'Error')).toMatchObject([{ count: 1 }]);
  });
});
