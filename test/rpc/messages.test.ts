import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { concatBytes, toHex, utf8, utf8Text } from '../../src/lib/bytes.ts';
import { DecodeError } from '../../src/lib/errors.ts';
import { type Encodable, encodeRpc, Fields, type MsgpackValue } from '../../src/lib/msgpack.ts';
import { ValueReader } from '../../src/rpc/framing.ts';
import { decodeMembers, encodeMember } from '../../src/rpc/members.ts';
import {
  decodeInfo,
  decodeRunRecord,
  decodeStats,
  encodeInfo,
  encodeRunRecord,
} from '../../src/rpc/replies.ts';
import { decodeRequest, hasBody, isCommand, type Request, requestBody } from '../../src/rpc/requests.ts';
import { type Vector, vectorsOf } from '../fixtures/vectors.ts';

const VECTORS = vectorsOf('rpc_', 'ipc_');

function valuesOf(bytes: Uint8Array): MsgpackValue[] {
  const reader = new ValueReader(1024 * 1024);
  reader.push(bytes);
  const values: MsgpackValue[] = [];
  for (let value = reader.next(); value !== undefined; value = reader.next()) values.push(value);
  expect(reader.takeRest().length).toBe(0);
  return values;
}

/** A decoded value as the vector file has it: what is text there is text here. */
function asIn(expected: unknown, value: unknown): unknown {
  if (value instanceof Uint8Array) return typeof expected === 'string' ? utf8Text(value) : value;
  if (Array.isArray(value)) return value.map((item, i) => asIn((expected as unknown[])?.[i], item));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      asIn((expected as Record<string, unknown>)?.[key], item),
    ]),
  );
}

const isRequest = (vector: Vector): boolean => vector.decoded[0]?.Command !== undefined;

/** The requests of a client's side, with the headers that came before them; undefined for commands that are not served. */
function requestsOf(vector: Vector): { seq: number; request: Request }[] | undefined {
  const values = valuesOf(vector.bytes);
  const found: { seq: number; request: Request }[] = [];
  while (values.length > 0) {
    const header = Fields.of(values.shift()!);
    const command = header.text('Command');
    if (!isCommand(command)) return undefined;
    found.push({
      seq: header.u64('Seq'),
      request: decodeRequest(command, hasBody(command) ? values.shift()! : null),
    });
  }
  return found;
}

function encodeRequest({ seq, request }: { seq: number; request: Request }): Uint8Array {
  const body = requestBody(request);
  const header = encodeRpc({ Command: request.command, Seq: seq });
  return body === undefined ? header : concatBytes(header, encodeRpc(body));
}

describe('every captured conversation', () => {
  test.each(VECTORS.map((vector) => [vector.name, vector] as const))(
    '%s means what it should',
    (_name, vector) => {
      const values = valuesOf(vector.bytes);
      expect(values.map((value, i) => asIn(vector.decoded[i], value))).toEqual(vector.decoded);
    },
  );

  const requests = VECTORS.filter(isRequest);

  test('holds only requests that are served', () => {
    for (const vector of requests) expect(requestsOf(vector), vector.name).toBeDefined();
  });

  // The one difference is two ways of writing nothing: the real tool gives an empty map of tag filters, we give nil.
  const OTHER_NOTHING = ['rpc_query_client'];
  const exact = requests.filter((vector) => !vector.isNew);

  test.each(exact.map((vector) => [vector.name, vector] as const))(
    '%s encodes to the identical bytes',
    (name, vector) => {
      const found = requestsOf(vector)!;
      const again = concatBytes(...found.map(encodeRequest));
      if (!OTHER_NOTHING.includes(name)) expect(toHex(again)).toBe(toHex(vector.bytes));
      expect(requestsOf({ ...vector, bytes: again })).toEqual(found);
    },
  );

  /** Replies whose maps came in the arbitrary order of a Go map, or whose floats are whole numbers. */
  const UNORDERED = /stats|rtt|list_keys_error|remove_key_error|get_coordinate/;
  const replies = VECTORS.filter(
    (vector) => !isRequest(vector) && !vector.isNew && !UNORDERED.test(vector.name),
  );

  test.each(replies.map((vector) => [vector.name, vector] as const))(
    '%s encodes to the identical bytes',
    (_name, vector) => {
      expect(toHex(concatBytes(...vector.decoded.map((value: Encodable) => encodeRpc(value))))).toBe(
        toHex(vector.bytes),
      );
    },
  );

  test('has members that are read and written alike', () => {
    const vectors = VECTORS.filter((vector) =>
      vector.decoded.some((one: { Members?: unknown }) => one.Members !== undefined),
    );
    expect(vectors.length).toBeGreaterThan(3);
    for (const vector of vectors) {
      for (const value of valuesOf(vector.bytes)) {
        if (!Fields.of(value).has('Members')) continue;
        const members = decodeMembers(value);
        const written = valuesOf(encodeRpc({ Members: members.map(encodeMember) }))[0]!;
        expect(decodeMembers(written)).toEqual(members);
        expect(Fields.of(written).list('Members')).toEqual(Fields.of(value).list('Members'));
      }
    }
  });
});

describe('fanout’s own messages', () => {
  const roundTrip = (value: Encodable): MsgpackValue => valuesOf(encodeRpc(value))[0]!;

  test('info', () => {
    const info = {
      node: 'web1',
      version: '0.1.0',
      environment: 'staging',
      cluster: 'c',
      addr: Uint8Array.of(10, 0, 0, 1),
      port: 7946,
      policyHash: 'ab',
      sandboxes: [{ profile: 'strict', available: false, reason: 'no bwrap' }],
    };
    expect(decodeInfo(roundTrip(encodeInfo(info)))).toEqual(info);
  });

  test.each([
    { kind: 'ack', from: 'web1' },
    { kind: 'answer', from: 'web1', stream: 0xffffffff },
    { kind: 'member', name: 'web1', status: 'failed' },
  ] as const)('a run record of kind $kind', (record) => {
    expect(decodeRunRecord(roundTrip(encodeRunRecord(record)))).toEqual(record);
  });

  test('a run, an answer', () => {
    const run: Request = {
      command: 'fanout-run',
      run: new Uint8Array(16).fill(7),
      envelope: utf8('signed'),
      targets: ['web1', '__proto__'],
      timeoutMs: 30_000,
    };
    expect(decodeRequest('fanout-run', roundTrip(requestBody(run)!))).toEqual(run);
    expect(decodeRequest('fanout-answer', roundTrip({ Stream: 9 }))).toEqual({
      command: 'fanout-answer',
      stream: 9,
    });
  });

  test.each([
    ['an id that is not 16 bytes', { Run: new Uint8Array(15) }],
    [
      'more targets than a cluster can have',
      { Run: new Uint8Array(16), Targets: new Array(20_001).fill('a') },
    ],
    ['a target that is no text', { Run: new Uint8Array(16), Targets: [7] }],
    ['a negative timeout', { Run: new Uint8Array(16), TimeoutMs: -1 }],
  ])('a run with %s is refused', (_what, body) => {
    expect(() => decodeRequest('fanout-run', roundTrip(body))).toThrow(DecodeError);
  });

  test('an unknown run record is refused', () => {
    expect(() => decodeRunRecord(roundTrip({ Type: 'gift' }))).toThrow('unknown run record "gift"');
  });

  test('stats are sections of texts', () => {
    const stats = decodeStats(roundTrip({ serf: { members: '3' }, tags: { role: 'db' } }));
    expect(stats).toEqual(
      new Map([
        ['serf', new Map([['members', '3']])],
        ['tags', new Map([['role', 'db']])],
      ]),
    );
  });
});

test('any value as any message gives a message or a DecodeError', () => {
  const body = fc.oneof(
    fc.dictionary(
      fc.constantFrom(
        'Members',
        'Tags',
        'Type',
        'From',
        'Stream',
        'Targets',
        'Run',
        'Name',
        'Status',
        'Sandboxes',
        'Timeout',
        'Payload',
        'Seq',
      ),
      fc.oneof(
        fc.constant(null),
        fc.boolean(),
        fc.double(),
        fc.integer(),
        fc.uint8Array(),
        fc.array(fc.integer()),
        fc.dictionary(fc.string(), fc.integer()),
      ),
      { noNullPrototype: true },
    ),
    fc.constant(null),
    fc.array(fc.integer()),
    fc.uint8Array(),
  );
  const commands = [
    'handshake',
    'event',
    'join',
    'members-filtered',
    'tags',
    'query',
    'stop',
    'fanout-run',
    'fanout-answer',
  ] as const;
  const decoders: ((value: MsgpackValue) => unknown)[] = [
    decodeMembers,
    decodeInfo,
    decodeRunRecord,
    decodeStats,
  ];
  for (const command of commands) decoders.push((value) => decodeRequest(command, value));
  fc.assert(
    fc.property(body, (body) => {
      const value = valuesOf(encodeRpc(body as Encodable))[0]!;
      for (const decode of decoders) {
        try {
          decode(value);
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
        }
      }
    }),
    { numRuns: 3000 },
  );
});
