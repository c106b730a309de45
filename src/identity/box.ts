import { createPrivateKey, createPublicKey, diffieHellman, type KeyObject } from 'node:crypto';
import nacl from 'tweetnacl';
import { assert } from '../lib/assert.ts';
import { concatBytes, equalBytes, fromHex, utf8 } from '../lib/bytes.ts';

// X25519 boxes (X25519, XSalsa20, Poly1305), byte for byte tweetnacl's.

export const BOX_KEY_BYTES = 32;
export const BOX_NONCE_BYTES = 24;

/** A key pair for boxes. */
export interface BoxKeyPair {
  readonly publicKey: Uint8Array;
  readonly secret: Uint8Array;
}

/**
 * The X25519 points of small order, top bit cleared (as RFC 7748 does on reading). With one of them as
 * "public key" the shared key is the same for everybody, so such a box proves nothing and hides nothing.
 */
const SMALL_ORDER = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
].map((text) => fromHex(text) ?? new Uint8Array(0));

/** Whether 32 bytes are a point of small order, which must never be taken for somebody's box key. */
export function isWeakBoxKey(publicKey: Uint8Array): boolean {
  const u = Uint8Array.from(publicKey);
  u[31] = (u[31] ?? 0) & 0x7f;
  return SMALL_ORDER.some((weak) => equalBytes(weak, u));
}

/** DER of an X25519 private key (PKCS #8) and public key (SubjectPublicKeyInfo) up to their 32 bytes (RFC 8410). */
const PKCS8_X25519 = fromHex('302e020100300506032b656e04220420') ?? new Uint8Array(0);
const SPKI_X25519 = fromHex('302a300506032b656e032100') ?? new Uint8Array(0);

/** The key pair of 32 secret bytes: random ones for a request's reply key, derived ones for a node. */
export function boxKeyPair(secret: Uint8Array): BoxKeyPair {
  const spki = createPublicKey(privateKey(secret)).export({ format: 'der', type: 'spki' });
  return { publicKey: new Uint8Array(spki.subarray(-BOX_KEY_BYTES)), secret };
}

/** Seals for the holder of `publicKey`, and proves to it that `secret`'s holder did. */
export function sealBox(
  plaintext: Uint8Array,
  nonce: Uint8Array,
  publicKey: Uint8Array,
  secret: Uint8Array,
): Uint8Array {
  const key = sharedKey(publicKey, secret);
  assert(key !== undefined, 'a box is sealed to a key that has been checked');
  return nacl.secretbox(plaintext, nonce, key);
}

/** The plaintext, or undefined when the box was changed or is from or for somebody else. */
export function openBox(
  box: Uint8Array,
  nonce: Uint8Array,
  publicKey: Uint8Array,
  secret: Uint8Array,
): Uint8Array | undefined {
  const key = sharedKey(publicKey, secret);
  return key === undefined ? undefined : (nacl.secretbox.open(box, nonce, key) ?? undefined);
}

/** HSalsa20 is in tweetnacl, but not in its types. */
const { crypto_core_hsalsa20: hsalsa20 } = (nacl as unknown as { lowlevel: LowLevel }).lowlevel;

interface LowLevel {
  crypto_core_hsalsa20(out: Uint8Array, input: Uint8Array, key: Uint8Array, constants: Uint8Array): void;
}

const SIGMA = utf8('expand 32-byte k');

/**
 * What nacl.box.before computes: HSalsa20 of the X25519 point, which is the key of the secretbox inside every box. OpenSSL
 * computes the point a hundred times faster than tweetnacl does before it has warmed up, and each answer needs it on both
 * ends. Undefined for a point of small order.
 */
function sharedKey(publicKey: Uint8Array, secret: Uint8Array): Uint8Array | undefined {
  if (isWeakBoxKey(publicKey)) return undefined;
  const spki = Buffer.from(concatBytes(SPKI_X25519, publicKey));
  const peer = createPublicKey({ key: spki, format: 'der', type: 'spki' });
  const point = diffieHellman({ privateKey: privateKey(secret), publicKey: peer });
  const key = new Uint8Array(32);
  hsalsa20(key, new Uint8Array(16), point, SIGMA);
  return key;
}

/** A run opens a thousand boxes with one secret, and making the key object costs more than the point itself. */
const privateKeys = new WeakMap<Uint8Array, KeyObject>();

function privateKey(secret: Uint8Array): KeyObject {
  const known = privateKeys.get(secret);
  if (known !== undefined) return known;
  const der = Buffer.from(concatBytes(PKCS8_X25519, secret));
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  privateKeys.set(secret, key);
  return key;
}
