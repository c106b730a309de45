import {
  chmodSync,
  chownSync,
  copyFileSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { checkRealPaths, resolveProgram } from '../../src/runtime/resolve-program.ts';
import { testWhere } from '../support/applies.ts';
import { IS_ROOT } from './command-helper.ts';

/** A place whose parents nobody else can write: not /tmp. Undefined where the tester has no such place. */
const base = IS_ROOT ? '/opt' : realpathSync(homedir());
const isSafeHome = (() => {
  try {
    const probe = mkdtempSync(join(base, '.fanout-probe-'));
    chmodSync(probe, 0o755);
    copyFileSync('/bin/true', join(probe, 'true'));
    chmodSync(join(probe, 'true'), 0o755);
    const found = resolveProgram(join(probe, 'true'), undefined);
    rmSync(probe, { recursive: true });
    return 'path' in found;
  } catch {
    return false;
  }
})();
if (!isSafeHome)
  console.info(`tests of program files are skipped: ${base} cannot be written, or by others too`);
const folder = isSafeHome ? mkdtempSync(join(base, 'fanout-programs-')) : '/nonexistent';
if (isSafeHome) chmodSync(folder, 0o755);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function programFile(name: string, mode = 0o755, text = '#!/usr/bin/perl\n'): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

function reasonOf(program: string, pinned?: string): string {
  const found = resolveProgram(program, pinned);
  if ('path' in found) throw new Error(`${found.path} was accepted`);
  expect(found.hint).toMatch(/\w/);
  return found.reason;
}

test('a bare name is found in the system directories', () => {
  expect(resolveProgram('true', undefined)).toEqual({ path: '/usr/bin/true' });
});

test('the search path of the agent plays no part', () => {
  const before = process.env.PATH;
  process.env.PATH = '/nonexistent';
  try {
    expect(resolveProgram('ls', undefined)).toEqual({ path: '/usr/bin/ls' });
  } finally {
    process.env.PATH = before;
  }
});

test('a pinned path goes before the name', () => {
  expect(resolveProgram('anything', '/usr/bin/true')).toEqual({ path: '/usr/bin/true' });
});

test('a name that the system cannot even look for is missing, and no error', () => {
  for (const name of ['a'.repeat(300), 'a\0b']) expect(reasonOf(name)).toContain('no program "a');
});

test('a name that is missing, or is a path in disguise, is refused', () => {
  expect(reasonOf('no-such-program')).toContain('no program "no-such-program"');
  expect(reasonOf('/usr/bin/no-such-program')).toContain('does not exist');
  for (const name of ['', '.', '..', '../bin/ls', 'bin/ls', './ls']) {
    expect(reasonOf(name)).toContain('neither a plain program name nor an absolute path');
  }
  expect(reasonOf('ls', 'bin/ls')).toContain('neither');
});

test('a directory, a device and a file without a program in it are refused', () => {
  expect(reasonOf('/usr/bin')).toContain('is a directory');
  expect(reasonOf('/')).toContain('is a directory');
  expect(reasonOf('/dev/null')).toMatch(/not a regular file|writable by everybody/);
  expect(reasonOf('/etc/passwd')).toContain('not executable');
  expect(reasonOf('/etc/passwd/x')).toContain('is not a directory');
});

test('a setuid program is refused', () => {
  expect(reasonOf('su')).toContain('setuid');
});

test('a file in a directory that everybody can write is refused, even a sticky one', () => {
  const folder = mkdtempSync('/tmp/fanout-open-');
  try {
    copyFileSync('/bin/true', join(folder, 'true'));
    expect(reasonOf(join(folder, 'true'))).toContain('/tmp is writable by everybody');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

describe.skipIf(!isSafeHome)('of files in a safe directory', () => {
  test('a script and a binary are accepted, by the name they are called', () => {
    const script = programFile('script');
    expect(resolveProgram(script, undefined)).toEqual({ path: script });
    const called = join(folder, 'called');
    symlinkSync(script, called);
    expect(resolveProgram(called, undefined)).toEqual({ path: called });
  });

  test('a file that would be given to a shell is refused', () => {
    expect(reasonOf(programFile('no-format', 0o755, 'echo hello\n'))).toContain(
      'neither an ELF binary nor a script',
    );
    expect(reasonOf(programFile('empty', 0o755, ''))).toContain('neither an ELF binary nor a script');
  });

  test('a file that others can write, or nobody can execute, is refused', () => {
    expect(reasonOf(programFile('open', 0o757))).toContain('writable by everybody');
    expect(reasonOf(programFile('data', 0o644))).toContain('not executable');
    expect(reasonOf(programFile('setgid', 0o2755))).toContain('setuid or setgid');
  });

  test('a link out of the safe directory is followed, and every step is looked at', () => {
    const open = join(folder, 'open-directory');
    mkdirSync(open);
    chmodSync(open, 0o777);
    linkSync(programFile('inner'), join(open, 'inner'));
    symlinkSync(join(open, 'inner'), join(folder, 'through'));
    expect(reasonOf(join(folder, 'through'))).toContain('open-directory is writable by everybody');
    symlinkSync('open-directory/../inner', join(folder, 'around'));
    expect(reasonOf(join(folder, 'around'))).toContain('open-directory is writable by everybody');
    symlinkSync('loop', join(folder, 'loop'));
    expect(reasonOf(join(folder, 'loop'))).toContain('symbolic links');
    symlinkSync('nowhere', join(folder, 'dangling'));
    expect(reasonOf(join(folder, 'dangling'))).toContain('does not exist');
  });

  testWhere(IS_ROOT)('a file of another user, or of a group that can write it, is refused', () => {
    const foreign = programFile('foreign');
    chownSync(foreign, 1234, 0);
    expect(reasonOf(foreign)).toContain('belongs to uid 1234');
    const shared = programFile('shared', 0o775);
    chownSync(shared, 0, 50);
    expect(reasonOf(shared)).toContain('writable by group 50');
    const wheel = programFile('wheel', 0o775);
    expect(resolveProgram(wheel, undefined)).toEqual({ path: wheel });
  });
});

describe('real paths of arguments', () => {
  const folder = realpathSync(mkdtempSync('/tmp/fanout-paths-'));
  mkdirSync(join(folder, 'in'));
  mkdirSync(join(folder, 'out'));
  writeFileSync(join(folder, 'in/file'), '');
  writeFileSync(join(folder, 'out/secret'), '');
  symlinkSync('../out/secret', join(folder, 'in/escape'));
  symlinkSync('../out', join(folder, 'in/door'));
  symlinkSync('../out/later', join(folder, 'in/dangling'));
  symlinkSync('file', join(folder, 'in/alias'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const check = (path: string): string | undefined =>
    checkRealPaths([
      { path, accepts: (real) => real.startsWith(`${folder}/in/`), pattern: `path:${folder}/in/**` },
    ]);

  test('a file within the pattern is accepted, also through a link that stays within', () => {
    expect(check(join(folder, 'in/file'))).toBeUndefined();
    expect(check(join(folder, 'in/alias'))).toBeUndefined();
  });

  test('a file that does not exist is accepted where its directory is within', () => {
    expect(check(join(folder, 'in/new'))).toBeUndefined();
    expect(check(join(folder, 'in/door/new'))).toContain(`really ${folder}/out/new`);
  });

  test('a link that leads out is refused', () => {
    expect(check(join(folder, 'in/escape'))).toContain(`really ${folder}/out/secret`);
    expect(check(join(folder, 'in/door/secret'))).toContain('not within');
  });

  test('what cannot be resolved is refused', () => {
    expect(check(join(folder, 'in/dangling'))).toContain('cannot be resolved');
    expect(check(join(folder, 'in/missing/file'))).toContain('cannot be resolved');
    expect(check(join(folder, 'in/file/below'))).toContain('cannot be resolved');
    expect(check('in/file')).toContain('not an absolute path');
  });

  test('without checks there is no objection', () => {
    expect(checkRealPaths([])).toBeUndefined();
  });
});
