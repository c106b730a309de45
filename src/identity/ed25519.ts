import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { assert } from '../lib/assert.ts';
import { concatBytes, equalBytes, fromHex } from '../lib/bytes.ts';

// Ed25519 by node:crypto, because OpenSSL checks a signature some fifty times faster than tweetnacl: an agent
// must be able to refuse forgeries faster than a peer can send them. The bytes are the same; the tests
// compare the two.

export const ED25519_KEY_BYTES = 32;
export const ED25519_SIGNATURE_BYTES = 64;

/** DER in front of a raw Ed25519 public key (RFC 8410 section 4). */
const SPKI_HEAD = hex('302a300506032b6570032100');
/** DER in front of a raw Ed25519 seed (RFC 8410 section 7). */
const PKCS8_HEAD = hex('302e020100300506032b657004220420');

/**
 * The y coordinates, sign bit cleared, of the points of order 1, 2, 4 and 8, in every encoding that decoders
 * take. For such a "public key" anybody can make a signature that holds for some or all messages.
 */
const SMALL_ORDER = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
].map(hex);

function hex(text: string): Uint8Array {
  const bytes = fromHex(text);
  assert(bytes !== undefined, 'the constant is hexadecimal');
  return bytes;
}

/** Whether 32 bytes are a point of small order, which must never be taken for somebody's public key. */
export function isSmallOrder(publicKey: Uint8Array): boolean {
  const y = Uint8Array.from(publicKey);
  y[31] = (y[31] ?? 0) & 0x7f;
  return SMALL_ORDER.some((weak) => equalBytes(weak, y));
}

/** A private key ready to sign with: making one costs far more than a signature, so keep it. */
export function ed25519PrivateKey(seed: Uint8Array): KeyObject {
  assert(seed.length === ED25519_KEY_BYTES, 'an Ed25519 seed has 32 bytes');
  return createPrivateKey({
    key: Buffer.from(concatBytes(PKCS8_HEAD, seed)),
    format: 'der',
    type: 'pkcs8',
  });
}

/** The 32-byte public key of a seed. */
export function ed25519PublicKey(seed: Uint8Array): Uint8Array {
  const der = createPublicKey(ed25519PrivateKey(seed)).export({ format: 'der', type: 'spki' });
  return Uint8Array.from(der.subarray(SPKI_HEAD.length));
}

/** The 64-byte signature over `message` (for fanout always an SSHSIG preimage). Deterministic. */
export function signEd25519(key: Uint8Array | KeyObject, message: Uint8Array): Uint8Array {
  return sign(null, message, key instanceof Uint8Array ? ed25519PrivateKey(key) : key);
}

/**
 * Whether `signature` is the key's own over exactly these bytes. False, never an error, for wrong lengths,
 * small-order keys and the malleable form (S + group order). Still, never take a signature for an identifier.
 */
export function verifyEd25519(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== ED25519_KEY_BYTES || signature.length !== ED25519_SIGNATURE_BYTES) return false;
  if (isSmallOrder(publicKey)) return false;
  return verify(null, message, keyObject(publicKey), signature);
}

/** The few keys that come again and again: operators' on a node, nodes' during a run. */
const keyObjects = new Map<string, KeyObject>();
const KEY_OBJECTS_MAX = 1024;

function keyObject(publicKey: Uint8Array): KeyObject {
  const name = Buffer.from(publicKey).toString('base64');
  const known = keyObjects.get(name);
  if (known !== undefined) return known;
  const der = Buffer.from(concatBytes(SPKI_HEAD, publicKey));
  const key = createPublicKey({ key: der, format: 'der', type: 'spki' });
  if (keyObjects.size >= KEY_OBJECTS_MAX) keyObjects.clear();
  keyObjects.set(name, key);
  return key;
}
