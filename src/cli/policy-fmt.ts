import {
  closeSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  openSync,
  realpathSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { readPolicy } from '../agent/policy-holder.ts';
import { FanoutError, messageOf } from '../lib/errors.ts';
import { sanitiseText } from '../lib/sanitise.ts';
import { formatPolicy } from '../policy/format.ts';
import { reportError } from './report-error.ts';

/** `fanout policy fmt`: 0; with `--check` 1 when a file would change; 2 when one cannot be formatted. */
export async function fmt(files: readonly string[], options: { check?: boolean }): Promise<number> {
  let code = 0;
  for (const file of files) {
    try {
      const text = readPolicy(file);
      const formatted = formatPolicy(text, file);
      if (formatted === text) continue;
      process.stdout.write(`${sanitiseText(file)}\n`);
      if (options.check === true) code = Math.max(code, 1);
      else replaceFile(file, formatted);
    } catch (error) {
      if (!(error instanceof FanoutError)) throw error;
      // The other files are not to blame.
      code = Math.max(code, reportError(error));
    }
  }
  return code;
}

/** Puts a text in the place of a file, whole or not at all, with the file's owner and mode; links stay links. */
function replaceFile(file: string, text: string): void {
  const target = realpathSync(file);
  const { mode, uid, gid } = statSync(target);
  const temporary = `${target}.${process.pid}.tmp`;
  try {
    const fd = openSync(temporary, 'wx', 0o600);
    try {
      const own = fstatSync(fd);
      if (own.uid !== uid || own.gid !== gid) fchownSync(fd, uid, gid);
      fchmodSync(fd, mode & 0o7777);
      writeFileSync(fd, text);
      fsyncSync(fd);
      renameSync(temporary, target);
    } catch (error) {
      unlinkSync(temporary);
      throw error;
    } finally {
      closeSync(fd);
    }
  } catch (cause) {
    const reason = messageOf(cause);
    throw new FanoutError('CONFIG', `cannot write ${file}: ${reason}`, {
      hint: 'Its folder has to be writable: a new file takes the place of the old one.',
      cause,
    });
  }
}
