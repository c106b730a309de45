import { closeSync, constants, type Dirent, readdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { openOwnedFile, quote, readOpenFile } from '../identity/owned-file.ts';
import { utf8Text } from '../lib/bytes.ts';
import { FanoutError, messageOf } from '../lib/errors.ts';
import { loadCases, loadManifest, type Manifest } from '../policy/manifest.ts';
import type { TestCase } from '../policy/manifest-schema.ts';

const MANIFEST = 'handler.yaml';
const TESTS = 'test.yaml';
/** Far above any manifest that a person can review. */
const FILE_BYTES_MAX = 64 * 1024;
const HANDLERS_MAX = 256;
/** Nobody but the owner decides what a handler is. */
const WRITABLE_BY_OTHERS = 0o022;

/** A handler, and the folder that it came from, with every link resolved. */
export interface LoadedHandler {
  readonly manifest: Manifest;
  readonly folder: string;
}

/**
 * The handlers in a folder, each in a folder of its own name. Throws FanoutError CONFIG at the first one that is not sound:
 * one that is left out in silence would be looked for in vain.
 */
export function loadHandlers(dir: string): ReadonlyMap<string, LoadedHandler> {
  const names = entriesOf(dir).map((entry) => {
    if (entry.isSymbolicLink()) {
      throw new FanoutError(
        'CONFIG',
        `${join(dir, entry.name)} is a symbolic link, and whatever it leads to can be swapped`,
        {
          hint: 'Put the folder itself there.',
        },
      );
    }
    return entry.name;
  });
  if (names.length > HANDLERS_MAX) {
    throw new FanoutError('CONFIG', `${dir} has ${names.length} folders, at most ${HANDLERS_MAX} are taken`, {
      hint: 'Is it the folder of the handlers?',
    });
  }
  return new Map(names.map((name) => [name, loadHandler(dir, name)]));
}

/** One handler of a folder. Throws FanoutError CONFIG. */
export function loadHandler(dir: string, name: string): LoadedHandler {
  const file = join(dir, name, MANIFEST);
  const text = readOwned(file);
  if (text === undefined) {
    throw new FanoutError('CONFIG', `there is no ${file}`, {
      hint: 'A handler is a folder with a handler.yaml in it: fanout handlers list --dir DIR',
    });
  }
  const manifest = loadManifest(text, file);
  if (manifest.name !== name) {
    throw new FanoutError('CONFIG', `${file} is called "${manifest.name}", and its folder "${name}"`, {
      hint: 'Give both the same name.',
    });
  }
  return { manifest, folder: realpathSync(join(dir, name)) };
}

/** The tests beside a manifest; undefined when there are none. Throws FanoutError CONFIG. */
export function loadTests({ folder }: LoadedHandler): readonly TestCase[] | undefined {
  const file = join(folder, TESTS);
  const text = readOwned(file);
  return text === undefined ? undefined : loadCases(text, file);
}

/** Folders, and links, which are refused by name. Other files, such as a README, are nobody's handler. */
function entriesOf(dir: string): Dirent[] {
  try {
    return readdirSync(dir, { withFileTypes: true })
      .filter((entry) => !entry.name.startsWith('.') && (entry.isDirectory() || entry.isSymbolicLink()))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (cause) {
    const reason = messageOf(cause);
    throw new FanoutError('CONFIG', `cannot read the handlers in ${dir}: ${reason}`, {
      hint: `Look at it: ls -ld ${quote(dir)}`,
      cause,
    });
  }
}

function readOwned(path: string): string | undefined {
  const opened = openOwnedFile(path, {
    flags: constants.O_RDONLY,
    forbidden: WRITABLE_BY_OTHERS,
    code: 'CONFIG',
  });
  if (opened === undefined) return undefined;
  try {
    const text = utf8Text(readOpenFile(opened, { from: 0, maxBytes: FILE_BYTES_MAX, code: 'CONFIG' }));
    if (text !== undefined) return text;
  } finally {
    closeSync(opened.fd);
  }
  throw new FanoutError('CONFIG', `${path} is not text in UTF-8`, { hint: 'Is it the right file?' });
}
