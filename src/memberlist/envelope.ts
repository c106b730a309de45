import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto';
import { assert } from '../lib/assert.ts';
import { DecodeError } from '../lib/errors.ts';

/** Where the parts of an envelope lie: version byte, nonce, ciphertext, tag. */
const NONCE_AT = 1;
const NONCE_BYTES = 12;
const CIPHERTEXT_AT = NONCE_AT + NONCE_BYTES;
const TAG_BYTES = 16;
/** What a version 1 envelope adds to its plaintext. */
export const ENVELOPE_BYTES = CIPHERTEXT_AT + TAG_BYTES;
/** Version 0 pads to whole AES blocks (PKCS#7). */
const BLOCK_BYTES = 16;

const CIPHERS = { 16: 'aes-128-gcm', 24: 'aes-192-gcm', 32: 'aes-256-gcm' } as const;

/** Key schedules by key bytes: making one costs more than sealing a packet with it. */
const keyObjects = new WeakMap<
  Uint8Array,
  { readonly cipher: (typeof CIPHERS)[16 | 24 | 32]; readonly key: KeyObject }
>();

function keyFor(key: Uint8Array) {
  let known = keyObjects.get(key);
  if (known === undefined) {
    assert(key.length === 16 || key.length === 24 || key.length === 32, 'a keyring holds AES keys only');
    known = { cipher: CIPHERS[key.length], key: createSecretKey(key) };
    keyObjects.set(key, known);
  }
  return known;
}

/**
 * Encrypts with AES-GCM as memberlist does (security.go). Serf sends version 1 only; version 0 is for tests
 * against old peers' bytes. A nonce must never be used twice with one key.
 */
export function sealEnvelope(
  key: Uint8Array,
  plaintext: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  version: 0 | 1 = 1,
): Uint8Array {
  assert(nonce.length === NONCE_BYTES, 'a nonce has 12 bytes');
  const known = keyFor(key);
  const padded = version === 0 ? pad(plaintext) : plaintext;
  const cipher = createCipheriv(known.cipher, known.key, nonce);
  if (aad.length > 0) cipher.setAAD(aad);
  const envelope = new Uint8Array(ENVELOPE_BYTES + padded.length);
  envelope[0] = version;
  envelope.set(nonce, NONCE_AT);
  envelope.set(cipher.update(padded), CIPHERTEXT_AT);
  cipher.final();
  envelope.set(cipher.getAuthTag(), CIPHERTEXT_AT + padded.length);
  return envelope;
}

/**
 * Opens an envelope with the first of `keys` that fits. Throws DecodeError: 'envelope-version',
 * 'envelope-short', and 'decrypt' when no key fits or a version 0 envelope is padded wrongly.
 */
export function openEnvelope(keys: readonly Uint8Array[], envelope: Uint8Array, aad: Uint8Array): Uint8Array {
  const version = envelope[0];
  if (version !== undefined && version > 1) {
    throw new DecodeError('envelope-version', `envelope version ${version} is not known`);
  }
  const shortest = ENVELOPE_BYTES + (version === 0 ? BLOCK_BYTES : 0);
  if (envelope.length < shortest) {
    throw new DecodeError(
      'envelope-short',
      `an envelope has at least ${shortest} bytes, not ${envelope.length}`,
    );
  }
  for (const key of keys) {
    const plaintext = openWith(key, envelope, aad);
    if (plaintext !== undefined) return version === 0 ? unpad(plaintext) : plaintext;
  }
  throw new DecodeError('decrypt', 'no installed key could decrypt the message');
}

function openWith(key: Uint8Array, envelope: Uint8Array, aad: Uint8Array): Uint8Array | undefined {
  const known = keyFor(key);
  const tagAt = envelope.length - TAG_BYTES;
  const decipher = createDecipheriv(known.cipher, known.key, envelope.subarray(NONCE_AT, CIPHERTEXT_AT));
  decipher.setAuthTag(envelope.subarray(tagAt));
  if (aad.length > 0) decipher.setAAD(aad);
  const plaintext = decipher.update(envelope.subarray(CIPHERTEXT_AT, tagAt));
  try {
    decipher.final();
  } catch {
    return undefined;
  }
  return new Uint8Array(plaintext.buffer, plaintext.byteOffset, plaintext.length);
}

function pad(plaintext: Uint8Array): Uint8Array {
  const padding = BLOCK_BYTES - (plaintext.length % BLOCK_BYTES);
  const padded = new Uint8Array(plaintext.length + padding).fill(padding);
  padded.set(plaintext);
  return padded;
}

/**
 * Real peers trust the last byte; only the owner of a key can make it lie, and then the envelope is refused.
 */
function unpad(padded: Uint8Array): Uint8Array {
  const padding = padded[padded.length - 1] ?? 0;
  if (padding < 1 || padding > BLOCK_BYTES || padding > padded.length) {
    throw new DecodeError('decrypt', `padding of ${padding} bytes is impossible`);
  }
  return padded.subarray(0, padded.length - padding);
}
