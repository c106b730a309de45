import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readSecretFile, readSecretFileIfAny, writeSecretFile } from '../../src/identity/secret-file.ts';
import { utf8 } from '../../src/lib/bytes.ts';
import { testWhere } from '../support/applies.ts';
import { fanoutErrorOf, scratchFolder } from './fixtures.ts';

const isRoot = process.geteuid?.() === 0;

const SOMEBODY_ELSE = 54_321;

function secretIn(folder: string): string {
  const path = join(folder, 'key');
  writeSecretFile(path, utf8('secret'), { overwrite: false });
  return path;
}

test.each([0, 0o777])(
  'what was written under umask %o is read back, and only its owner can open it',
  (umask) => {
    const folder = scratchFolder();
    const before = process.umask(umask);
    try {
      const path = secretIn(folder);
      expect(readSecretFile(path)).toEqual(utf8('secret'));
      expect(statSync(path).mode & 0o777).toBe(0o600);
      writeSecretFile(path, utf8('second'), { overwrite: true });
      expect(readSecretFile(path)).toEqual(utf8('second'));
      expect(statSync(path).mode & 0o777).toBe(0o600);
      expect(readdirSync(folder)).toEqual(['key']);
    } finally {
      process.umask(before);
    }
  },
);

test('an existing file is kept when it must not be overwritten, and no temporary file stays', () => {
  const folder = scratchFolder();
  const path = secretIn(folder);
  const error = fanoutErrorOf(() => writeSecretFile(path, utf8('other'), { overwrite: false }));
  expect(error.code).toBe('KEY_INVALID');
  expect(error.message).toContain('exists already');
  expect(error.hint).toContain(`mv ${path}`);
  expect(readFileSync(path, 'utf8')).toBe('secret');
  expect(readdirSync(folder)).toEqual(['key']);
});

test('a write that fails leaves no temporary file behind', () => {
  const folder = scratchFolder();
  mkdirSync(join(folder, 'key'));
  expect(fanoutErrorOf(() => writeSecretFile(join(folder, 'key'), utf8('x'), { overwrite: true })).code).toBe(
    'KEY_INVALID',
  );
  expect(readdirSync(folder)).toEqual(['key']);
});

test('a link in the place of a file is replaced, never followed', () => {
  const folder = scratchFolder();
  writeFileSync(join(folder, 'victim'), 'untouched');
  symlinkSync(join(folder, 'victim'), join(folder, 'key'));
  writeSecretFile(join(folder, 'key'), utf8('secret'), { overwrite: true });
  expect(readFileSync(join(folder, 'victim'), 'utf8')).toBe('untouched');
  expect(lstatSync(join(folder, 'key')).isSymbolicLink()).toBe(false);
});

test.each([0o640, 0o604, 0o660, 0o606, 0o610, 0o777])(
  'mode %o is refused with the chmod that mends it',
  (mode) => {
    const path = secretIn(scratchFolder());
    chmodSync(path, mode);
    const error = fanoutErrorOf(() => readSecretFile(path));
    expect(error.code).toBe('KEY_INVALID');
    expect(error.message).toContain(`mode 0${mode.toString(8)}`);
    expect(error.hint).toBe(`Run: chmod 600 ${path}`);
    execFileSync('sh', ['-c', error.hint!.replace('Run: ', '')]);
    expect(readSecretFile(path)).toEqual(utf8('secret'));
  },
);

test('a path with blanks and quotes is quoted in the hint', () => {
  const folder = join(scratchFolder(), "it's mine");
  mkdirSync(folder, { mode: 0o700 });
  const path = secretIn(folder);
  chmodSync(path, 0o644);
  const error = fanoutErrorOf(() => readSecretFile(path));
  execFileSync('sh', ['-c', error.hint!.replace('Run: ', '')]);
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

test('a symbolic link is refused', () => {
  const folder = scratchFolder();
  symlinkSync(secretIn(folder), join(folder, 'link'));
  const error = fanoutErrorOf(() => readSecretFile(join(folder, 'link')));
  expect(error.message).toContain('symbolic link');
  expect(error.hint).toContain('readlink -f');
});

test('a folder, a named pipe and a missing file are refused at once', () => {
  const folder = scratchFolder();
  mkdirSync(join(folder, 'folder'), { mode: 0o700 });
  expect(fanoutErrorOf(() => readSecretFile(join(folder, 'folder'))).message).toContain('is a folder');
  execFileSync('/bin/sh', ['-c', 'mkfifo -m 600 "$0"', join(folder, 'pipe')]);
  expect(fanoutErrorOf(() => readSecretFile(join(folder, 'pipe'))).message).toContain('not a regular file');
  expect(fanoutErrorOf(() => readSecretFile(join(folder, 'none'))).message).toContain('there is no file');
  expect(readSecretFileIfAny(join(folder, 'none'))).toBeUndefined();
  expect(readSecretFileIfAny(join(folder, 'no folder', 'none'))).toBeUndefined();
  expect(fanoutErrorOf(() => readSecretFile(join(folder, 'pipe', 'key'))).message).toContain('ENOTDIR');
});

test('a file that is too large is refused', () => {
  const path = join(scratchFolder(), 'key');
  writeFileSync(path, new Uint8Array(65_537), { mode: 0o600 });
  expect(fanoutErrorOf(() => readSecretFile(path)).message).toContain('at most 65536');
});

test('a folder that others can write is refused, a sticky one is not', () => {
  const parent = join(scratchFolder(), 'parent');
  mkdirSync(join(parent, 'child'), { recursive: true, mode: 0o700 });
  const path = secretIn(join(parent, 'child'));
  for (const mode of [0o770, 0o707, 0o777]) {
    chmodSync(parent, mode);
    const error = fanoutErrorOf(() => readSecretFile(path));
    expect(error.message).toContain(`the folder ${parent}`);
    expect(error.hint).toContain(`chmod go-w ${parent}`);
    expect(fanoutErrorOf(() => writeSecretFile(path, utf8('x'), { overwrite: true })).message).toContain(
      'folder',
    );
  }
  chmodSync(parent, 0o1777);
  expect(readSecretFile(path)).toEqual(utf8('secret'));
});

test('a folder that others can write is refused behind a link too', () => {
  const folder = scratchFolder();
  mkdirSync(join(folder, 'open'));
  const path = secretIn(join(folder, 'open'));
  chmodSync(join(folder, 'open'), 0o777);
  symlinkSync(join(folder, 'open'), join(folder, 'alias'));
  expect(fanoutErrorOf(() => readSecretFile(path.replace('open', 'alias'))).message).toContain(
    'others can write',
  );
});

testWhere(isRoot)('a file or a folder that belongs to somebody else is refused', () => {
  const folder = join(scratchFolder(), 'mine');
  mkdirSync(folder, { mode: 0o700 });
  const path = secretIn(folder);
  chownSync(path, SOMEBODY_ELSE, SOMEBODY_ELSE);
  const error = fanoutErrorOf(() => readSecretFile(path));
  expect(error.message).toContain(`belongs to user ${SOMEBODY_ELSE}`);
  expect(error.hint).toContain('chown 0');
  chownSync(path, 0, 0);
  chownSync(folder, SOMEBODY_ELSE, SOMEBODY_ELSE);
  expect(fanoutErrorOf(() => readSecretFile(path)).message).toContain(`the folder ${folder} belongs to user`);
});
