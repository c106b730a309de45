import {
  closeSync,
  constants,
  fchmodSync,
  fsyncSync,
  linkSync,
  openSync,
  renameSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { codeOf, errnoOf, FanoutError } from '../lib/errors.ts';
import { checkFolders, openOwnedFile, quote, readOpenFile, realFolder } from './owned-file.ts';

/** Largest secret file that is read. A key file has 400 bytes; more than this is the wrong file. */
const SECRET_FILE_BYTES_MAX = 65_536;

const code = 'KEY_INVALID';

/**
 * The bytes of a file that only this user (or root) can read: see `openOwnedFile`. Throws FanoutError
 * KEY_INVALID with the exact chmod that mends it, also when the file is missing.
 */
export function readSecretFile(path: string): Uint8Array {
  const bytes = readSecretFileIfAny(path);
  if (bytes !== undefined) return bytes;
  throw new FanoutError(code, `there is no file ${path}`, { hint: `Look at: ls -l ${quote(path)}` });
}

/** As `readSecretFile`, but undefined when there is no such file. */
export function readSecretFileIfAny(path: string): Uint8Array | undefined {
  const file = openOwnedFile(path, { flags: constants.O_RDONLY, forbidden: 0o077, code });
  if (file === undefined) return undefined;
  try {
    return readOpenFile(file, { from: 0, maxBytes: SECRET_FILE_BYTES_MAX, code });
  } finally {
    closeSync(file.fd);
  }
}

/**
 * Writes a file of mode 0600 so that it is there whole or not at all, also after a power cut: temporary file,
 * fsync, rename. With `overwrite: false` an existing file is kept and FanoutError KEY_INVALID thrown. The
 * folder must exist.
 */
export function writeSecretFile(path: string, bytes: Uint8Array, options: { overwrite: boolean }): void {
  const folder = realFolder(path, code);
  if (folder === undefined) {
    throw new FanoutError(code, `there is no folder for ${path}`, { hint: 'Make it first, with mode 0700.' });
  }
  checkFolders(folder, code);
  const target = join(folder, basename(path));
  // The global, because loading node:crypto would cost every command that only might read a key.
  const temporary = join(folder, `.${basename(path)}.${crypto.randomUUID()}.tmp`);
  try {
    writeWhole(temporary, bytes);
    try {
      if (options.overwrite) {
        renameSync(temporary, target);
      } else {
        // link(2) fails where rename(2) would replace, in one step, so two writers cannot both win.
        linkSync(temporary, target);
        unlinkSync(temporary);
      }
    } catch (error) {
      unlinkSync(temporary);
      throw error;
    }
    syncFolder(folder);
  } catch (error) {
    throw writeError(target, error);
  }
}

function writeWhole(path: string, bytes: Uint8Array): void {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const fd = openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    fchmodSync(fd, 0o600);
    for (let offset = 0; offset < bytes.length; ) offset += writeSync(fd, bytes, offset);
    fsyncSync(fd);
  } catch (error) {
    unlinkSync(path);
    throw error;
  } finally {
    closeSync(fd);
  }
}

function syncFolder(folder: string): void {
  const fd = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function writeError(path: string, error: unknown): FanoutError {
  if (errnoOf(error) === 'EEXIST') {
    return new FanoutError(code, `${path} exists already, and a key is never overwritten`, {
      hint: `Choose another path, or move it away first: mv ${quote(path)} ${quote(`${path}.old`)}`,
      cause: error,
    });
  }
  return new FanoutError(code, `${path} cannot be written: ${codeOf(error)}`, {
    hint: `Look at: df -h ${quote(path)}; ls -ld ${quote(path)}`,
    cause: error,
  });
}
