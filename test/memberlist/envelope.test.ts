import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EMPTY } from '../../src/lib/bytes.ts';
import { DecodeError } from '../../src/lib/errors.ts';
import { ENVELOPE_BYTES, openEnvelope, sealEnvelope } from '../../src/memberlist/envelope.ts';
import { bytesOfHex, vector, vectorsOf } from '../fixtures/vectors.ts';

const KEY = new Uint8Array(32).fill(1);
const OTHER = new Uint8Array(16).fill(2);
const NONCE = new Uint8Array(12).fill(3);

function reasonOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof DecodeError) return error.reason;
    throw error;
  }
  return 'opened';
}

describe('the vectors of sealed packets', () => {
  const vectors = vectorsOf('ml_encrypted_', 'udp_encrypted_');

  test.each(vectors)('$name is opened and sealed again as it was', ({ bytes, decoded, key }) => {
    const plaintext = bytesOfHex(decoded.plaintext_hex);
    expect(openEnvelope([key!], bytes, EMPTY)).toEqual(plaintext);
    const sealed = sealEnvelope(key!, plaintext, bytes.subarray(1, 13), EMPTY, decoded.encryption_version);
    expect(sealed).toEqual(bytes);
  });

  test('exist for both versions and for keys of 16 and 32 bytes', () => {
    const kinds = new Set(vectors.map(({ decoded, key }) => `${decoded.encryption_version}/${key!.length}`));
    expect(kinds).toEqual(new Set(['0/16', '1/16', '1/32']));
  });
});

test('any plaintext survives a round trip with every key size and version, and is bound to what it authenticates', () => {
  const bytes = fc.uint8Array({ maxLength: 200 });
  const key = fc
    .constantFrom(16, 24, 32)
    .chain((size) => fc.uint8Array({ minLength: size, maxLength: size }));
  fc.assert(
    fc.property(
      key,
      bytes,
      bytes,
      fc.constantFrom(0 as const, 1 as const),
      (secret, plaintext, aad, version) => {
        const envelope = sealEnvelope(secret, plaintext, NONCE, aad, version);
        const padded = version === 1 ? plaintext.length : 16 * Math.floor(plaintext.length / 16 + 1);
        expect(envelope.length).toBe(ENVELOPE_BYTES + padded);
        expect(openEnvelope([secret], envelope, aad)).toEqual(plaintext);
        expect(reasonOf(() => openEnvelope([secret], envelope, Uint8Array.of(...aad, 0)))).toBe('decrypt');
      },
    ),
    { numRuns: 300 },
  );
});

test('every key of the ring is tried, and no other', () => {
  const envelope = sealEnvelope(KEY, bytesOfHex('0102'), NONCE, EMPTY);
  expect(openEnvelope([OTHER, KEY], envelope, EMPTY)).toEqual(bytesOfHex('0102'));
  expect(reasonOf(() => openEnvelope([OTHER], envelope, EMPTY))).toBe('decrypt');
  expect(reasonOf(() => openEnvelope([], envelope, EMPTY))).toBe('decrypt');
});

test('no byte of an envelope can be changed', () => {
  const envelope = sealEnvelope(KEY, bytesOfHex('010203'), NONCE, EMPTY);
  for (let at = 0; at < envelope.length; at++) {
    const changed = new Uint8Array(envelope);
    changed[at] = changed[at]! ^ 0x40;
    expect(reasonOf(() => openEnvelope([KEY], changed, EMPTY))).not.toBe('opened');
  }
});

test('damaged envelopes are refused for what is wrong with them', () => {
  const { bytes, key } = vector('neg_encrypted_bad_tag');
  expect(reasonOf(() => openEnvelope([key!], bytes, EMPTY))).toBe('decrypt');
  const version = vector('neg_encrypted_bad_version');
  expect(reasonOf(() => openEnvelope([version.key!], version.bytes, EMPTY))).toBe('envelope-version');
  const short = (first: number, length: number): Uint8Array =>
    Uint8Array.of(first, ...new Uint8Array(length - 1));
  expect(reasonOf(() => openEnvelope([KEY], short(1, 28), EMPTY))).toBe('envelope-short');
  expect(reasonOf(() => openEnvelope([KEY], short(1, 29), EMPTY))).toBe('decrypt');
  expect(reasonOf(() => openEnvelope([KEY], short(0, 44), EMPTY))).toBe('envelope-short');
  expect(reasonOf(() => openEnvelope([KEY], EMPTY, EMPTY))).toBe('envelope-short');
});

test('impossible padding of an old envelope is refused', () => {
  // Sealed as version 1, so that the last byte is not padding, and then called version 0. The version is not
  // authenticated.
  for (const last of [0, 17, 255]) {
    const envelope = sealEnvelope(KEY, new Uint8Array(16).fill(last), NONCE, EMPTY);
    envelope[0] = 0;
    expect(reasonOf(() => openEnvelope([KEY], envelope, EMPTY))).toBe('decrypt');
  }
});
