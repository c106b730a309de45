import fc from 'fast-check';
import { expect, test } from 'vitest';
import { AssertionError } from '../../src/lib/assert.ts';
import { EMPTY } from '../../src/lib/bytes.ts';
import { DecodeError } from '../../src/lib/errors.ts';
import { decodeCompound, encodeCompound } from '../../src/memberlist/compound.ts';
import { vector } from '../fixtures/vectors.ts';

test('a compound is written and read as the reference encoder does', () => {
  const parts = [vector('ml_ping').bytes, vector('ml_suspect').bytes];
  const { bytes } = vector('ml_compound_ping_suspect');
  expect(encodeCompound(parts)).toEqual(bytes);
  expect(decodeCompound(bytes)).toEqual({ parts, truncated: 0 });
});

test('a compound that is cut off keeps the parts before the cut and counts the others', () => {
  const { bytes, decoded } = vector('neg_compound_truncated');
  expect(decodeCompound(bytes)).toEqual({ parts: [vector('ml_ping').bytes], truncated: decoded.truncated });
});

test('a compound without its table of lengths is refused', () => {
  for (const bytes of [
    vector('neg_compound_short_lengths').bytes,
    Uint8Array.of(7),
    Uint8Array.of(7, 1, 0),
  ]) {
    expect(() => decodeCompound(bytes)).toThrow(DecodeError);
  }
});

test('any parts survive a round trip, empty ones included', () => {
  const part = fc.uint8Array({ maxLength: 40 });
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 127 }), (parts) => {
      expect(decodeCompound(encodeCompound(parts))).toEqual({ parts, truncated: 0 });
    }),
  );
});

test('a compound of none, or of more than 127 parts, is never written', () => {
  expect(() => encodeCompound([])).toThrow(AssertionError);
  expect(() => encodeCompound(new Array(128).fill(EMPTY))).toThrow(AssertionError);
});

test('up to 255 parts are read, as newer peers write them', () => {
  const bytes = new Uint8Array(2 + 2 * 255);
  bytes.set([7, 255]);
  expect(decodeCompound(bytes).parts.length).toBe(255);
});
