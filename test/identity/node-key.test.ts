import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openBox } from '../../src/identity/box.ts';
import { verifyEd25519 } from '../../src/identity/ed25519.ts';
import { identityFingerprint, loadOrCreateNodeKey, nodeKeyOfSeed } from '../../src/identity/node-key.ts';
import { equalBytes, utf8 } from '../../src/lib/bytes.ts';
import { fanoutErrorOf, replyKeys, scratchFolder, seedOf } from './fixtures.ts';

test('a node has the same key at every start', () => {
  const folder = join(scratchFolder(), 'data', 'fanout');
  const first = loadOrCreateNodeKey(folder);
  const second = loadOrCreateNodeKey(folder);
  expect(second.identity).toEqual(first.identity);
  expect(second.fingerprint).toBe(first.fingerprint);
  expect(statSync(folder).mode & 0o777).toBe(0o700);
  expect(statSync(join(folder, 'node.key')).mode & 0o777).toBe(0o600);
  expect(loadOrCreateNodeKey(join(scratchFolder(), 'other')).identity).not.toEqual(first.identity);
});

test('both keys work, differ, and make up the identity', () => {
  const key = nodeKeyOfSeed(seedOf('node'));
  expect(key.identity).toEqual(Uint8Array.of(...key.signPublic, ...key.boxPublic));
  expect(equalBytes(key.signPublic, key.boxPublic)).toBe(false);
  expect(verifyEd25519(key.signPublic, utf8('message'), key.sign(utf8('message')))).toBe(true);
  const nonce = seedOf('nonce').subarray(0, 24);
  const box = key.box(utf8('for the asker'), nonce, replyKeys.publicKey);
  expect(openBox(box, nonce, key.boxPublic, replyKeys.secret)).toEqual(utf8('for the asker'));
  expect(openBox(box, nonce, nodeKeyOfSeed(seedOf('other')).boxPublic, replyKeys.secret)).toBeUndefined();
});

test('the derivation from the seed never changes, for others have pinned its result', () => {
  expect(nodeKeyOfSeed(new Uint8Array(32)).fingerprint).toBe(
    'SHA256:eu6SytIJh16rtxFu0ckKpx0yfJrM+he+4SufDgWEpYE',
  );
  expect(identityFingerprint(new Uint8Array(64))).toBe('SHA256:9aX9QtFqIDAnmO9u0wmXm0MAPSMg2fDo6pgxqSdZ+0s');
});

test('a damaged or open key file is refused and kept as it is', () => {
  const folder = scratchFolder();
  const path = join(folder, 'node.key');
  loadOrCreateNodeKey(folder);
  const text = readFileSync(path, 'utf8');
  for (const wrong of [
    '',
    'garbage\n',
    text.slice(0, -3),
    text.trimEnd(),
    text.replace('v1', 'v2'),
    `${text}x`,
  ]) {
    writeFileSync(path, wrong);
    const error = fanoutErrorOf(() => loadOrCreateNodeKey(folder));
    expect(error.code).toBe('KEY_INVALID');
    expect(error.message).toContain(`${path} is damaged`);
    expect(error.hint).toContain('Restore it from a copy');
    expect(readFileSync(path, 'utf8')).toBe(wrong);
  }
  writeFileSync(path, text);
  chmodSync(path, 0o640);
  expect(fanoutErrorOf(() => loadOrCreateNodeKey(folder)).hint).toBe(`Run: chmod 600 ${path}`);
});

test('a data folder that cannot be made is refused with what to do', () => {
  const file = join(scratchFolder(), 'file');
  writeFileSync(file, '');
  expect(fanoutErrorOf(() => loadOrCreateNodeKey(join(file, 'data'))).hint).toContain('data_dir');
});
