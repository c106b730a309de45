import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EMPTY, utf8 } from '../../src/lib/bytes.ts';
import { DecodeError, FanoutError } from '../../src/lib/errors.ts';
import { decodeTags, encodeTags } from '../../src/serf/tags.ts';
import { bytesOfHex, vectorsOf } from '../fixtures/vectors.ts';

test.each(vectorsOf('serf_tags_'))(
  '$name is read and written as the reference encoder does',
  ({ bytes, decoded }) => {
    const tags = new Map(Object.entries(decoded.tags as Record<string, string>));
    expect(decodeTags(bytes)).toEqual(tags);
    expect(encodeTags(tags)).toEqual(bytes);
  },
);

test('any tags survive a round trip', () => {
  const text = fc.string({ unit: 'grapheme', maxLength: 12 });
  fc.assert(
    fc.property(fc.array(fc.tuple(text, text), { maxLength: 4 }), (pairs) => {
      const tags = new Map(pairs);
      expect(decodeTags(encodeTags(tags))).toEqual(tags);
    }),
    { numRuns: 500 },
  );
});

test('tags take 512 bytes at most, and the error says which to shorten', () => {
  // Magic, map header, key "a" with its header, value header of three bytes.
  const fits = 'x'.repeat(512 - 1 - 1 - 2 - 3);
  expect(encodeTags(new Map([['a', fits]])).length).toBe(512);
  const tooLong = new Map([
    ['role', 'web'],
    ['note', `${fits}x`],
  ]);
  try {
    encodeTags(tooLong);
    expect.unreachable('the tags do not fit');
  } catch (error) {
    if (!(error instanceof FanoutError)) throw error;
    expect(error.code).toBe('CONFIG');
    expect(error.message).toBe(
      'the tags take 525 bytes, but a member can carry 512 (2 tags; the largest, "note", takes 510)',
    );
    expect(error.hint).toContain('Shorten');
  }
});

test('the limit counts bytes, not characters', () => {
  expect(() => encodeTags(new Map([['a', 'é'.repeat(260)]]))).toThrow(FanoutError);
});

test('meta without the magic byte is the role', () => {
  expect(decodeTags(utf8('web'))).toEqual(new Map([['role', 'web']]));
  expect(decodeTags(EMPTY)).toEqual(new Map([['role', '']]));
});

test.each([
  ['a map that is cut off', 'ff81a161'],
  ['a list', 'ff90'],
  ['nothing behind the magic byte', 'ff'],
  ['a number for a value', 'ff81a16101'],
  ['a value that is not UTF-8', 'ff81a161a1ff'],
  ['a name that is not UTF-8', 'ff81a1ffa161'],
  ['a role that is not UTF-8', 'c328'],
])('broken meta is refused: %s', (_what, text) => {
  expect(() => decodeTags(bytesOfHex(text))).toThrow(DecodeError);
});
