import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EMPTY, utf8 } from '../../src/lib/bytes.ts';
import { DecodeError } from '../../src/lib/errors.ts';
import { decodeValue, type Encodable, encodeRpc, type MsgpackValue } from '../../src/lib/msgpack.ts';
import { type FilteredEvent, parseEventFilter } from '../../src/rpc/event-filter.ts';
import {
  decodeEventRecord,
  decodePeers,
  decodePrograms,
  decodeQueryRecord,
  type EventRecord,
  encodeEventRecord,
  encodePeers,
  encodePrograms,
} from '../../src/rpc/views.ts';
import { vector } from '../fixtures/vectors.ts';

const sent = (body: Encodable): MsgpackValue => decodeValue(encodeRpc(body), 0).value;

/** The record of a captured message: the second value, behind the header. */
function recordOf(name: string): { record: MsgpackValue; bytes: Uint8Array } {
  const { bytes } = vector(name);
  const { end } = decodeValue(bytes, 0);
  return { record: decodeValue(bytes, end).value, bytes: bytes.subarray(end) };
}

describe('records of streams and queries', () => {
  test.each(['ipc_stream_member_event', 'ipc_stream_user_event'])('%s is read and written alike', (name) => {
    const { record, bytes } = recordOf(name);
    expect(encodeRpc(encodeEventRecord(decodeEventRecord(record)))).toEqual(bytes);
  });

  test('records of queries', () => {
    expect(decodeQueryRecord(recordOf('ipc_query_ack_record').record)).toEqual({
      kind: 'ack',
      from: 'node-a',
    });
    expect(decodeQueryRecord(recordOf('ipc_query_done_record').record)).toEqual({ kind: 'done' });
    const response = { From: 'web1', Payload: utf8('hi'), Type: 'response' };
    expect(decodeQueryRecord(sent(response))).toEqual({
      kind: 'response',
      from: 'web1',
      payload: utf8('hi'),
    });
    expect(() => decodeQueryRecord(sent({ Type: 'gift' }))).toThrow(DecodeError);
  });

  test.each<EventRecord>([
    { event: 'query', id: 7, ltime: 2 ** 40, name: 'load', payload: utf8('now') },
    { event: 'user', ltime: 0, name: '', payload: EMPTY, coalesce: false },
  ])('a streamed $event', (record) => {
    expect(decodeEventRecord(sent(encodeEventRecord(record)))).toEqual(record);
  });

  test.each<[string, Encodable]>([
    ['an event of another kind', { Event: 'vanished' }],
    ['members that are none', { Event: 'member-join', Members: 7 }],
    ['a Lamport time below zero', { Event: 'user', LTime: -1 }],
    ['an id that is no number', { Event: 'query', ID: 'one' }],
    ['a payload that is a number', { Event: 'user', Payload: 3 }],
    ['no map at all', [1, 2]],
  ])('%s is refused', (_what, body) => {
    expect(() => decodeEventRecord(sent(body))).toThrow(DecodeError);
  });

  test('any value gives a record or a DecodeError', () => {
    const anything = fc.oneof(
      fc.constant(null),
      fc.integer(),
      fc.string(),
      fc.uint8Array(),
      fc.array(fc.integer()),
    );
    const keys = fc.constantFrom(
      'Event',
      'Members',
      'LTime',
      'Name',
      'Type',
      'From',
      'Peers',
      'Programs',
      'ID',
    );
    const words = fc.constantFrom('user', 'query', 'member-join', 'ack', 'done', 'response');
    const body = fc.dictionary(keys, fc.oneof(anything, words), { noNullPrototype: true });
    fc.assert(
      fc.property(body, (body) => {
        for (const decode of [decodeEventRecord, decodeQueryRecord, decodePeers, decodePrograms]) {
          try {
            decode(sent(body as Encodable));
          } catch (error) {
            expect(error).toBeInstanceOf(DecodeError);
          }
        }
      }),
      { numRuns: 1000 },
    );
  });
});

test('peers and programs arrive as they were sent', () => {
  const peers = [
    { name: 'web1', rttMs: 0.412, isSuspect: false },
    { name: 'web2', rttMs: undefined, isSuspect: true },
  ];
  expect(decodePeers(sent(encodePeers(peers)))).toEqual(peers);
  const programs = [{ program: 'ps', readOnly: true, rule: 'look' }];
  expect(decodePrograms(sent(encodePrograms(programs)))).toEqual(programs);
});

describe('a filter of events', () => {
  const events: FilteredEvent[] = [
    { event: 'member-join', name: '' },
    { event: 'member-failed', name: '' },
    { event: 'user', name: 'deploy' },
    { event: 'user', name: 'ping' },
    { event: 'query', name: 'deploy' },
    { event: 'query', name: 'load' },
  ];
  const passed = (text: string): string[] | undefined => {
    const passes = parseEventFilter(text);
    return (
      passes && events.filter(passes).map(({ event, name }) => (name === '' ? event : `${event}:${name}`))
    );
  };

  test.each<[string, string[]]>([
    ['', ['member-join', 'member-failed', 'user:deploy', 'user:ping', 'query:deploy', 'query:load']],
    ['*', ['member-join', 'member-failed', 'user:deploy', 'user:ping', 'query:deploy', 'query:load']],
    ['member-join', ['member-join']],
    ['user', ['user:deploy', 'user:ping']],
    ['user:deploy', ['user:deploy']],
    ['user:deploy,query:load,member-failed', ['member-failed', 'user:deploy', 'query:load']],
    ['user:', []],
    ['user:*', []],
  ])('"%s"', (text, expected) => {
    expect(passed(text)).toEqual(expected);
  });

  test.each(['member', 'member-join, user', 'User', ',', 'user,', '__proto__', 'member-join:web1'])(
    '"%s" is none',
    (text) => {
      expect(parseEventFilter(text)).toBeUndefined();
    },
  );
});
