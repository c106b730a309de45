import { scryptSync } from 'node:crypto';
import nacl from 'tweetnacl';
import { expect, test } from 'vitest';
import { ed25519PublicKey } from '../../src/identity/ed25519.ts';
import {
  isSealedKey,
  parseSealedKey,
  passphraseProblem,
  sealPrivateKey,
} from '../../src/identity/sealed-key.ts';
import { parsePublicLine } from '../../src/identity/ssh-key.ts';
import { processorMs } from '../support/cost.ts';
import { fanoutErrorOf, seedOf } from './fixtures.ts';

const seed = seedOf('sealed');
const key = { seed, publicKey: ed25519PublicKey(seed), comment: 'Alice at home' };
const PASSPHRASE = 'correct horse battery';
/** One of each test run: a second and 128 MiB are spent for every one that is made or opened. */
const text = sealPrivateKey(key, PASSPHRASE);

function changed(from: string | RegExp, to: string): string {
  const result = text.replace(from, to);
  expect(result).not.toBe(text);
  return result;
}

/** The error of reading it, or of opening it with the right passphrase; undefined when that does not open it. */
function refusalOf(file: string): string | undefined {
  try {
    const sealed = parseSealedKey(file);
    if (sealed.open(PASSPHRASE) === undefined) return undefined;
  } catch (error) {
    return fanoutErrorOf(() => {
      throw error;
    }).message;
  }
  throw new Error('it was opened');
}

test('a sealed key opens with its passphrase and with no other', () => {
  expect(isSealedKey(text)).toBe(true);
  const sealed = parseSealedKey(text);
  expect([sealed.publicKey, sealed.comment]).toEqual([key.publicKey, key.comment]);
  expect(sealed.open(PASSPHRASE)).toEqual(key);
  for (const wrong of ['', 'Correct horse battery', `${PASSPHRASE} `])
    expect(sealed.open(wrong)).toBeUndefined();
});

test('the same letters typed in another way are the same passphrase', () => {
  const sealed = parseSealedKey(sealPrivateKey(key, 'Zu\u0308rich am See'));
  expect(sealed.open('Z\u00fcrich am See')).toEqual(key);
});

test('neither the seed nor the passphrase can be seen in the file, and no two files are alike', () => {
  const again = sealPrivateKey(key, PASSPHRASE);
  for (const file of [text, again]) {
    const bytes = Buffer.concat(
      file.split('\n').map((line) => Buffer.from(line.split(' ').at(-1) ?? '', 'base64')),
    );
    expect(bytes.includes(Buffer.from(seed))).toBe(false);
    expect(file).not.toContain('horse');
  }
  const lines = [text, again].map((file) => file.split('\n'));
  expect(lines[0]?.slice(0, 2)).toEqual(lines[1]?.slice(0, 2));
  expect(lines[0]?.[2]).not.toBe(lines[1]?.[2]);
  expect(lines[0]?.[5]).not.toBe(lines[1]?.[5]);
});

test('the format is what it says: anybody can open it with scrypt and secretbox', () => {
  const [begin, kdf = '', salt = '', publicLine = '', blank, ...rest] = text.trimEnd().split('\n');
  expect([begin, kdf, blank, rest.pop()]).toEqual([
    '-----BEGIN FANOUT SEALED KEY-----',
    'kdf: scrypt 131072 8 1',
    '',
    '-----END FANOUT SEALED KEY-----',
  ]);
  expect(parsePublicLine(publicLine.replace('public: ', ''))).toEqual({
    key: key.publicKey,
    comment: key.comment,
  });
  const box = Buffer.from(rest.join(''), 'base64');
  const derived = scryptSync(PASSPHRASE, Buffer.from(salt.slice(6), 'base64'), 32, {
    N: 131_072,
    r: 8,
    p: 1,
    maxmem: 2 ** 28,
  });
  const opened = nacl.secretbox.open(box.subarray(24), box.subarray(0, 24), derived);
  expect(Buffer.from(opened ?? []).subarray(32)).toEqual(Buffer.from(seed));
});

test.each([
  ['memory for N=2^30', 'scrypt 131072 8 1', 'scrypt 1073741824 8 1'],
  ['four times the memory', 'scrypt 131072 8 1', 'scrypt 524288 8 1'],
  ['cheap guessing', 'scrypt 131072 8 1', 'scrypt 1024 8 1'],
  ['guessing at half the price', 'scrypt 131072 8 1', 'scrypt 65536 8 1'],
  ['no power of two', 'scrypt 131072 8 1', 'scrypt 131073 8 1'],
  ['N of zero', 'scrypt 131072 8 1', 'scrypt 0 8 1'],
  ['a wide block', 'scrypt 131072 8 1', 'scrypt 131072 1024 1'],
  ['much work side by side', 'scrypt 131072 8 1', 'scrypt 131072 8 1000'],
  ['numbers without end', 'scrypt 131072 8 1', `scrypt ${'9'.repeat(4000)} 8 1`],
  ['a negative number', 'scrypt 131072 8 1', 'scrypt -131072 8 1'],
  ['another kdf', 'scrypt 131072 8 1', 'none 131072 8 1'],
])('parameters that ask for %s are refused before anything is derived', (_what, from, to) => {
  const before = process.memoryUsage.rss();
  const cost = processorMs(() => {
    const error = fanoutErrorOf(() => parseSealedKey(changed(from, to)));
    expect(error.code).toBe('KEY_INVALID');
    expect(error.message).toMatch(/scrypt/);
  });
  expect(cost).toBeLessThan(100);
  expect(process.memoryUsage.rss() - before).toBeLessThan(64 * 1024 * 1024);
});

test('twice the price is taken, and is another key', () => {
  expect(refusalOf(changed('scrypt 131072', 'scrypt 262144'))).toBeUndefined();
});

test('cut anywhere, it is never opened', () => {
  for (let length = 0; length < text.trimEnd().length; length++) {
    const cut = text.slice(0, length);
    if (!isSealedKey(cut)) continue;
    expect(fanoutErrorOf(() => parseSealedKey(cut)).code).toBe('KEY_INVALID');
  }
});

test('a secret part that is shorter, longer or not base64 is refused', () => {
  const body = /\n\n([\s\S]*)\n-----END/.exec(text)?.[1] ?? '';
  const bytes = Buffer.from(body, 'base64');
  const parts = [
    '',
    bytes.subarray(0, -1).toString('base64'),
    bytes.subarray(0, 24).toString('base64'),
    Buffer.concat([bytes, Buffer.of(0)]).toString('base64'),
    Buffer.alloc(48_000).toString('base64'),
    body.replace(/.$/, '*'),
    `${body}\0`,
  ];
  for (const part of parts) {
    expect(fanoutErrorOf(() => parseSealedKey(text.replace(body, () => part))).message).toContain('damaged');
  }
});

test('changed bytes of box, nonce and salt, and a changed name or key, do not open', () => {
  const body = /\n\n([\s\S]*)\n-----END/.exec(text)?.[1] ?? '';
  const bytes = Buffer.from(body, 'base64');
  for (const at of [0, 24, 40, bytes.length - 1]) {
    const flipped = Buffer.from(bytes);
    flipped[at] = (flipped[at] ?? 0) ^ 1;
    expect(refusalOf(text.replace(body, flipped.toString('base64')))).toBeUndefined();
  }
  const salt = /salt: (\S+)/.exec(text)?.[1] ?? '';
  expect(refusalOf(text.replace(salt, Buffer.alloc(32).toString('base64')))).toBeUndefined();
  expect(refusalOf(changed('Alice at home', 'mallory'))).toContain(
    'lines above its secret part were changed',
  );
  const other = Buffer.from(ed25519PublicKey(seedOf('mallory')));
  const line = /public: (ssh-ed25519 \S+)/.exec(text)?.[1] ?? '';
  const blob = Buffer.from(line.split(' ')[1] ?? '', 'base64');
  other.copy(blob, blob.length - 32);
  expect(refusalOf(text.replace(line, `ssh-ed25519 ${blob.toString('base64')}`))).toContain('were changed');
});

test.each([
  ['a NUL in the name', 'Alice at home', 'Alice\0'],
  ['an escape in the name', 'Alice at home', '\u001b[2JAlice'],
  [
    'a point of small order',
    /ssh-ed25519 \S+/,
    `ssh-ed25519 ${Buffer.concat([Buffer.from('0000000b7373682d6564323535313900000020', 'hex'), Buffer.alloc(32)]).toString('base64')}`,
  ],
  ['a line too many', 'salt:', 'hint: none\nsalt:'],
  ['no salt', /salt: \S+/, 'salt: '],
  ['a short salt', /salt: \S+/, 'salt: AAAA'],
])('%s is refused', (_what, from, to) => {
  expect(fanoutErrorOf(() => parseSealedKey(changed(from, to))).code).toBe('KEY_INVALID');
});

test('a new passphrase that is too short or endless will not do', () => {
  for (const short of ['', 'seven 7', '合言葉']) expect(passphraseProblem(short)).toContain('at least 8');
  expect(passphraseProblem('long'.repeat(400))).toContain('at most 1024 bytes');
});

test('eight characters, of whatever script, will do', () => {
  for (const fine of ['12345678', 'пароль12', '合言葉合言葉合言'])
    expect(passphraseProblem(fine)).toBeUndefined();
});
