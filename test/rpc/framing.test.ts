import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { concatBytes } from '../../src/lib/bytes.ts';
import { DecodeError } from '../../src/lib/errors.ts';
import { type Encodable, encodeRpc, type MsgpackValue } from '../../src/lib/msgpack.ts';
import { ValueReader } from '../../src/rpc/framing.ts';

const KIB = 1024;

function readAll(reader: ValueReader): MsgpackValue[] {
  const values: MsgpackValue[] = [];
  for (let value = reader.next(); value !== undefined; value = reader.next()) values.push(value);
  return values;
}

/** The bytes in chunks that end at the given offsets. */
function cut(bytes: Uint8Array, offsets: readonly number[]): Uint8Array[] {
  const ends = [...new Set(offsets.map((offset) => offset % (bytes.length + 1)))].sort((a, b) => a - b);
  return [...ends, bytes.length].map((end, i) => bytes.slice(i === 0 ? 0 : ends[i - 1], end));
}

const anyValue: fc.Arbitrary<Encodable> = fc.letrec<{ value: Encodable }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger(),
    fc.string(),
    fc.uint8Array({ maxLength: 400 }),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.string({ maxLength: 8 }), tie('value'), { maxKeys: 4, noNullPrototype: true }),
  ),
})).value;

describe('a sequence of values', () => {
  test('is the same however it is cut into chunks', () => {
    fc.assert(
      fc.property(
        fc.array(anyValue, { maxLength: 12 }),
        fc.array(fc.nat(), { maxLength: 30 }),
        (values, offsets) => {
          const bytes = concatBytes(...values.map(encodeRpc));
          const whole = new ValueReader(64 * KIB);
          whole.push(bytes);
          const expected = readAll(whole);
          expect(expected.length).toBe(values.length);
          const reader = new ValueReader(64 * KIB);
          const got = cut(bytes, offsets).flatMap((chunk) => {
            reader.push(chunk);
            return readAll(reader);
          });
          expect(got).toEqual(expected);
        },
      ),
      { numRuns: 1500 },
    );
  });

  test('can be left at any value, and what follows is handed over untouched', () => {
    fc.assert(
      fc.property(
        anyValue,
        fc.uint8Array({ maxLength: 200 }),
        fc.array(fc.nat(), { maxLength: 9 }),
        (value, rest, offsets) => {
          const reader = new ValueReader(64 * KIB);
          for (const chunk of cut(concatBytes(encodeRpc(value), rest), offsets)) reader.push(chunk);
          expect(reader.next()).not.toBe(undefined);
          expect(reader.takeRest()).toEqual(rest);
          expect(reader.next()).toBe(undefined);
        },
      ),
    );
  });

  test('keeps values intact when later bytes arrive', () => {
    const reader = new ValueReader(64 * KIB);
    const chunk = concatBytes(encodeRpc({ a: Uint8Array.of(1, 2, 3) }), encodeRpc({ b: 1 }).slice(0, 2));
    reader.push(chunk);
    const value = reader.next() as { a: Uint8Array };
    chunk.fill(0xff);
    reader.push(encodeRpc({ b: 1 }).slice(2));
    expect(value.a).toEqual(Uint8Array.of(1, 2, 3));
  });
});

describe('hostile bytes', () => {
  test('give values or a DecodeError, and nothing else', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 }), (chunks) => {
        const reader = new ValueReader(KIB);
        try {
          for (const chunk of chunks) {
            reader.push(chunk);
            readAll(reader);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
        }
      }),
      { numRuns: 5000 },
    );
  });

  test.each([
    ['a byte string', [0xc6]],
    ['a list', [0xdd]],
    ['a map', [0xdf]],
  ])('a claim of four gigabytes in %s is refused before any of it comes', (_name, head) => {
    const reader = new ValueReader(KIB);
    reader.push(Uint8Array.from([...head, 0xff, 0xff, 0xff, 0xff]));
    expect(() => reader.next()).toThrow(DecodeError);
  });

  test('more than a value is not piled up when nobody takes it', () => {
    const reader = new ValueReader(4 * KIB);
    const pile = (): void => {
      for (let i = 0; i < 1000; i++) reader.push(new Uint8Array(KIB));
    };
    expect(pile).toThrow(DecodeError);
  });
});

test('a megabyte that comes byte by byte takes linear time', () => {
  const bytes = encodeRpc({ data: new Uint8Array(1024 * KIB) });
  const reader = new ValueReader(2048 * KIB);
  let found: MsgpackValue | undefined;
  for (let i = 0; i < bytes.length; i++) {
    reader.push(bytes.subarray(i, i + 1));
    found ??= reader.next();
  }
  expect((found as { data: Uint8Array }).data.length).toBe(1024 * KIB);
}, 20_000);
