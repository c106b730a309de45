import { hkdfSync, randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { concatBytes, utf8, utf8Text } from '../lib/bytes.ts';
import { FanoutError } from '../lib/errors.ts';
import { boxKeyPair, sealBox } from './box.ts';
import { ed25519PrivateKey, ed25519PublicKey, signEd25519 } from './ed25519.ts';
import { quote } from './owned-file.ts';
import { readSecretFileIfAny, writeSecretFile } from './secret-file.ts';
import { sha256Fingerprint } from './ssh-key.ts';

const FILE_NAME = 'node.key';
const FILE_HEAD = 'fanout-node-key-v1';
const SEED_BYTES = 32;

/** Bytes of a node's identity: Ed25519 public key, then X25519 public key. */
export const IDENTITY_BYTES = 64;

/** A node's two key pairs. The secrets stay inside. */
export interface NodeKey {
  /** Ed25519 public key, 32 bytes. */
  readonly signPublic: Uint8Array;
  /** X25519 public key, 32 bytes. */
  readonly boxPublic: Uint8Array;
  /** Both, 64 bytes: what others pin. */
  readonly identity: Uint8Array;
  readonly fingerprint: string;
  /** The 64-byte signature over an SSHSIG preimage. */
  sign(preimage: Uint8Array): Uint8Array;
  /**
   * Seals for the holder of `publicKey`; the box proves that this node made it. A nonce must never be used
   * twice.
   */
  box(plaintext: Uint8Array, nonce: Uint8Array, publicKey: Uint8Array): Uint8Array;
}

/** How people compare a node's identity: `SHA256:` and unpadded base64 over the 64 bytes. */
export function identityFingerprint(identity: Uint8Array): string {
  return sha256Fingerprint(identity);
}

/** The node key of a 32-byte seed: both secrets by HKDF-SHA256 (RFC 5869), each with its own label. */
export function nodeKeyOfSeed(seed: Uint8Array): NodeKey {
  const derive = (label: string): Uint8Array => new Uint8Array(hkdfSync('sha256', seed, '', label, 32));
  const signSeed = derive('fanout node sign v1');
  const signKey = ed25519PrivateKey(signSeed);
  const signPublic = ed25519PublicKey(signSeed);
  const { publicKey: boxPublic, secret: boxSecret } = boxKeyPair(derive('fanout node box v1'));
  const identity = concatBytes(signPublic, boxPublic);
  return {
    signPublic,
    boxPublic,
    identity,
    fingerprint: identityFingerprint(identity),
    sign: (preimage) => signEd25519(signKey, preimage),
    box: (plaintext, nonce, publicKey) => sealBox(plaintext, nonce, publicKey, boxSecret),
  };
}

/**
 * The key in DATA_DIR/node.key, made at first start (0600; a missing folder is made 0700). Throws FanoutError
 * KEY_INVALID when others can reach it or it is damaged: it is never replaced, for the asking side has pinned
 * it.
 */
export function loadOrCreateNodeKey(dataDir: string): NodeKey {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new FanoutError('KEY_INVALID', `the data folder ${dataDir} cannot be made: ${String(error)}`, {
      hint: 'Set data_dir to a folder that this user can write.',
      cause: error,
    });
  }
  const path = join(dataDir, FILE_NAME);
  const existing = readSecretFileIfAny(path);
  if (existing !== undefined) return nodeKeyOfSeed(parseSeed(path, existing));
  const seed = randomBytes(SEED_BYTES);
  writeSecretFile(path, utf8(`${FILE_HEAD} ${seed.toString('base64')}\n`), { overwrite: false });
  return nodeKeyOfSeed(seed);
}

function parseSeed(path: string, bytes: Uint8Array): Uint8Array {
  const match = /^(\S+) ([A-Za-z0-9+/]{43}=)\n$/.exec(utf8Text(bytes) ?? '');
  const seed = match?.[1] === FILE_HEAD ? Buffer.from(match[2] ?? '', 'base64') : undefined;
  if (seed?.length === SEED_BYTES && seed.toString('base64') === match?.[2]) return Uint8Array.from(seed);
  const move = `mv ${quote(path)} ${quote(`${path}.bad`)}`;
  throw new FanoutError('KEY_INVALID', `${path} is damaged: expected "${FILE_HEAD}" and 32 bytes in base64`, {
    hint:
      `Restore it from a copy. Or move it away (${move}): the agent makes a new key at its next start, and ` +
      'every operator must then drop the old pin of this node.',
  });
}
