import { randomBytes } from 'node:crypto';
import { closeSync, constants, mkdirSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { utf8, utf8Text } from '../lib/bytes.ts';
import { FanoutError } from '../lib/errors.ts';
import { ed25519PrivateKey, ed25519PublicKey, signEd25519 } from './ed25519.ts';
import { quote } from './owned-file.ts';
import { readSecretFileIfAny, writeSecretFile } from './secret-file.ts';
import { formatPrivateKey, formatPublicLine, parsePrivateKey } from './ssh-key.ts';

/** An operator's key, ready to sign. */
export interface OperatorKey {
  readonly publicKey: Uint8Array;
  /** The comment of the key file. It names nobody by itself: a node's policy says whose key it is. */
  readonly name: string;
  /** The 64-byte signature over an SSHSIG preimage. */
  sign(preimage: Uint8Array): Uint8Array;
}

/**
 * Loads an unencrypted OpenSSH Ed25519 private key. Throws FanoutError KEY_INVALID that names the file and
 * what to do: missing, readable by others, a link, encrypted, of another type, damaged.
 */
export function loadOperatorKey(path: string): OperatorKey {
  const bytes = readSecretFileIfAny(path);
  if (bytes === undefined) {
    throw new FanoutError('KEY_INVALID', `there is no operator key ${path}`, {
      hint: 'Make one with: fanout operator keygen',
    });
  }
  const text = utf8Text(bytes);
  if (text === undefined) {
    throw new FanoutError('KEY_INVALID', `${path}: this is not an OpenSSH private key file`, {
      hint: 'Make one with: fanout operator keygen',
    });
  }
  try {
    const { seed, publicKey, comment } = parsePrivateKey(text);
    const key = ed25519PrivateKey(seed);
    return { publicKey, name: comment, sign: (preimage) => signEd25519(key, preimage) };
  } catch (error) {
    if (!(error instanceof FanoutError)) throw error;
    throw new FanoutError(error.code, `${path}: ${error.message}`, {
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      cause: error,
    });
  }
}

/**
 * Makes an operator key: PATH (0600) and PATH.pub. Never overwrites either. The folder is made with mode 0700
 * when it is missing. Throws FanoutError KEY_INVALID, or USAGE for a name that is empty or has spaces or
 * control characters.
 */
export function createOperatorKey(path: string, name: string): { publicLine: string } {
  if (!/^[^\s\p{Cc}]{1,128}$/u.test(name)) {
    throw new FanoutError('USAGE', 'the operator name must be 1 to 128 characters without spaces', {
      hint: 'A policy and every audit log will show it. Take something like alice or alice@example.com',
    });
  }
  const seed = randomBytes(32);
  const publicLine = formatPublicLine(ed25519PublicKey(seed), name);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writePublicLine(`${path}.pub`, publicLine);
  try {
    writeSecretFile(path, utf8(formatPrivateKey(seed, name)), { overwrite: false });
  } catch (error) {
    unlinkSync(`${path}.pub`);
    throw error;
  }
  return { publicLine };
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
