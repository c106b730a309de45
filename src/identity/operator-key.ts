import { randomBytes } from 'node:crypto';
import { closeSync, constants, mkdirSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { utf8, utf8Text } from '../lib/bytes.ts';
import { FanoutError } from '../lib/errors.ts';
import { ed25519PrivateKey, ed25519PublicKey, signEd25519 } from './ed25519.ts';
import { openOwnedFile, quote, readOpenFile } from './owned-file.ts';
import { isSealedKey, parseSealedKey, type SealedKey, sealPrivateKey } from './sealed-key.ts';
import { readSecretFileIfAny, writeSecretFile } from './secret-file.ts';
import {
  formatPrivateKey,
  formatPublicLine,
  lockedPublicKey,
  type PrivateKey,
  type PublicLine,
  parsePrivateKey,
  parsePublicLine,
} from './ssh-key.ts';

/** An operator's key, ready to sign. */
export interface OperatorKey {
  readonly publicKey: Uint8Array;
  /** The comment of the key. It names nobody by itself: a node's policy says whose key it is. */
  readonly name: string;
  /** The signature over an SSHSIG preimage: 64 bytes, 69 of a security key. Rejects with FanoutError when somebody else signs and does not. */
  sign(preimage: Uint8Array): Uint8Array | Promise<Uint8Array>;
}

/** One whose secret is in this process. */
export interface LocalKey extends OperatorKey {
  sign(preimage: Uint8Array): Uint8Array;
}

/** What a key file is. */
export type KeyFile =
  | { readonly kind: 'open'; readonly key: PrivateKey }
  /** OpenSSH's, with a passphrase or for a security key: only an agent can sign with it. */
  | { readonly kind: 'locked'; readonly publicKey: Uint8Array }
  /** Ours, with a passphrase. */
  | { readonly kind: 'sealed'; readonly key: SealedKey };

/** Largest .pub file that is read. */
const PUBLIC_FILE_BYTES_MAX = 16_384;

/** The key of a secret that was read. */
export function localKey({ seed, publicKey, comment }: PrivateKey): LocalKey {
  const key = ed25519PrivateKey(seed);
  return { publicKey, name: comment, sign: (preimage) => signEd25519(key, preimage) };
}

/**
 * Reads a key file that only its owner can reach, without asking anybody; undefined when there is none. Throws
 * FanoutError KEY_INVALID that names the file and what to do: readable by others, a link, of another type, damaged.
 */
export function readKeyFile(path: string): KeyFile | undefined {
  const bytes = readSecretFileIfAny(path);
  if (bytes === undefined) return undefined;
  return named(path, () => {
    const text = utf8Text(bytes);
    if (text === undefined) {
      throw new FanoutError('KEY_INVALID', 'this is not an OpenSSH private key file', { hint: MAKE_A_KEY });
    }
    if (isSealedKey(text)) return { kind: 'sealed', key: parseSealedKey(text) };
    const publicKey = text.startsWith(OPENSSH_BEGIN) ? lockedPublicKey(text) : undefined;
    if (publicKey !== undefined) return { kind: 'locked', publicKey };
    return { kind: 'open', key: parsePrivateKey(text) };
  });
}

/**
 * Reads a .pub file, which others may read but not write; undefined when there is none. Throws FanoutError KEY_INVALID
 * that names the file.
 */
export function readPublicKeyFile(path: string): PublicLine | undefined {
  const code = 'KEY_INVALID';
  const file = openOwnedFile(path, { flags: constants.O_RDONLY, forbidden: 0o022, code });
  if (file === undefined) return undefined;
  try {
    const bytes = readOpenFile(file, { from: 0, maxBytes: PUBLIC_FILE_BYTES_MAX, code });
    return named(path, () => parsePublicLine(utf8Text(bytes) ?? ''));
  } finally {
    closeSync(file.fd);
  }
}

/** There is no key file at a path. */
export function noSuchKey(path: string): FanoutError {
  return new FanoutError('KEY_INVALID', `there is no operator key ${path}`, { hint: MAKE_A_KEY });
}

/**
 * Makes an operator key: PATH (0600) and PATH.pub, under a passphrase when there is one. Never overwrites either. The
 * folder is made with mode 0700 when it is missing. Throws FanoutError KEY_INVALID, or USAGE for a name that is empty or
 * has spaces or control characters.
 */
export function createOperatorKey(
  path: string,
  name: string,
  passphrase?: string,
): { publicLine: string; publicKey: Uint8Array } {
  checkOperatorName(name);
  const seed = Uint8Array.from(randomBytes(32));
  const key = { seed, publicKey: ed25519PublicKey(seed), comment: name };
  const publicLine = formatPublicLine(key.publicKey, name);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writePublicLine(`${path}.pub`, publicLine);
  try {
    writeSecretFile(path, utf8(keyFileText(key, passphrase)), { overwrite: false });
  } catch (error) {
    unlinkSync(`${path}.pub`);
    throw error;
  }
  return { publicLine, publicKey: key.publicKey };
}

/** Throws FanoutError USAGE for a name that cannot be a new operator's. */
export function checkOperatorName(name: string): void {
  if (/^[^\s\p{Cc}]{1,128}$/u.test(name)) return;
  throw new FanoutError('USAGE', 'the operator name must be 1 to 128 characters without spaces', {
    hint: 'A policy and every audit log will show it. Take something like alice or alice@example.com',
  });
}

/**
 * Writes a key in place of what is at PATH, under a passphrase, or without one. The old file stays whole until the new one
 * is on the disk and was read back. Throws FanoutError KEY_INVALID; then the old file is as it was.
 */
export function rewriteKeyFile(path: string, key: PrivateKey, passphrase: string | undefined): void {
  const text = keyFileText(key, passphrase);
  const again = passphrase === undefined ? parsePrivateKey(text) : parseSealedKey(text).open(passphrase);
  if (again === undefined || !Buffer.from(again.seed).equals(key.seed)) {
    throw new FanoutError('KEY_INVALID', `${path} was left as it is: the new text did not open again`);
  }
  writeSecretFile(path, utf8(text), { overwrite: true });
}

const MAKE_A_KEY = 'Make one with: fanout operator keygen';
const OPENSSH_BEGIN = '-----BEGIN OPENSSH';

function keyFileText(key: PrivateKey, passphrase: string | undefined): string {
  return passphrase === undefined ? formatPrivateKey(key.seed, key.comment) : sealPrivateKey(key, passphrase);
}

/** Puts the path in front of what is wrong with its content. */
function named<T>(path: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof FanoutError)) throw error;
    throw new FanoutError(error.code, `${path}: ${error.message}`, {
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      cause: error,
    });
  }
}

function writePublicLine(path: string, line: string): void {
  try {
    const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o644);
    try {
      writeSync(fd, `${line}\n`);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw new FanoutError('KEY_INVALID', `${path} cannot be made: ${String(error)}`, {
      hint: `Choose another path, or move it away first: mv ${quote(path)} ${quote(`${path}.old`)}`,
      cause: error,
    });
  }
}
