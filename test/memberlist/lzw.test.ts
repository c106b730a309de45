import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EMPTY, equalBytes } from '../../src/lib/bytes.ts';
import { DecodeError } from '../../src/lib/errors.ts';
import { seededRng } from '../../src/lib/rng.ts';
import { decodeCompress, encodeCompress } from '../../src/memberlist/compress.ts';
import { compressLzw, decompressLzw } from '../../src/memberlist/lzw.ts';
import { bytesOfHex, vector } from '../fixtures/vectors.ts';

const MAX = 64 * 1024;

function reasonOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof DecodeError) return error.reason;
    throw error;
  }
  return 'accepted';
}

/** The generator that the vector file describes. */
function generated(length: number, mask: number): Uint8Array {
  let state = 12345;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 16) & mask;
  });
}

describe('the reference encoder', () => {
  test.each([
    ['ml_compress_packet', bytesOfHex(vector('ml_compress_packet').decoded.decompressed_hex)],
    ['ml_compress_lcg_6000', generated(6000, 15)],
    ['ml_compress_random_5000', generated(5000, 255)],
    ['ml_pushpull_stream_compressed', vector('ml_pushpull_stream_plain').bytes],
  ])('and ours write the same bytes, and read them: %s', (name, plain) => {
    expect(encodeCompress(plain)).toEqual(vector(name).bytes);
    expect(decodeCompress(vector(name).bytes, MAX)).toEqual(plain);
  });
});

describe('compression', () => {
  test('survives 300 round trips of up to 30,000 bytes, from constant to random', () => {
    const rng = seededRng(7);
    for (let run = 0; run < 300; run++) {
      const length = 1 + rng.below(30_000);
      // Few different bytes give long codes, many fill the table and force clears.
      const kinds = 1 + rng.below(run % 3 === 0 ? 256 : 4);
      const plain = Uint8Array.from({ length }, () => rng.below(kinds));
      expect(equalBytes(decompressLzw(compressLzw(plain), length), plain), `run ${run}`).toBe(true);
    }
  });

  test('survives a round trip of any short input', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 600 }), (plain) => {
        expect(decompressLzw(compressLzw(plain), plain.length)).toEqual(plain);
      }),
      { numRuns: 1000 },
    );
  });
});

/** Codes of 9 bits, least significant bit first. */
function codes(...values: readonly number[]): Uint8Array {
  let bits = 0n;
  for (const [index, value] of values.entries()) bits |= BigInt(value) << BigInt(9 * index);
  const length = Math.ceil((9 * values.length) / 8);
  return Uint8Array.from({ length }, (_, index) => Number((bits >> BigInt(8 * index)) & 255n));
}

describe('decompression', () => {
  test('refuses a bomb at its limit', () => {
    const bomb = compressLzw(new Uint8Array(20_000_000));
    expect(bomb.length).toBeLessThan(50_000);
    expect(reasonOf(() => decompressLzw(bomb, MAX))).toBe('decompress');
    expect(reasonOf(() => decompressLzw(compressLzw(new Uint8Array(MAX + 1)), MAX))).toBe('decompress');
    expect(decompressLzw(compressLzw(new Uint8Array(MAX)), MAX)).toEqual(new Uint8Array(MAX));
  });

  test('refuses data without an end, at every length', () => {
    const whole = compressLzw(generated(500, 15));
    for (let length = 0; length < whole.length - 1; length++) {
      expect(reasonOf(() => decompressLzw(whole.subarray(0, length), MAX))).toBe('decompress');
    }
  });

  test('refuses codes that nobody assigned, also those of earlier data', () => {
    decompressLzw(compressLzw(generated(5000, 255)), MAX);
    expect(reasonOf(() => decompressLzw(codes(256, 258, 257), MAX))).toBe('decompress');
    expect(reasonOf(() => decompressLzw(codes(256, 65, 259, 257), MAX))).toBe('decompress');
    expect(reasonOf(() => decompressLzw(codes(256, 65, 258, 256, 258, 257), MAX))).toBe('decompress');
  });

  test('reads what no encoder needs to write: no clear in front, clears in a row, nothing at all', () => {
    expect(decompressLzw(codes(65, 66, 257), MAX)).toEqual(bytesOfHex('4142'));
    expect(decompressLzw(codes(256, 256, 65, 256, 256, 66, 257), MAX)).toEqual(bytesOfHex('4142'));
    expect(decompressLzw(codes(257), MAX)).toEqual(EMPTY);
  });

  test('reads the code that is just being assigned', () => {
    expect(decompressLzw(codes(256, 97, 258, 259, 257), MAX)).toEqual(bytesOfHex('616161616161'));
  });

  test('goes on with a full table until the next clear', () => {
    // Literals only and no clear: the table fills up, after which the last code stays usable.
    const literals = Array.from({ length: 6000 }, (_, index) => index & 255);
    let bits = '';
    let high = 257;
    let width = 9;
    for (const code of [...literals, 4095, 257]) {
      bits += [...code.toString(2).padStart(width, '0')].reverse().join('');
      if (high < 4095 || width < 12) high++;
      if (high >= 2 ** width && width < 12) width++;
    }
    const bytes = Uint8Array.from({ length: Math.ceil(bits.length / 8) }, (_, index) =>
      Number.parseInt([...bits.slice(8 * index, 8 * index + 8).padEnd(8, '0')].reverse().join(''), 2),
    );
    const plain = decompressLzw(bytes, MAX);
    expect(plain.length).toBe(6002);
    expect([...plain.subarray(6000)]).toEqual([(4095 - 258) & 255, (4095 - 257) & 255]);
  });
});

test('a compress message of another algorithm or another form is refused', () => {
  for (const text of ['0982a4416c676f01a3427566a0', '0981a34275660a', '0990', '09', '0980']) {
    expect(reasonOf(() => decodeCompress(bytesOfHex(text), MAX))).toBe('decompress');
  }
});
