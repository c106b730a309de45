import { describe, expect, test } from 'vitest';
import { AssertionError } from '../../src/lib/assert.ts';
import { FanoutError } from '../../src/lib/errors.ts';
import { Keyring, parseClusterKey } from '../../src/memberlist/keyring.ts';
import { vectorsOf } from '../fixtures/vectors.ts';

const A = new Uint8Array(16).fill(1);
const B = new Uint8Array(24).fill(2);
const C = new Uint8Array(32).fill(3);

function errorOf(run: () => unknown): FanoutError {
  try {
    run();
  } catch (error) {
    if (error instanceof FanoutError) return error;
    throw error;
  }
  throw new Error('an error was expected');
}

describe('a keyring', () => {
  test('seals with its first key, and counts repeated keys once', () => {
    const ring = new Keyring([A, B, A]);
    expect(ring.primary).toEqual(A);
    expect(ring.keys).toEqual([A, B]);
  });

  test('takes new keys at its end, and known ones not twice', () => {
    const ring = new Keyring([A]);
    ring.install(B);
    ring.install(A);
    expect(ring.keys).toEqual([A, B]);
  });

  test('puts the key that is used in front', () => {
    const ring = new Keyring([A, B, C]);
    ring.use(C);
    expect(ring.keys).toEqual([C, A, B]);
  });

  test('forgets keys, but not the primary; an unknown key is forgotten already', () => {
    const ring = new Keyring([A, B]);
    ring.remove(C);
    ring.remove(B);
    expect(ring.keys).toEqual([A]);
    expect(errorOf(() => ring.remove(A)).message).toBe('Removing the primary key is not allowed');
    expect(errorOf(() => ring.use(B)).message).toBe('Requested key is not in the keyring');
    expect(ring.keys).toEqual([A]);
  });

  test('does not change when the bytes it was given do', () => {
    const key = new Uint8Array(16);
    const ring = new Keyring([key]);
    key.fill(9);
    expect(ring.primary).toEqual(new Uint8Array(16));
  });

  test('has at least one key, and only keys that AES can use', () => {
    expect(() => new Keyring([])).toThrow(AssertionError);
    const error = errorOf(() => new Keyring([new Uint8Array(17)]));
    expect([error.code, error.message]).toEqual([
      'KEY_INVALID',
      'the encryption key has 17 bytes; it must have 16, 24 or 32',
    ]);
  });
});

describe('a key as text', () => {
  test.each(vectorsOf('udp_encrypted_key_'))('is read for $name', ({ key }) => {
    expect(parseClusterKey(Buffer.from(key!).toString('base64'))).toEqual(key);
  });

  test('may have line ends, and unused bits of any value, as real Serf allows', () => {
    const key = Uint8Array.from(Buffer.from('0123456789abcdef'));
    expect(parseClusterKey('MDEyMzQ1Njc4OWFiY2RlZg==')).toEqual(key);
    expect(parseClusterKey('MDEyMzQ1Njc4\r\nOWFiY2RlZg==\n')).toEqual(key);
    expect(parseClusterKey('MDEyMzQ1Njc4OWFiY2RlZh==')).toEqual(key);
  });

  test.each([
    ['nothing', ''],
    ['no padding', 'MDEyMzQ1Njc4OWFiY2RlZg'],
    ['half the padding', 'MDEyMzQ1Njc4OWFiY2RlZg='],
    ['blanks', 'MDEyMzQ1Njc4 OWFiY2RlZg=='],
    ['the URL alphabet', 'MDEyMzQ1Njc4OWFiY2Rl_-=='],
    ['text after the padding', 'MDEyMzQ1Njc4OWFiY2RlZg==MDEy'],
    ['fifteen bytes', 'MDEyMzQ1Njc4OWFiY2Rl'],
  ])('is refused with %s', (_what, text) => {
    const error = errorOf(() => parseClusterKey(text));
    expect(error.code).toBe('KEY_INVALID');
    expect(error.hint).toBe('Make a key with: fanout keygen');
    // A key that is nearly right must not end up in a log.
    if (text !== '') expect(error.message).not.toContain(text);
  });
});
