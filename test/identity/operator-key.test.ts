import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { decodeEnvelope, signCommand, verifyEnvelope } from '../../src/identity/envelope.ts';
import { createOperatorKey, readKeyFile } from '../../src/identity/operator-key.ts';
import { parsePublicLine } from '../../src/identity/ssh-key.ts';
import { keyIn } from '../support/key-file.ts';
import { bodyOf, fanoutErrorOf, haveSshKeygen, scratchFolder, sshKeygen } from './fixtures.ts';

const hasSshKeygen = haveSshKeygen();

test('a new key signs commands that verify with its public line', () => {
  const path = join(scratchFolder(), 'new', 'folder', 'operator');
  const { publicLine } = createOperatorKey(path, 'alice@example.com');
  const key = keyIn(path);
  const { key: publicKey, comment } = parsePublicLine(publicLine);
  expect(key.publicKey).toEqual(publicKey);
  expect([key.name, comment]).toEqual(['alice@example.com', 'alice@example.com']);
  const envelope = decodeEnvelope(signCommand(bodyOf(publicKey), key.sign));
  expect(verifyEnvelope(envelope, publicKey)).toBe(true);
});

test('the secret is for its owner alone, the public line for everybody', () => {
  const path = join(scratchFolder(), 'keys', 'operator');
  const { publicLine } = createOperatorKey(path, 'alice');
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(statSync(join(path, '..')).mode & 0o777).toBe(0o700);
  expect(readFileSync(`${path}.pub`, 'utf8')).toBe(`${publicLine}\n`);
});

test('neither an existing key nor an existing public line is overwritten', () => {
  const path = join(scratchFolder(), 'operator');
  createOperatorKey(path, 'alice');
  const before = readFileSync(path, 'utf8');
  expect(fanoutErrorOf(() => createOperatorKey(path, 'bob')).code).toBe('KEY_INVALID');
  expect(readFileSync(path, 'utf8')).toBe(before);
  expect(readFileSync(`${path}.pub`, 'utf8')).toContain('alice');
  const lonely = join(scratchFolder(), 'operator');
  writeFileSync(lonely, 'something', { mode: 0o600 });
  expect(fanoutErrorOf(() => createOperatorKey(lonely, 'bob')).message).toContain('exists already');
  expect(existsSync(`${lonely}.pub`)).toBe(false);
});

test.each(['', 'two words', 'a\nb', 'x'.repeat(129), 'a\u001bb'])('the name %j is refused', (name) => {
  const path = join(scratchFolder(), 'operator');
  expect(fanoutErrorOf(() => createOperatorKey(path, name)).code).toBe('USAGE');
  expect(existsSync(path)).toBe(false);
});

test('every key file that cannot be used is refused by name, with what to do', () => {
  const folder = scratchFolder();
  const good = join(folder, 'good');
  createOperatorKey(good, 'alice');
  const make = (name: string, content: string | Uint8Array): string => {
    writeFileSync(join(folder, name), content, { mode: 0o600 });
    return join(folder, name);
  };
  const text = readFileSync(good, 'utf8');
  symlinkSync(good, join(folder, 'link'));
  mkdirSync(join(folder, 'folder'), { mode: 0o700 });
  chmodSync(make('open', text), 0o644);
  const cases: [path: string, message: string, hint: string][] = [
    [join(folder, 'open'), 'mode 0644', `chmod 600 ${join(folder, 'open')}`],
    [join(folder, 'link'), 'symbolic link', 'readlink -f'],
    [join(folder, 'folder'), 'is a folder', 'path of the file itself'],
    [make('cut', text.slice(0, 200)), 'damaged', 'fanout operator keygen'],
    [
      make('garbage', Uint8Array.of(0xff, 0xfe, 0, 1)),
      'not an OpenSSH private key',
      'fanout operator keygen',
    ],
    [make('public', readFileSync(`${good}.pub`)), 'public key where a private key belongs', '.pub'],
    [make('empty', ''), 'not an OpenSSH private key', 'fanout operator keygen'],
  ];
  for (const [path, message, hint] of cases) {
    const error = fanoutErrorOf(() => readKeyFile(path));
    expect(error.code).toBe('KEY_INVALID');
    expect(error.message).toContain(path);
    expect(error.message).toContain(message);
    expect(error.hint).toContain(hint);
  }
});

test.skipIf(!hasSshKeygen)(
  'keys of the real ssh-keygen: Ed25519 loads, with a passphrase it is for an agent, and RSA and ECDSA are refused',
  () => {
    const folder = scratchFolder();
    const make = (name: string, ...options: string[]): string => {
      expect(sshKeygen(['-q', '-C', 'bob', '-f', join(folder, name), ...options]).status).toBe(0);
      return join(folder, name);
    };
    expect(keyIn(make('plain', '-t', 'ed25519', '-N', '')).name).toBe('bob');
    expect(readKeyFile(make('locked', '-t', 'ed25519', '-N', 'a passphrase'))?.kind).toBe('locked');
    expect(readKeyFile(join(folder, 'missing'))).toBeUndefined();
    const cases: [path: string, message: string][] = [
      [make('rsa', '-t', 'rsa', '-b', '2048', '-N', ''), 'fanout takes ssh-ed25519 keys'],
      [make('pem', '-t', 'rsa', '-b', '2048', '-N', '', '-m', 'PEM'), 'fanout takes ssh-ed25519 keys'],
      [make('ecdsa', '-t', 'ecdsa', '-N', ''), 'fanout takes ssh-ed25519 keys'],
    ];
    for (const [path, message] of cases) {
      const error = fanoutErrorOf(() => readKeyFile(path));
      expect(error.message).toContain(message);
      expect(error.hint).toContain('fanout operator keygen');
    }
  },
);
