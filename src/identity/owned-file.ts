import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readSync,
  realpathSync,
  type Stats,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { errnoOf, FanoutError, type FanoutErrorCode } from '../lib/errors.ts';

// Files that decide who is trusted: keys, pins, the audit log. They are opened as sshd opens an
// authorized_keys file (StrictModes): nobody but their owner and root may have been able to put other bytes,
// or another file, in their place.

/** How a file may be opened and who else may touch it. */
export interface OwnedFileOptions {
  /** node:fs open flags. O_NOFOLLOW, O_NONBLOCK and O_CLOEXEC are added. */
  readonly flags: number;
  /** Mode bits that must not be set, for example 0o077 for "nobody else at all". */
  readonly forbidden: number;
  /** Mode of a file that the flags create. */
  readonly createMode?: number;
  /** The code of every error, so that the exit code fits what the file is for. */
  readonly code: FanoutErrorCode;
}

/** An open descriptor, the path it was opened by (links in its folders resolved), and its state. Close it. */
export interface OwnedFile {
  readonly fd: number;
  readonly path: string;
  readonly stats: Stats;
}

/**
 * Opens a regular file that belongs to this user or root, has none of the forbidden mode bits, is not a
 * symbolic link, and lies in folders that nobody else can write. The checks are made on the open descriptor,
 * so the file cannot be swapped in between. Throws FanoutError with the exact command that mends it;
 * undefined when there is no such file.
 */
export function openOwnedFile(path: string, options: OwnedFileOptions): OwnedFile | undefined {
  const folder = realFolder(path, options.code);
  if (folder === undefined) return undefined;
  checkFolders(folder, options.code);
  const real = join(folder, basename(path));
  const { O_NOFOLLOW, O_NONBLOCK } = constants;
  let fd: number;
  try {
    // O_NONBLOCK: opening a named pipe must fail below instead of waiting for a writer.
    fd = openSync(real, options.flags | O_NOFOLLOW | O_NONBLOCK, options.createMode);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw openError(real, error, options.code);
  }
  try {
    const stats = fstatSync(fd);
    checkFile(real, stats, options);
    return { fd, path: real, stats };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/**
 * The bytes of an open file from an offset to its end, also those that are added meanwhile. Throws
 * FanoutError when they are more than `maxBytes`.
 */
export function readOpenFile(
  file: OwnedFile,
  options: { readonly from: number; readonly maxBytes: number; readonly code: FanoutErrorCode },
): Uint8Array {
  const { from, maxBytes, code } = options;
  let buffer = new Uint8Array(Math.max(0, Math.min(file.stats.size - from, maxBytes)) + 1);
  let length = 0;
  for (;;) {
    const count = readSync(file.fd, buffer, length, buffer.length - length, from + length);
    if (count === 0) return buffer.slice(0, length);
    length += count;
    if (length > maxBytes) {
      throw new FanoutError(code, `${file.path} is too large: at most ${maxBytes} bytes`, {
        hint: 'Is it the right file?',
      });
    }
    if (length === buffer.length) {
      const grown = new Uint8Array(2 * length);
      grown.set(buffer);
      buffer = grown;
    }
  }
}

/** The folder of a path with every link resolved; undefined when it does not exist. */
export function realFolder(path: string, code: FanoutErrorCode): string | undefined {
  try {
    return realpathSync(dirname(path));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw openError(path, error, code);
  }
}

/** Throws FanoutError unless nobody but this user and root can replace what lies in this folder. */
export function checkFolders(folder: string, code: FanoutErrorCode): void {
  let path = folder;
  for (;;) {
    const stats = lstatSync(path);
    if (!isTrusted(stats.uid)) {
      throw new FanoutError(
        code,
        `the folder ${path} belongs to ${userText(stats.uid)}, not to you or root`,
        {
          hint: `Whoever owns it can swap what is inside. Run: chown ${me()} ${quote(path)}`,
        },
      );
    }
    // In a sticky folder, such as /tmp, only the owner of a file can rename or remove it.
    const isSticky = (stats.mode & 0o1000) !== 0;
    if ((stats.mode & 0o022) !== 0 && !isSticky) {
      throw new FanoutError(code, `others can write the folder ${path} (mode ${modeText(stats.mode)})`, {
        hint: `Whoever can write it can swap what is inside. Run: chmod go-w ${quote(path)}`,
      });
    }
    const parent = dirname(path);
    if (parent === path) return;
    path = parent;
  }
}

function checkFile(path: string, stats: Stats, options: OwnedFileOptions): void {
  const { code, forbidden } = options;
  if (!stats.isFile()) {
    throw new FanoutError(code, `${path} is ${stats.isDirectory() ? 'a folder' : 'not a regular file'}`, {
      hint: 'Give the path of the file itself.',
    });
  }
  if (!isTrusted(stats.uid)) {
    throw new FanoutError(code, `${path} belongs to ${userText(stats.uid)}, not to you or root`, {
      hint: `If it is yours, run: chown ${me()} ${quote(path)}`,
    });
  }
  if ((stats.mode & forbidden) !== 0) {
    const isSecret = (forbidden & 0o044) !== 0;
    const message = `others can ${isSecret ? 'reach' : 'write'} ${path} (mode ${modeText(stats.mode)})`;
    throw new FanoutError(code, message, {
      hint: `Run: chmod ${isSecret ? '600' : 'go-w'} ${quote(path)}`,
    });
  }
}

function openError(path: string, error: unknown, code: FanoutErrorCode): FanoutError {
  const errno = errnoOf(error);
  if (errno === 'ELOOP') {
    return new FanoutError(code, `${path} is a symbolic link`, {
      hint: `Give the path of the file itself: readlink -f ${quote(path)}`,
      cause: error,
    });
  }
  if (errno === 'EISDIR') {
    return new FanoutError(code, `${path} is a folder`, {
      hint: 'Give the path of the file itself.',
      cause: error,
    });
  }
  if (errno === 'EACCES' || errno === 'EPERM') {
    return new FanoutError(code, `${path} cannot be opened: permission denied`, {
      hint: `Run it as the user who owns the file, or look at: ls -ld ${quote(path)}`,
      cause: error,
    });
  }
  return new FanoutError(code, `${path} cannot be opened: ${errno ?? String(error)}`, {
    hint: `Look at: ls -ld ${quote(path)}`,
    cause: error,
  });
}

/** A path as a shell takes it, for the commands in hints. */
export function quote(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}

function isTrusted(uid: number): boolean {
  return uid === me() || uid === 0;
}

function me(): number {
  return process.geteuid?.() ?? 0;
}

function userText(uid: number): string {
  return `user ${uid}`;
}

function modeText(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, '0');
}
