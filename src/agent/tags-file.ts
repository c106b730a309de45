import { closeSync, constants } from 'node:fs';
import * as v from 'valibot';
import { openOwnedFile, quote, readOpenFile } from '../identity/owned-file.ts';
import { writeSecretFile } from '../identity/secret-file.ts';
import { utf8, utf8Text } from '../lib/bytes.ts';
import { FanoutError } from '../lib/errors.ts';

/** Tags take 512 bytes at most; this leaves room for how they are written. */
const FILE_BYTES_MAX = 64 * 1024;
const schema = v.record(v.string(), v.string());

/** The tags of Serf's tags file, a JSON object of texts; none when the file is not there yet. Throws FanoutError CONFIG. */
export function readTagsFile(path: string): Map<string, string> {
  const file = openOwnedFile(path, { flags: constants.O_RDONLY, forbidden: 0o022, code: 'CONFIG' });
  if (file === undefined) return new Map();
  try {
    const text = utf8Text(readOpenFile(file, { from: 0, maxBytes: FILE_BYTES_MAX, code: 'CONFIG' }));
    return new Map(Object.entries(v.parse(schema, JSON.parse(text ?? ''))));
  } catch (cause) {
    if (cause instanceof FanoutError) throw cause;
    throw new FanoutError('CONFIG', `the tags file ${path} is not a JSON object of texts`, {
      hint: `Mend it, or remove it to start without tags: rm ${quote(path)}`,
      cause,
    });
  } finally {
    closeSync(file.fd);
  }
}

/** Writes the tags in Serf's form, whole or not at all, mode 0600. Throws FanoutError when that fails. */
export function writeTagsFile(path: string, tags: ReadonlyMap<string, string>): void {
  const sorted = [...tags].sort(([a], [b]) => (a < b ? -1 : 1));
  writeSecretFile(path, utf8(JSON.stringify(Object.fromEntries(sorted), null, 2)), { overwrite: true });
}
