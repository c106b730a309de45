import { sign as opensslSign } from 'node:crypto';
import fc from 'fast-check';
import nacl from 'tweetnacl';
import { expect, test } from 'vitest';
import {
  ed25519PrivateKey,
  ed25519PublicKey,
  isSmallOrder,
  signEd25519,
  verifyEd25519,
} from '../../src/identity/ed25519.ts';
import { fromHex, toHex, utf8 } from '../../src/lib/bytes.ts';
import { seedOf } from './fixtures.ts';

const seed = seedOf('ed25519');
const publicKey = ed25519PublicKey(seed);

/** The order of the base point, little-endian arithmetic on big integers. */
const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;

function littleEndian(bytes: Uint8Array): bigint {
  return [...bytes].reverse().reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
}

function toLittleEndian(value: bigint): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, i) => Number((value >> BigInt(8 * i)) & 255n));
}

test('the first test vector of RFC 8032 comes out', () => {
  const secret = fromHex('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60')!;
  expect(toHex(ed25519PublicKey(secret))).toBe(
    'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
  );
  expect(toHex(signEd25519(secret, new Uint8Array(0)))).toBe(
    'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
  );
});

test('tweetnacl and OpenSSL make the same keys and signatures, and take those of the other', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      fc.uint8Array({ maxLength: 300 }),
      (secret, message) => {
        const pair = nacl.sign.keyPair.fromSeed(secret);
        expect(ed25519PublicKey(secret)).toEqual(pair.publicKey);
        const ours = signEd25519(secret, message);
        expect(Uint8Array.from(ours)).toEqual(nacl.sign.detached(message, pair.secretKey));
        expect(nacl.sign.detached.verify(message, ours, pair.publicKey)).toBe(true);
        expect(verifyEd25519(pair.publicKey, message, ours)).toBe(true);
      },
    ),
    { numRuns: 25 },
  );
});

test('a signature with any bit changed does not verify, nor over another message, nor for another key', () => {
  const message = utf8('uptime');
  const signature = signEd25519(seed, message);
  for (let bit = 0; bit < 512; bit++) {
    const changed = Uint8Array.from(signature);
    changed[bit >> 3]! ^= 1 << (bit & 7);
    expect(verifyEd25519(publicKey, message, changed)).toBe(false);
  }
  expect(verifyEd25519(publicKey, utf8('uptimf'), signature)).toBe(false);
  expect(verifyEd25519(ed25519PublicKey(seedOf('other')), message, signature)).toBe(false);
});

test('the malleable form S + order, which tweetnacl accepts, is refused', () => {
  const message = utf8('uptime');
  const signature = signEd25519(seed, message);
  const malleable = Uint8Array.from(signature);
  malleable.set(toLittleEndian(littleEndian(signature.subarray(32)) + ORDER), 32);
  expect(nacl.sign.detached.verify(message, malleable, publicKey)).toBe(true);
  expect(verifyEd25519(publicKey, message, malleable)).toBe(false);
});

test('the signature that holds for every message under the neutral point is refused', () => {
  const neutral = new Uint8Array(32);
  neutral[0] = 1;
  const forged = new Uint8Array(64);
  forged[0] = 1;
  expect(nacl.sign.detached.verify(utf8('rm -rf /'), forged, neutral)).toBe(true);
  expect(verifyEd25519(neutral, utf8('rm -rf /'), forged)).toBe(false);
});

test('every point of small order is known, in all encodings and with both signs', () => {
  const prime = 2n ** 255n - 19n;
  // The y coordinates of the eight points. y + prime is the other encoding, if it fits.
  const orderEight = littleEndian(
    fromHex('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05')!,
  );
  for (const y of [0n, 1n, prime - 1n, orderEight, prime - orderEight]) {
    for (const encoded of [y, y + prime].filter((value) => value < 2n ** 255n)) {
      const point = toLittleEndian(encoded);
      expect(isSmallOrder(point)).toBe(true);
      point[31]! |= 0x80;
      expect(isSmallOrder(point)).toBe(true);
    }
  }
  expect(isSmallOrder(publicKey)).toBe(false);
});

test('wrong lengths are refused without an error', () => {
  const message = utf8('uptime');
  const signature = signEd25519(seed, message);
  for (const length of [0, 31, 33, 64]) {
    expect(verifyEd25519(new Uint8Array(length).fill(9), message, signature)).toBe(false);
  }
  for (const length of [0, 63, 65]) {
    expect(verifyEd25519(publicKey, message, new Uint8Array(length).fill(9))).toBe(false);
  }
});

test('a kept key signs as its seed does', () => {
  const key = ed25519PrivateKey(seed);
  const message = utf8('ps ax');
  expect(signEd25519(key, message)).toEqual(signEd25519(seed, message));
  expect(opensslSign(null, message, key)).toEqual(signEd25519(seed, message));
});
