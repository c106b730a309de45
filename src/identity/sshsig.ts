import { createHash } from 'node:crypto';
import { concatBytes, EMPTY, utf8 } from '../lib/bytes.ts';
import { ED25519_SIGNATURE_BYTES } from './ed25519.ts';
import { keyTypeOf, publicBlob } from './ssh-key.ts';
import { sshString, sshU32 } from './ssh-wire.ts';

// SSHSIG (PROTOCOL.sshsig in OpenSSH's sources) is the one form of every signature in fanout: stock
// ssh-keygen can check them all, and the namespace inside the signed bytes keeps one purpose from being taken
// for another.

const MAGIC = 'SSHSIG';
const HASH = 'sha512';

/** What each signature is for. */
export const NAMESPACES = {
  /** An operator's command. */
  command: 'fanout-cmd-v1',
  /** Somebody else's consent to an operator's command: over the same bytes. */
  approval: 'fanout-approve-v1',
  /** A node's hello: its two keys belong together and answer this request. */
  nodeHello: 'fanout-node-hello-v1',
  /** A node's end of an answer. */
  nodeEnd: 'fanout-node-v1',
  /** A member's word that it has a name and an address. */
  member: 'fanout-member-v1',
} as const;

/**
 * The exact bytes that are signed for `body`. The verifier rebuilds them, so only 64 signature bytes travel.
 */
export function sshsigPreimage(namespace: string, body: Uint8Array): Uint8Array {
  return concatBytes(
    utf8(MAGIC),
    sshString(utf8(namespace)),
    sshString(EMPTY),
    sshString(utf8(HASH)),
    sshString(createHash(HASH).update(body).digest()),
  );
}

/** A signature as SSH has it: type, 64 bytes, and behind them what a security key adds. */
function signatureBlob(publicKey: Uint8Array, signature: Uint8Array): Uint8Array {
  const ed25519 = signature.subarray(0, ED25519_SIGNATURE_BYTES);
  const ofDevice = signature.subarray(ED25519_SIGNATURE_BYTES);
  return concatBytes(sshString(utf8(keyTypeOf(publicKey))), sshString(ed25519), ofDevice);
}

/**
 * The armoured file that `ssh-keygen -Y verify -n NAMESPACE` takes, from a raw signature over the preimage.
 */
export function armorSshsig(namespace: string, publicKey: Uint8Array, signature: Uint8Array): string {
  const blob = concatBytes(
    utf8(MAGIC),
    sshU32(1),
    sshString(publicBlob(publicKey)),
    sshString(utf8(namespace)),
    sshString(EMPTY),
    sshString(utf8(HASH)),
    sshString(signatureBlob(publicKey, signature)),
  );
  const lines =
    Buffer.from(blob)
      .toString('base64')
      .match(/.{1,70}/g) ?? [];
  return ['-----BEGIN SSH SIGNATURE-----', ...lines, '-----END SSH SIGNATURE-----', ''].join('\n');
}
