import { describe, expect, test } from 'vitest';
import { EMPTY, utf8 } from '../../src/lib/bytes.ts';
import { Keyring } from '../../src/memberlist/keyring.ts';
import {
  answerKeyQuery,
  KEY_OPERATIONS,
  type KeyChange,
  type KeyGuard,
  KeyTally,
  keyChangeArgv,
  keyFailure,
  keyOperationOf,
  keyQueryName,
  keyQueryPayload,
  OPEN_KEYS,
} from '../../src/serf/key-queries.ts';
import {
  decodeSerfMessage,
  encodeKeyResponse,
  encodeQuery,
  encodeUserEvent,
  type KeyResponse,
} from '../../src/serf/messages.ts';
import { vector } from '../fixtures/vectors.ts';
import { queryOf, Solo } from './harness.ts';

const keyOf = (byte: number, length = 32): Uint8Array => new Uint8Array(length).fill(byte);
const base64 = (key: Uint8Array): string => Buffer.from(key).toString('base64');

function answer(
  operation: (typeof KEY_OPERATIONS)[number],
  key: Uint8Array,
  options: { keyring?: Keyring; guard?: KeyGuard; fits?: (payload: Uint8Array) => boolean } = {},
): KeyResponse {
  const payload = keyQueryPayload(key, null);
  const { keyring, guard = OPEN_KEYS, fits = () => true } = options;
  return read(answerKeyQuery({ operation, payload, from: '' }, keyring, guard, fits));
}

function read(payload: Uint8Array): KeyResponse {
  const message = decodeSerfMessage(payload);
  if (message.kind !== 'keyResponse') throw new Error('no key response');
  const { result, message: text, keys, primaryKey } = message;
  return { result, message: text, keys, primaryKey };
}

const ok = { result: true, message: '', keys: [], primaryKey: '' };
const failed = (message: string): KeyResponse => ({ result: false, message, keys: [], primaryKey: '' });

describe('the answer to a key query', () => {
  test('names are Serf’s, there and back', () => {
    for (const operation of KEY_OPERATIONS) {
      expect(keyOperationOf(keyQueryName(operation))).toBe(operation);
    }
    expect(keyQueryName('list')).toBe('_serf_list-keys');
    expect(keyQueryName('use')).toBe('_serf_use-key');
    expect(keyOperationOf('_serf_ping')).toBeUndefined();
    expect(keyOperationOf('_serf_list-key')).toBeUndefined();
  });

  test('a ring goes from one key to another in three steps', () => {
    const [old, next] = [keyOf(1), keyOf(2, 16)];
    const keyring = new Keyring([old]);
    expect(answer('install', next, { keyring })).toEqual(ok);
    expect(answer('install', next, { keyring })).toEqual(ok);
    expect(keyring.keys).toEqual([old, next]);
    expect(answer('use', next, { keyring })).toEqual(ok);
    expect(keyring.primary).toEqual(next);
    expect(answer('remove', old, { keyring })).toEqual(ok);
    expect(keyring.keys).toEqual([next]);
    expect(answer('list', EMPTY, { keyring })).toEqual({
      result: true,
      message: '',
      keys: [base64(next)],
      primaryKey: base64(next),
    });
  });

  test('what cannot be done is said in Serf’s words, and nothing changes', () => {
    const keyring = new Keyring([keyOf(1)]);
    expect(answer('use', keyOf(2), { keyring })).toEqual(failed('Requested key is not in the keyring'));
    expect(answer('remove', keyOf(1), { keyring })).toEqual(
      failed('Removing the primary key is not allowed'),
    );
    expect(answer('remove', keyOf(9), { keyring })).toEqual(ok);
    expect(answer('install', keyOf(3, 5), { keyring }).result).toBe(false);
    expect(keyring.keys).toEqual([keyOf(1)]);
    expect(answer('install', keyOf(2))).toEqual(failed('No keyring to modify (encryption not enabled)'));
    expect(answer('list', EMPTY)).toEqual(failed('Keyring is empty (encryption not enabled)'));
  });

  test('a guard refuses before anything changes, and hears of each change that was made', () => {
    const keyring = new Keyring([keyOf(1)]);
    const asked: KeyChange[] = [];
    let kept = 0;
    let refusal: string | undefined = 'not without a signature';
    const guard: KeyGuard = {
      permit: (change) => {
        asked.push(change);
        return refusal;
      },
      changed: () => {
        kept++;
        return undefined;
      },
    };
    expect(answer('install', keyOf(2), { keyring, guard })).toEqual(failed('not without a signature'));
    expect([keyring.keys.length, kept]).toEqual([1, 0]);
    expect(asked).toEqual([{ operation: 'install', key: keyOf(2), approval: null, from: '' }]);
    refusal = undefined;
    expect(answer('install', keyOf(2), { keyring, guard })).toEqual(ok);
    expect(kept).toBe(1);
    expect(answer('use', keyOf(7), { keyring, guard }).result).toBe(false);
    expect(kept).toBe(1);
    // A list shows nothing that whoever reads it could not read anyway.
    expect(answer('list', EMPTY, { keyring, guard }).keys.length).toBe(2);
    expect(asked.length).toBe(3);
  });

  test('a ring that could not be kept is a failure', () => {
    const guard = { permit: () => undefined, changed: () => 'the disk is full' };
    expect(answer('install', keyOf(2), { keyring: new Keyring([keyOf(1)]), guard })).toEqual(
      failed('the disk is full'),
    );
  });

  test('nobody fills the ring', () => {
    const keyring = new Keyring([keyOf(0)]);
    let refused = 0;
    for (let i = 1; i <= 100; i++) if (!answer('install', keyOf(i), { keyring }).result) refused++;
    expect([keyring.keys.length, refused]).toEqual([64, 37]);
  });

  test.each([
    ['nothing', null],
    ['no bytes', EMPTY],
    ['another message', encodeUserEvent({ ltime: 1, name: 'x', payload: null, cc: false })],
    ['half of one', keyQueryPayload(keyOf(2), null).subarray(0, 9)],
    ['a number for a key', Uint8Array.of(7, 0x81, 0xa3, 0x4b, 0x65, 0x79, 0x05)],
  ])('%s for a request fails and changes nothing', (_what, payload) => {
    const keyring = new Keyring([keyOf(1)]);
    const response = answerKeyQuery(
      { operation: 'install', payload, from: '' },
      keyring,
      OPEN_KEYS,
      () => true,
    );
    expect(read(response).result).toBe(false);
    expect(keyring.keys).toEqual([keyOf(1)]);
  });

  test('a list that does not fit loses keys from its end and says so', () => {
    const keys = Array.from({ length: 40 }, (_, i) => keyOf(i));
    const keyring = new Keyring(keys);
    const response = answer('list', EMPTY, { keyring, fits: (payload) => payload.length <= 900 });
    expect(response.result).toBe(true);
    expect(response.keys).toEqual(keys.slice(0, response.keys.length).map(base64));
    expect(response.message).toBe(
      `truncated key list response, showing first ${response.keys.length} of 40 keys`,
    );
    expect(response.keys.length).toBeGreaterThan(10);
    expect(answer('list', EMPTY, { keyring, fits: () => false }).result).toBe(false);
  });

  test('what Serf sends is understood, and what we send without a signature is the same', () => {
    const { bytes } = vector('serf_key_request');
    const request = decodeSerfMessage(bytes);
    if (request.kind !== 'keyRequest') throw new Error(request.kind);
    expect(keyQueryPayload(request.key, request.approval)).toEqual(bytes);
    expect(request.approval).toBeNull();
  });

  test('what is signed names the key without showing it', () => {
    const [program, operation, fingerprint = ''] = keyChangeArgv('use', keyOf(1));
    expect([program, operation]).toEqual(['fanout-keys', 'use']);
    expect(fingerprint).toMatch(/^[0-9a-f]{64}$/);
    expect(keyChangeArgv('use', keyOf(2))[2]).not.toBe(fingerprint);
  });
});

describe('a member', () => {
  test('answers a list from its own ring, within 1024 bytes, and hands none of it on', () => {
    const keyring = new Keyring(Array.from({ length: 40 }, (_, i) => keyOf(i)));
    const solo = new Solo(2, { keyring });
    solo.hear(encodeQuery(queryOf({ name: '_serf_list-keys', payload: keyQueryPayload(EMPTY, null) })));
    expect(solo.events().filter(({ kind }) => kind !== 'internal-query')).toEqual([]);
    const [sent] = solo.sent().filter(({ message }) => message.kind === 'queryResponse');
    if (sent?.message.kind !== 'queryResponse') throw new Error('no answer');
    const response = read(sent.message.payload ?? EMPTY);
    expect(response.result).toBe(true);
    expect(response.message).toMatch(/^truncated key list response, showing first \d+ of 40 keys$/);
  });

  test('changes its ring once, however often the query comes', () => {
    let changes = 0;
    const keyGuard = {
      permit: () => undefined,
      changed: () => {
        changes++;
        return undefined;
      },
    };
    const keyring = new Keyring([keyOf(1)]);
    const solo = new Solo(2, { keyring, keyGuard });
    for (let i = 0; i < 3; i++) {
      solo.hear(
        encodeQuery(queryOf({ name: '_serf_install-key', payload: keyQueryPayload(keyOf(2), null) })),
      );
    }
    expect([keyring.keys.length, changes]).toEqual([2, 1]);
  });
});

describe('what the members said', () => {
  const said = (more: Partial<KeyResponse>): Uint8Array => encodeKeyResponse({ ...ok, ...more });

  test('is counted once for each member that was asked', () => {
    const tally = new KeyTally(['a', 'b', 'c']);
    tally.add('a', said({ keys: ['k1', 'k2', 'k1'], primaryKey: 'k1' }));
    tally.add('a', said({ keys: ['k3'] }));
    tally.add('stranger', said({ keys: ['k4'] }));
    tally.add('b', said({ keys: ['k1'], message: 'truncated' }));
    expect(tally.isComplete).toBe(false);
    const outcome = tally.outcome();
    expect(outcome).toEqual({
      nodes: 3,
      responses: 2,
      errors: 0,
      messages: new Map([['b', 'truncated']]),
      keys: new Map([
        ['k1', 2],
        ['k2', 1],
      ]),
      primaryKeys: new Map([['k1', 1]]),
      silent: ['c'],
    });
    expect(keyFailure(outcome)).toBe('2/3 nodes reported success');
    tally.add('c', said({}));
    expect(tally.isComplete).toBe(true);
    expect(keyFailure(tally.outcome())).toBe('');
  });

  test.each([
    ['a refusal', said({ result: false, message: 'no' }), 'no'],
    ['nothing', null, 'Failed to decode key query response: a Serf message without a type byte'],
    [
      'another message',
      encodeUserEvent({ ltime: 1, name: 'x', payload: null, cc: false }),
      'Invalid key query response type',
    ],
    ['noise', utf8('\x08garbage'), expect.stringContaining('Failed to decode')],
  ])('%s is a failure of its member', (_what, payload, message) => {
    const tally = new KeyTally(['a', 'b']);
    tally.add('a', payload);
    tally.add('b', said({}));
    expect(tally.outcome().messages.get('a')).toEqual(message);
    expect(keyFailure(tally.outcome())).toBe('1/2 nodes reported failure');
  });
});
