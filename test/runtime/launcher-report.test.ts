import fc from 'fast-check';
import { expect, test } from 'vitest';
import { utf8 } from '../../src/lib/bytes.ts';
import type { CommandSpec } from '../../src/runtime/command-spec.ts';
import { HeldText, launchFailure, sandboxHint } from '../../src/runtime/launcher-report.ts';

const spec: CommandSpec = {
  path: '/usr/bin/df',
  argv: ['df'],
  sandbox: 'standard',
  network: 'none',
  user: undefined,
  timeoutMs: 1000,
  outputBytesMax: 1000,
};
const EXECUTED = '{ "child-pid": 7 }\n{ "exit-code": 1 }\n';
const exit = { code: 1, text: '', stdoutBytes: 0, status: EXECUTED };

test('a sandbox without an exit-code line has failed, with its own words', () => {
  const text = 'bwrap: No permissions to create new namespace\n';
  const failure = launchFailure(spec, { ...exit, text, status: '{ "child-pid": 7 }\n' });
  expect(failure?.reason).toBe(
    'sandbox "standard" could not be made: bwrap: No permissions to create new namespace',
  );
  expect(failure?.hint).toContain('unprivileged_userns_clone');
  expect(launchFailure(spec, { ...exit, status: '' })?.reason).toContain('exit code 1');
});

test('a sandbox that ended by a signal is not called failed', () => {
  expect(launchFailure(spec, { ...exit, code: null, status: '' })).toBeUndefined();
});

test('a program that ran and said nothing, or something else, has not failed', () => {
  expect(launchFailure(spec, exit)).toBeUndefined();
  expect(launchFailure(spec, { ...exit, text: 'bwrap: my own words\n' })).toBeUndefined();
});

test.each([
  ['prlimit: failed to execute /usr/bin/df: Permission denied\n', 126],
  ['prlimit: failed to execute /usr/bin/df: No such file or directory\n', 127],
  ['/usr/bin/timeout: failed to run command ‘/usr/bin/df’: No such file or directory\n', 127],
  ['/usr/bin/timeout: fork system call failed: Resource temporarily unavailable\n', 125],
  ['setpriv: setgroups failed: Operation not permitted\n', 1],
  ['unshare: unshare failed: Operation not permitted\n', 1],
])('a launcher that could not do its part is told apart: %s', (text, code) => {
  const failure = launchFailure(
    { ...spec, sandbox: 'none' },
    { code, text, stdoutBytes: 0, status: undefined },
  );
  expect(failure?.reason).toContain(text.trim());
  expect(failure?.hint).toContain('namei');
  // The same words after the program has printed something, with another code, or with more lines, are its own.
  for (const change of [{ stdoutBytes: 1 }, { code: 2 }, { text: `${text}more\n` }, { text: text.trim() }]) {
    expect(
      launchFailure(
        { ...spec, sandbox: 'none' },
        { code, text, stdoutBytes: 0, status: undefined, ...change },
      ),
    ).toBeUndefined();
  }
});

test('a launcher that is the program itself speaks for itself', () => {
  const text = 'unshare: unshare failed: Operation not permitted\n';
  expect(launchFailure({ ...spec, path: '/usr/bin/unshare' }, { ...exit, text })).toBeUndefined();
});

test('stderr is held back while it could be a launcher, and comes out whole in any case', () => {
  const beginnings = fc.constantFrom(
    '',
    'bwrap: ',
    'prlimit: failed',
    '/usr/bin/timeout: ',
    'bw',
    'other: ',
    '/usr/bin/ls: ',
  );
  const chunks = fc.array(fc.string({ maxLength: 2000 }), { maxLength: 8 });
  fc.assert(
    fc.property(beginnings, chunks, (beginning, rest) => {
      const held = new HeldText();
      const parts = [beginning, ...rest].map(utf8);
      const out = [...parts.map((part) => held.push(part)), held.release()];
      expect(Buffer.concat(out).equals(Buffer.concat(parts))).toBe(true);
    }),
  );
});

test('only what begins like a launcher is held back, and not for long', () => {
  const plain = new HeldText();
  expect(plain.push(utf8('ls: no such file')).length).toBe(16);
  const launcher = new HeldText();
  expect(launcher.push(utf8('bw')).length).toBe(0);
  expect(launcher.push(utf8('rap: ')).length).toBe(0);
  expect(launcher.text).toBe('bwrap: ');
  expect(launcher.push(new Uint8Array(5000)).length).toBe(5007);
  expect(launcher.push(utf8('x')).length).toBe(1);
});

test('each complaint of bwrap has a way out', () => {
  expect(sandboxHint('bwrap: Unknown option --disable-userns')).toContain('0.8');
  expect(sandboxHint('bwrap: Creating new namespace failed: No space left on device')).toContain(
    'max_user_namespaces',
  );
  expect(sandboxHint('bwrap: setting up uid map: Permission denied')).toContain('apparmor');
  expect(sandboxHint('bwrap: something new')).toMatch(/\w/);
});
