import { createHash } from 'node:crypto';
import { concatBytes } from '../lib/bytes.ts';
import { ED25519_KEY_BYTES, ED25519_SIGNATURE_BYTES, verifyEd25519 } from './ed25519.ts';
import { isSecurityKey } from './ssh-key.ts';

/**
 * A signature of a security key (FIDO) as it travels: 64 bytes of Ed25519, one of flags and four of its counter, which the
 * device signs as well.
 */
export const SECURITY_KEY_SIGNATURE_BYTES = ED25519_SIGNATURE_BYTES + 5;

/** In the flags: somebody touched the device (OpenSSH, SSH_SK_USER_PRESENCE_REQD). */
const FLAG_PRESENT = 0x01;

/**
 * Whether `signature` is the key's own over exactly these bytes. A security key signs what OpenSSH's PROTOCOL.u2f says: the
 * hash of its application, flags, counter, and the hash of the message; without a touch it counts for nothing. False, never
 * an error, for a signature of the other kind.
 */
export function verifyOperatorSignature(
  publicKey: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (!isSecurityKey(publicKey)) return verifyEd25519(publicKey, message, signature);
  if (signature.length !== SECURITY_KEY_SIGNATURE_BYTES) return false;
  if (!isTouched(signature)) return false;
  const ofDevice = signature.subarray(ED25519_SIGNATURE_BYTES);
  const key = publicKey.subarray(0, ED25519_KEY_BYTES);
  const application = publicKey.subarray(ED25519_KEY_BYTES);
  const signed = concatBytes(sha256(application), ofDevice, sha256(message));
  return verifyEd25519(key, signed, signature.subarray(0, ED25519_SIGNATURE_BYTES));
}

/** Whether a signature of a security key says that somebody touched it. */
export function isTouched(signature: Uint8Array): boolean {
  return ((signature[ED25519_SIGNATURE_BYTES] ?? 0) & FLAG_PRESENT) !== 0;
}

function sha256(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest();
}
