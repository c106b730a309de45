import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ed25519PublicKey } from '../../src/identity/ed25519.ts';
import {
  fingerprint,
  formatPrivateKey,
  formatPublicLine,
  keyId,
  parsePrivateKey,
  parsePublicLine,
  publicBlob,
} from '../../src/identity/ssh-key.ts';
import { toHex } from '../../src/lib/bytes.ts';
import { FanoutError } from '../../src/lib/errors.ts';
import { fanoutErrorOf, haveSshKeygen, scratchFolder, seedOf, sshKeygen } from './fixtures.ts';

const hasSshKeygen = haveSshKeygen();

const seed = seedOf('operator');
const publicKey = ed25519PublicKey(seed);
const line = formatPublicLine(publicKey, 'alice@example.com');

function blobLine(blob: Uint8Array): string {
  return `ssh-ed25519 ${Buffer.from(blob).toString('base64')} mallory`;
}

test('a public line is read back as it was written', () => {
  expect(line).toMatch(/^ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI\S+ alice@example\.com$/);
  expect(parsePublicLine(`  ${line}\r\n`)).toEqual({ key: publicKey, comment: 'alice@example.com' });
  expect(parsePublicLine(formatPublicLine(publicKey, ''))).toEqual({ key: publicKey, comment: '' });
  expect(parsePublicLine(formatPublicLine(publicKey, 'Alice at home')).comment).toBe('Alice at home');
});

test('the key id is the front of the SHA-256 of the raw key', () => {
  expect(keyId(new Uint8Array(32))).toEqual(
    Uint8Array.from([0x66, 0x68, 0x7a, 0xad, 0xf8, 0x62, 0xbd, 0x77]),
  );
});

test.each([
  ['an RSA key', 'ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAB bob', 'type ssh-rsa; fanout takes ssh-ed25519 keys'],
  [
    'another hardware key',
    'sk-ecdsa-sha2-nistp256@openssh.com AAAA bob',
    'type sk-ecdsa-sha2-nistp256@openssh.com',
  ],
  ['a cut hardware key', 'sk-ssh-ed25519@openssh.com AAAA bob', 'incomplete'],
  ['options in front', 'no-pty ssh-ed25519 AAAA bob', 'type no-pty'],
  ['a terminal escape as type', '\u001b[2J AAAA', 'another kind'],
  ['nothing', '', 'not a public key line'],
  ['one word', 'ssh-ed25519', 'not a public key line'],
  ['two lines', `${line}\n${line}`, 'not a public key line'],
  ['a cut key', line.slice(0, 40), 'incomplete'],
  ['a key cut inside base64', line.slice(0, 41), 'not base64'],
  ['garbage for base64', 'ssh-ed25519 AAAA*AAA bob', 'not base64'],
  ['base64url', line.replace(/.{4} alice/, '-_-_ alice'), 'not base64'],
  ['a private key', '-----BEGIN OPENSSH PRIVATE KEY-----', 'private key where a public key belongs'],
  ['bytes behind the key', blobLine(Buffer.concat([publicBlob(publicKey), Buffer.of(0)])), '1 behind it'],
  ['a short key', blobLine(publicBlob(publicKey.subarray(1))), '31 bytes'],
  ['a comment with an escape', `${line}\u001b[31m`, 'control character'],
  ['an endless comment', `${line}${'x'.repeat(300)}`, 'at most 256'],
])('%s is refused with what to do', (_name, text, message) => {
  const error = fanoutErrorOf(() => parsePublicLine(text));
  expect(error.code).toBe('KEY_INVALID');
  expect(error.message).toContain(message);
  expect(error.message).not.toContain('\u001b');
  expect(error.hint).toBeTruthy();
});

test('a blob of another type behind the right word is refused', () => {
  const blob = Uint8Array.from(publicBlob(publicKey));
  blob[4] = 0x74;
  expect(fanoutErrorOf(() => parsePublicLine(blobLine(blob))).message).toContain(
    'fanout takes ssh-ed25519 keys',
  );
});

test('a point of small order is refused as a public key', () => {
  const neutral = new Uint8Array(32);
  neutral[0] = 1;
  for (const point of [neutral, new Uint8Array(32)]) {
    expect(fanoutErrorOf(() => parsePublicLine(blobLine(publicBlob(point)))).message).toContain(
      'small order',
    );
  }
});

test('any text gives a key or a FanoutError, never another error', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.string().map((end) => line + end),
      ),
      (text) => {
        try {
          expect(parsePublicLine(text).key).toHaveLength(32);
        } catch (error) {
          expect(error).toBeInstanceOf(FanoutError);
        }
      },
    ),
  );
});

test('a private key file is read back as it was written', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      fc.stringMatching(/^[a-z@. ]{0,40}$/),
      (secret, comment) => {
        const key = parsePrivateKey(formatPrivateKey(secret, comment));
        expect(key).toEqual({ seed: secret, publicKey: ed25519PublicKey(secret), comment });
      },
    ),
    { numRuns: 30 },
  );
});

test.each([
  ['a public line', line, 'public key where a private key belongs'],
  ['PEM of RSA', '-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----', 'RSA PRIVATE KEY'],
  ['PKCS#8', '-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----', 'PEM "PRIVATE KEY"'],
  ['encrypted PKCS#8', '-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIG\n', 'passphrase'],
  ['garbage', 'hello\u0000world', 'not an OpenSSH private key file'],
  ['nothing', '', 'not an OpenSSH private key file'],
])('%s is refused as a private key, with what to do', (_name, text, message) => {
  const error = fanoutErrorOf(() => parsePrivateKey(text));
  expect(error.code).toBe('KEY_INVALID');
  expect(error.message).toContain(message);
  expect(error.hint).toMatch(/fanout operator keygen|\.pub/);
});

test('a private key file that was cut anywhere is refused', () => {
  const text = formatPrivateKey(seed, 'alice');
  for (let length = 0; length < text.length - 1; length++) {
    expect(fanoutErrorOf(() => parsePrivateKey(text.slice(0, length))).code).toBe('KEY_INVALID');
  }
});

test('a private key file with bytes behind the key is refused', () => {
  const [head, ...rest] = formatPrivateKey(seed, 'alice').trimEnd().split('\n');
  const bytes = Buffer.concat([Buffer.from(rest.slice(0, -1).join(''), 'base64'), Buffer.of(0)]);
  const file = [head, bytes.toString('base64'), rest.at(-1)].join('\n');
  expect(fanoutErrorOf(() => parsePrivateKey(file)).message).toContain('bytes behind the key');
});

test('a private key file with any changed byte is refused, or is the same key under another comment', () => {
  const text = formatPrivateKey(seed, 'alice');
  const bytes = Buffer.from(text.split('\n').slice(1, -2).join(''), 'base64');
  for (let offset = 0; offset < bytes.length; offset++) {
    const changed = Buffer.from(bytes);
    changed[offset]! ^= 1;
    const file = `-----BEGIN OPENSSH PRIVATE KEY-----\n${changed.toString('base64')}\n-----END OPENSSH PRIVATE KEY-----\n`;
    try {
      const key = parsePrivateKey(file);
      expect(key.publicKey).toEqual(publicKey);
      expect(key.comment).not.toBe('alice');
      expect(offset).toBeGreaterThan(bytes.indexOf('alice') - 1);
    } catch (error) {
      expect(error).toBeInstanceOf(FanoutError);
    }
  }
});

test.skipIf(!hasSshKeygen)(
  'the real ssh-keygen reads our private key and prints the same line and fingerprint',
  () => {
    const path = join(scratchFolder(), 'key');
    for (const comment of ['a', 'alice@example.com', 'x'.repeat(30)]) {
      writeFileSync(path, formatPrivateKey(seed, comment), { mode: 0o600 });
      expect(sshKeygen(['-y', '-f', path]).stdout.trim()).toBe(formatPublicLine(publicKey, comment));
      expect(sshKeygen(['-l', '-f', path]).stdout).toContain(
        `${fingerprint(publicKey)} ${comment} (ED25519)`,
      );
    }
    writeFileSync(`${path}2.pub`, `${line}\n`);
    expect(sshKeygen(['-l', '-f', `${path}2.pub`]).stdout).toContain(fingerprint(publicKey));
  },
);

test.skipIf(!hasSshKeygen)('a key of the real ssh-keygen is read; encrypted and RSA ones are refused', () => {
  const folder = scratchFolder();
  const make = (name: string, ...options: string[]): string => {
    const path = join(folder, name);
    expect(sshKeygen(['-q', '-C', 'bob', '-f', path, ...options]).status).toBe(0);
    return readFileSync(path, 'utf8');
  };
  const key = parsePrivateKey(make('plain', '-t', 'ed25519', '-N', ''));
  const listed = parsePublicLine(readFileSync(join(folder, 'plain.pub'), 'utf8'));
  expect({ key: key.publicKey, comment: key.comment }).toEqual(listed);
  expect(toHex(ed25519PublicKey(key.seed))).toBe(toHex(listed.key));
  const encrypted = make('encrypted', '-t', 'ed25519', '-N', 'a passphrase');
  expect(fanoutErrorOf(() => parsePrivateKey(encrypted)).message).toContain('passphrase');
  const rsa = make('rsa', '-t', 'rsa', '-b', '2048', '-N', '');
  expect(fanoutErrorOf(() => parsePrivateKey(rsa)).message).toContain(
    'type ssh-rsa; fanout takes ssh-ed25519',
  );
});
