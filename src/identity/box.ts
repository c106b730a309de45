import { createPrivateKey, createPublicKey } from 'node:crypto';
import nacl from 'tweetnacl';
import { concatBytes, equalBytes, fromHex } from '../lib/bytes.ts';

// X25519 boxes (X25519, XSalsa20, Poly1305) by tweetnacl. One costs half a millisecond, and there are two per
// answer.

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

/** DER of a PKCS #8 X25519 private key up to its 32 bytes (RFC 8410). */
const PKCS8_X25519 = fromHex('302e020100300506032b656e04220420') ?? new Uint8Array(0);

/** The key pair of 32 secret bytes: random ones for a request's reply key, derived ones for a node. */
export function boxKeyPair(secret: Uint8Array): BoxKeyPair {
  // OpenSSL computes the same point a hundred times faster than tweetnacl, and an agent does this at every start.
  const key = createPrivateKey({ key: Buffer.from(concatBytes(PKCS8_X25519, secret)), format: 'der', type: 'pkcs8' });
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' });
  return { publicKey: new Uint8Array(spki.subarray(-BOX_KEY_BYTES)), secret };
}

/** Seals for the holder of `publicKey`, and proves to it that `secret`'s holder did. */
export function sealBox(
  plaintext: Uint8Array,
  nonce: Uint8Array,
  publicKey: Uint8Array,
  secret: Uint8Array,
): Uint8Array {
  return nacl.box(plaintext, nonce, publicKey, secret);
}

/** The plaintext, or undefined when the box was changed or is from or for somebody else. */
export function openBox(
  box: Uint8Array,
  nonce: Uint8Array,
  publicKey: Uint8Array,
  secret: Uint8Array,
): Uint8Array | undefined {
  if (isWeakBoxKey(publicKey)) return undefined;
  return nacl.box.open(box, nonce, publicKey, secret) ?? undefined;
}
