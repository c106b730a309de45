import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { concatBytes, EMPTY, equalBytes, utf8 } from '../../src/lib/bytes.ts';
import { DecodeError } from '../../src/lib/errors.ts';
import {
  decodeValue,
  type Encodable,
  encodeGossip,
  encodeGossipFloats,
  encodeRpc,
  Fields,
  type MsgpackValue,
  scanValue,
  textMapOf,
} from '../../src/lib/msgpack.ts';
import { ValueScanner } from '../../src/lib/msgpack-scanner.ts';
import { bytesOfHex, vectorsOf } from '../fixtures/vectors.ts';

const hex = bytesOfHex;

function fieldsOf(record: { readonly [name: string]: Encodable }): Fields {
  return Fields.of(decodeValue(encodeGossip(record)).value);
}

/** What a value must decode to: every text comes back as bytes. */
function decodedForm(value: unknown): unknown {
  if (typeof value === 'string') return utf8(value);
  if (Array.isArray(value)) return value.map(decodedForm);
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, decodedForm(item)]));
}

describe('the RPC dialect', () => {
  const vectors = vectorsOf('ipc_');
  // Figures of a coordinate are always floats, which a JSON vector of whole numbers does not show.
  const writable = vectors.filter(({ name, isNew }) => !isNew && name !== 'ipc_get_coordinate_resp');

  test.each(vectors)('reads $name', ({ bytes, decoded }) => {
    let at = 0;
    for (const expected of decoded) {
      const { value, end } = decodeValue(bytes, at);
      expect(value).toEqual(decodedForm(expected));
      at = end;
    }
    expect(at).toBe(bytes.length);
  });

  test.each(writable)('writes $name as the reference encoder does', ({ bytes, decoded }) => {
    expect(concatBytes(...decoded.map((value: Encodable) => encodeRpc(value)))).toEqual(bytes);
  });
});

describe('the gossip dialect', () => {
  test('writes texts and byte strings in the old raw family, whatever their length', () => {
    for (const [length, header] of [
      [0, 'a0'],
      [31, 'bf'],
      [32, 'da0020'],
      [255, 'da00ff'],
      [256, 'da0100'],
      [65535, 'daffff'],
      [65536, 'db00010000'],
    ] as const) {
      const expected = concatBytes(hex(header), new Uint8Array(length).fill(0x61));
      expect(equalBytes(encodeGossip('a'.repeat(length)), expected), header).toBe(true);
      expect(equalBytes(encodeGossip(utf8('a'.repeat(length))), expected), header).toBe(true);
    }
  });

  test('writes the shortest integer, sorts keys, leaves out undefined fields and puts the type byte in front', () => {
    const value = { b: [0, 127, 128, 255, 256, 65535, 65536, 2 ** 32 - 1, 2 ** 32], a: -1, c: undefined };
    expect(encodeGossip(value, 9)).toEqual(
      hex('0982a161ffa16299007fcc80ccffcd0100cdffffce00010000ceffffffffcf0000000100000000'),
    );
  });

  test('writes floats as float64, and with encodeGossipFloats whole numbers too', () => {
    expect(encodeGossip(0.5)).toEqual(hex('cb3fe0000000000000'));
    expect(encodeGossipFloats({ Vec: [0, 1] })).toEqual(
      hex('81a356656392cb0000000000000000cb3ff0000000000000'),
    );
  });

  test('does not let one result change another', () => {
    const first = encodeGossip('first');
    encodeGossip('other');
    expect(first).toEqual(concatBytes(hex('a5'), utf8('first')));
  });
});

// The one key that is not read under its own name has a test of its own.
const mapKey = fc.string({ unit: 'grapheme', maxLength: 40 }).filter((key) => key !== '__proto__');
const encodable: fc.Arbitrary<Encodable> = fc.letrec<{ value: Encodable }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    fc.constantFrom(null, true, false),
    fc.maxSafeInteger(),
    fc.integer({ min: -200, max: 70_000 }),
    fc.double({ noNaN: true, noDefaultInfinity: true }).filter((number) => !Object.is(number, -0)),
    fc.string({ unit: 'grapheme', maxLength: 60 }),
    fc.uint8Array({ maxLength: 300 }),
    fc.array(tie('value'), { maxLength: 20 }),
    fc.dictionary(mapKey, tie('value'), { maxKeys: 20 }),
  ),
})).value;

describe('any value', () => {
  test('survives a round trip in both dialects, wherever it lies in the bytes', () => {
    fc.assert(
      fc.property(encodable, fc.uint8Array({ maxLength: 9 }), (value, around) => {
        for (const encoded of [encodeRpc(value), encodeGossip(value)]) {
          const bytes = concatBytes(around, encoded, around);
          const decoded = decodeValue(bytes, around.length);
          expect(decoded.end).toBe(around.length + encoded.length);
          expect(decoded.value).toEqual(decodedForm(value));
        }
      }),
      { numRuns: 1000 },
    );
  });

  test('has an end that is found however the bytes are cut, and not before its last byte', () => {
    fc.assert(
      fc.property(encodable, (value) => {
        const bytes = encodeGossip(value);
        const scanner = new ValueScanner(0);
        for (let length = 0; length < bytes.length; length++)
          expect(scanner.scan(bytes, length)).toBeUndefined();
        expect(scanner.scan(bytes, bytes.length)).toBe(bytes.length);
        expect(scanValue(bytes, 0)).toBe(bytes.length);
        expect(scanValue(bytes.subarray(0, bytes.length - 1), 0)).toBeUndefined();
      }),
      { numRuns: 300 },
    );
  });

  test('is a plain view of its bytes even when they are a Buffer', () => {
    const { value } = decodeValue(Buffer.from('a3666f6f', 'hex'));
    expect(value).toEqual(utf8('foo'));
    expect(Buffer.isBuffer(value)).toBe(false);
  });
});

describe('hostile bytes', () => {
  const refused = (bytes: Uint8Array): string => {
    try {
      decodeValue(bytes);
    } catch (error) {
      if (error instanceof DecodeError) return error.reason;
      throw error;
    }
    return 'accepted';
  };

  test.each([
    ['a claimed list of four billion', 'ddffffffff'],
    ['a claimed map of four billion', 'dfffffffff'],
    ['a claimed string of four billion bytes', 'dbffffffff61'],
    ['an unassigned type byte', 'c1'],
    ['an extension', 'd40100'],
    ['a large extension', 'c9ffffffff01'],
    ['nothing', ''],
    ['a map that ends after its key', '81a161'],
    ['a map key that is a number', '810101'],
    ['a map key that is not UTF-8', '81a2c32801'],
    ['a map key that is a list', '819001'],
  ])('are refused: %s', (_what, text) => {
    expect(refused(hex(text))).toBe('msgpack');
  });

  test('may nest sixteen levels and not seventeen', () => {
    const nested = (levels: number): Uint8Array => concatBytes(new Uint8Array(levels).fill(0x91), hex('c0'));
    expect(refused(nested(16))).toBe('accepted');
    expect(refused(nested(17))).toBe('msgpack');
    expect(refused(new Uint8Array(1_000_000).fill(0x91))).toBe('msgpack');
  });

  test('may hold 131,072 values and not more, whatever a header claims', () => {
    const list = (count: number): Uint8Array => {
      const bytes = new Uint8Array(5 + count).fill(0xc0);
      bytes.set([0xdd, count >>> 24, count >>> 16, count >>> 8, count]);
      return bytes;
    };
    expect(refused(list(131_071))).toBe('accepted');
    expect(refused(list(131_072))).toBe('msgpack');
    expect(scanValue(list(131_071).subarray(0, 5), 0)).toBeUndefined();
    expect(() => scanValue(list(131_072).subarray(0, 5), 0)).toThrow(DecodeError);
  });

  test('are refused as soon as they announce more than the caller wants', () => {
    expect(scanValue(hex('a3616263'), 0, 4)).toBe(4);
    expect(() => scanValue(hex('a4'), 0, 4)).toThrow(DecodeError);
    expect(() => scanValue(hex('9261a4'), 0, 4)).toThrow(DecodeError);
  });

  test('cannot use a map key to change an object, and the key is not lost', () => {
    const { value } = decodeValue(
      encodeGossip(
        Object.fromEntries([
          ['__proto__', 'x'],
          ['toString', 'y'],
        ]),
      ),
    );
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect([...textMapOf(value, 'tags')]).toEqual([
      ['__proto__', 'x'],
      ['toString', 'y'],
    ]);
    expect(Fields.of(decodeValue(encodeGossip({})).value).text('constructor')).toBe('');
  });
});

describe('fields', () => {
  test('are the zero value when they are missing or nil', () => {
    for (const fields of [Fields.of(null), fieldsOf({}), fieldsOf({ x: null })]) {
      expect(fields.text('x')).toBe('');
      expect(fields.bytes('x')).toEqual(EMPTY);
      expect(fields.bytesOrNull('x')).toBeNull();
      expect(fields.bool('x')).toBe(false);
      expect([fields.u8('x'), fields.u16('x'), fields.u32('x'), fields.u64('x')]).toEqual([0, 0, 0, 0]);
      expect([fields.i64Clamped('x'), fields.float('x')]).toEqual([0, 0]);
      expect([fields.list('x'), fields.textList('x')]).toEqual([[], []]);
      expect([fields.map('x').size, fields.textMap('x').size, fields.fields('x').text('y')]).toEqual([
        0,
        0,
        '',
      ]);
      expect(fields.has('x')).toBe(false);
    }
  });

  test('take any integer tag that fits', () => {
    for (const number of [
      '07',
      'cc07',
      'cd0007',
      'ce00000007',
      'cf0000000000000007',
      'd007',
      'd10007',
      'd200000007',
      'd30000000000000007',
    ]) {
      const fields = Fields.of(decodeValue(hex(`81a178${number}`)).value);
      expect([
        fields.u8('x'),
        fields.u16('x'),
        fields.u32('x'),
        fields.u64('x'),
        fields.i64Clamped('x'),
      ]).toEqual([7, 7, 7, 7, 7]);
    }
  });

  test('have bounds', () => {
    const fits = (read: (fields: Fields) => number, value: number): boolean => {
      try {
        return read(fieldsOf({ x: value })) === value;
      } catch (error) {
        expect(error).toBeInstanceOf(DecodeError);
        expect((error as DecodeError).message).toMatch(/^x: /);
        return false;
      }
    };
    for (const [read, max] of [
      [(fields: Fields) => fields.u8('x'), 255],
      [(fields: Fields) => fields.u16('x'), 65535],
      [(fields: Fields) => fields.u32('x'), 2 ** 32 - 1],
      [(fields: Fields) => fields.u64('x'), Number.MAX_SAFE_INTEGER],
    ] as const) {
      expect(fits(read, max)).toBe(true);
      expect(fits(read, max + 1)).toBe(false);
      expect(fits(read, -1)).toBe(false);
      expect(fits(read, 0.5)).toBe(false);
    }
  });

  test('clamp what cannot be counted', () => {
    const clamped = (text: string): number =>
      Fields.of(decodeValue(hex(`81a178${text}`)).value).i64Clamped('x');
    expect(clamped('cfffffffffffffffff')).toBe(Number.MAX_SAFE_INTEGER);
    expect(clamped('d38000000000000000')).toBe(Number.MIN_SAFE_INTEGER);
    expect(clamped('cb7ff0000000000000')).toBe(Number.MAX_SAFE_INTEGER);
    expect(() => clamped('cb7ff8000000000000')).toThrow('x: is not a number');
  });

  test('take zero and one for a boolean, and whole numbers for a float', () => {
    expect([fieldsOf({ x: 0 }).bool('x'), fieldsOf({ x: 1 }).bool('x')]).toEqual([false, true]);
    expect(fieldsOf({ x: 3 }).float('x')).toBe(3);
  });

  test.each<[string, Encodable, (fields: Fields) => unknown]>([
    ['a number for a text', 1, (fields) => fields.text('x')],
    ['a text that is not UTF-8', hex('ff'), (fields) => fields.text('x')],
    [
      'a long text that is not UTF-8',
      concatBytes(new Uint8Array(40), hex('c3')),
      (fields) => fields.text('x'),
    ],
    ['a list for bytes', [1], (fields) => fields.bytes('x')],
    ['two for a boolean', 2, (fields) => fields.bool('x')],
    ['a text for an integer', '7', (fields) => fields.u32('x')],
    ['a text for a float', '7', (fields) => fields.float('x')],
    ['a map for a list', {}, (fields) => fields.list('x')],
    ['a number in a list of texts', [1], (fields) => fields.textList('x')],
    ['a list for a map', [], (fields) => fields.map('x')],
    ['a list for a map of texts', [], (fields) => fields.textMap('x')],
    ['a number in a map of texts', { y: 1 }, (fields) => fields.textMap('x')],
    ['bytes for a map', 'y', (fields) => fields.fields('x')],
  ])('refuse %s, by name', (_what, value, read) => {
    expect(() => read(fieldsOf({ x: value }))).toThrow(/^x.*: is not/);
  });

  test('are only in maps', () => {
    for (const value of [1, true, EMPTY, [] as readonly MsgpackValue[]]) {
      expect(() => Fields.of(value)).toThrow(DecodeError);
    }
  });

  test('are found by name beside unknown ones, the last of a repeated name', () => {
    const fields = Fields.of(decodeValue(hex('84a16101a17802a17803a16204')).value);
    expect(fields.u8('x')).toBe(3);
  });
});
