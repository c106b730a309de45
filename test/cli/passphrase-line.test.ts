import { expect, test } from 'vitest';
import { PassphraseLine } from '../../src/cli/passphrase-line.ts';

function typed(...pieces: readonly (string | readonly number[])[]): unknown {
  const line = new PassphraseLine();
  for (const piece of pieces) {
    const result = line.push(typeof piece === 'string' ? Buffer.from(piece) : Uint8Array.from(piece));
    if (result !== undefined) return result;
  }
  return undefined;
}

test('a line ends with Enter, and what is behind it is kept for the next question', () => {
  const line = new PassphraseLine();
  expect(line.push(Buffer.from('sec'))).toBeUndefined();
  expect(line.push(Buffer.from('ret\rnext\r'))).toEqual({ text: 'secret' });
  expect(Buffer.from(line.rest).toString()).toBe('next\r');
  expect(typed('a b\n')).toEqual({ text: 'a b' });
  expect(typed('\r')).toEqual({ text: '' });
});

test('characters are erased whole, and the line as well', () => {
  expect(typed('abü', [0x7f], '\r')).toEqual({ text: 'ab' });
  expect(typed('a合', [0x08, 0x08, 0x08], 'x\r')).toEqual({ text: 'x' });
  expect(typed('wrong', [0x15], 'right\r')).toEqual({ text: 'right' });
});

test('keys that send an escape, and control characters, are not part of it', () => {
  expect(typed('a', '\u001b[A', '\u001bOP', 'b', [0x00, 0x01, 0x09], 'c\r')).toEqual({ text: 'abc' });
});

test('Ctrl-C interrupts at any time, Ctrl-D on an empty line', () => {
  expect(typed('abc', [0x03])).toBe('interrupted');
  expect(typed([0x04])).toBe('interrupted');
  expect(typed('a', [0x04], 'b\r')).toEqual({ text: 'ab' });
});

test('what is no text is refused, and so is what never ends', () => {
  expect(typed([0xff, 0xfe], '\r')).toBe('unreadable');
  expect(typed('é', [0x7f], [0xc3], '\r')).toBe('unreadable');
  expect(typed('x'.repeat(10_000_000), '\r')).toBe('unreadable');
});
