import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EMPTY } from '../../src/lib/bytes.ts';
import { DecodeError } from '../../src/lib/errors.ts';
import { type Encodable, encodeGossip } from '../../src/lib/msgpack.ts';
import { Keyring } from '../../src/memberlist/keyring.ts';
import { decodePacketMessage } from '../../src/memberlist/messages.ts';
import { openPacket } from '../../src/memberlist/packet.ts';
import { StreamReader } from '../../src/memberlist/stream.ts';
import { decodeFilter } from '../../src/serf/filters.ts';
import {
  decodeSerfMessage,
  encodeConflictResponse,
  encodeRelay,
  type SerfMessage,
} from '../../src/serf/messages.ts';
import { bytesOfHex, vector, vectorsOf } from '../fixtures/vectors.ts';
import { encodeAgain, wireBody } from './wire-names.ts';

function reasonOf(bytes: Uint8Array): string {
  try {
    decodeSerfMessage(bytes);
  } catch (error) {
    if (error instanceof DecodeError) return error.reason;
    throw error;
  }
  return 'accepted';
}

/** Checks a message against its description in the vector file, and what is inside it. */
// biome-ignore lint/suspicious/noExplicitAny: the vector file's own tree
function expectMeaning(bytes: Uint8Array, meaning: any): SerfMessage {
  const message = decodeSerfMessage(bytes);
  expect(message.kind).toBe(meaning.serf_type_name);
  if (message.kind === 'relay') {
    const { destAddr, destName, inner } = message;
    const { ip, port, zone } = destAddr;
    expect({ DestAddr: { IP: ip, Port: port, Zone: zone }, DestName: destName }).toEqual(meaning.header);
    expectMeaning(inner, meaning.inner);
    return message;
  }
  expect(wireBody(message)).toEqual(meaning.body);
  if (message.kind === 'query' && meaning.filters_decoded !== undefined) {
    const filters = message.filters
      .map(decodeFilter)
      .map((filter) =>
        filter.kind === 'nodes'
          ? { type: 0, kind: 'node', nodes: filter.names }
          : { type: 1, kind: 'tag', Expr: filter.expr, Tag: filter.tag },
      );
    expect(filters).toEqual(meaning.filters_decoded);
  }
  if (meaning.payload_decoded?.serf_type !== undefined && 'payload' in message) {
    expectMeaning(message.payload ?? EMPTY, meaning.payload_decoded);
  }
  return message;
}

describe('the vectors of the reference encoder', () => {
  const vectors = vectorsOf('serf_').filter(({ decoded }) => decoded.serf_type !== undefined);

  test('are there for every message', () => {
    expect(new Set(vectors.map(({ decoded }) => decoded.serf_type))).toEqual(
      new Set([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
    );
  });

  test.each(vectors)('$name is read and written again as it was', ({ bytes, decoded, isNew }) => {
    const message = expectMeaning(bytes, decoded);
    if (!isNew) expect(encodeAgain(message)).toEqual(bytes);
  });
});

describe('the Serf messages of real agents', () => {
  // biome-ignore lint/suspicious/noExplicitAny: the vector file's own tree
  const userPayloads = (decoded: any): any[] => {
    if (decoded.inner !== undefined) return userPayloads(decoded.inner);
    if (decoded.parts !== undefined) return decoded.parts.flatMap(userPayloads);
    return decoded.type_name === 'user' ? [decoded.payload] : [];
  };
  const packets = vectorsOf('udp_').filter(({ decoded }) => userPayloads(decoded).length > 0);

  test.each(packets)('in $name are read and written again as they were', ({ bytes, decoded, key }) => {
    const keyring = key === undefined ? undefined : new Keyring([key]);
    const payloads = openPacket(bytes, keyring).messages.flatMap((message) => {
      const plain = decodePacketMessage(message);
      return plain.kind === 'user' ? [plain.payload] : [];
    });
    const meanings = userPayloads(decoded);
    expect(payloads.length).toBe(meanings.length);
    for (const [index, payload] of payloads.entries()) {
      expect(encodeAgain(expectMeaning(payload, meanings[index]))).toEqual(payload);
    }
  });

  const streams = vectorsOf('tcp_pushpull_');

  test.each(streams)('in $name are read and written again as they were', ({ bytes, decoded, key }) => {
    const message = new StreamReader(key === undefined ? undefined : new Keyring([key])).push(bytes);
    if (message?.kind !== 'pushPull') throw new Error('a push/pull was expected');
    let inner = decoded;
    while (inner.inner !== undefined) inner = inner.inner;
    expect(encodeAgain(expectMeaning(message.userState, inner.user_state))).toEqual(message.userState);
  });
});

const ltime = fc.maxSafeInteger().map((value) => Math.abs(value) % 2 ** 52);
const u32 = fc.nat({ max: 2 ** 32 - 1 });
const port = fc.nat({ max: 65535 });
const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 });
const text = fc.string({ unit: 'grapheme', maxLength: 60 });
const addr = fc.constantFrom(4, 16).chain((size) => fc.uint8Array({ minLength: size, maxLength: size }));
const payload = fc.option(fc.uint8Array({ maxLength: 300 }));
const slot = fc.record({ ltime, events: fc.array(fc.record({ name: text, payload }), { maxLength: 3 }) });
const kind = <K extends string>(value: K): fc.Arbitrary<K> => fc.constant(value);
const message: fc.Arbitrary<SerfMessage> = fc.oneof(
  fc.record({ kind: kind('leave'), ltime, node: name, prune: fc.boolean() }),
  fc.record({ kind: kind('join'), ltime, node: name }),
  fc.record({
    kind: kind('pushPull'),
    ltime,
    eventLTime: ltime,
    queryLTime: ltime,
    statusLTimes: fc.array(fc.tuple(name, ltime), { maxLength: 20 }).map((pairs) => new Map(pairs)),
    leftMembers: fc.array(name, { maxLength: 5 }),
    events: fc.array(fc.option(slot), { maxLength: 20 }),
  }),
  fc.record({ kind: kind('userEvent'), ltime, name: text, payload, cc: fc.boolean() }),
  fc.record({
    kind: kind('query'),
    ltime,
    id: u32,
    addr,
    port,
    sourceNode: text,
    filters: fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 4 }),
    flags: u32,
    relayFactor: fc.nat({ max: 255 }),
    timeoutNs: fc.maxSafeInteger(),
    name: text,
    payload,
  }),
  fc.record({ kind: kind('queryResponse'), ltime, id: u32, from: name, flags: u32, payload }),
  fc.record({
    kind: kind('relay'),
    destAddr: fc.record({ ip: addr, port, zone: text }),
    destName: text,
    inner: fc.uint8Array({ maxLength: 100 }),
  }),
  fc.record({ kind: kind('keyRequest'), key: fc.uint8Array({ maxLength: 32 }), approval: payload }),
  fc.record({
    kind: kind('keyResponse'),
    result: fc.boolean(),
    message: text,
    keys: fc.array(text),
    primaryKey: text,
  }),
  fc.record({
    kind: kind('conflictResponse'),
    member: fc.option(
      fc.record({
        name: text,
        addr,
        port,
        tags: fc.array(fc.tuple(text, text), { maxLength: 5 }).map((pairs) => new Map(pairs)),
        status: fc.constantFrom('none', 'alive', 'leaving', 'left', 'failed'),
        vsn: fc.uint8Array({ minLength: 6, maxLength: 6 }),
      }),
    ),
  }),
);

test('every message survives a round trip', () => {
  fc.assert(
    fc.property(message, (original) => {
      expect(decodeSerfMessage(encodeAgain(original))).toEqual(original);
    }),
    { numRuns: 2000 },
  );
});

test('a member of any name is in the state, also one that JavaScript objects have by birth', () => {
  const names = ['__proto__', 'constructor', 'toString', '10', '9', 'é', '𝔽'];
  const statusLTimes = new Map(names.map((node, index) => [node, index]));
  const state = { ltime: 1, eventLTime: 1, queryLTime: 1, statusLTimes, leftMembers: names, events: [] };
  const decoded = decodeSerfMessage(encodeAgain({ kind: 'pushPull', ...state }));
  expect(decoded).toEqual({ kind: 'pushPull', ...state });
});

test('events that are remembered do not hold on to the state they came in', () => {
  const { bytes } = vector('serf_push_pull');
  const state = decodeSerfMessage(bytes);
  if (state.kind !== 'pushPull') throw new Error('a push/pull was expected');
  expect(state.events[3]?.events[0]?.payload?.buffer).not.toBe(bytes.buffer);
});

const body = (type: number, value: Encodable): Uint8Array => encodeGossip(value, type);

describe('an impossible Lamport time', () => {
  const LAST = 2 ** 52;

  test('is one above 2^52, in every message that has one', () => {
    expect(reasonOf(body(1, { LTime: LAST, Node: 'a' }))).toBe('accepted');
    const addr = bytesOfHex('7f000001');
    const at = (time: number): Uint8Array[] => [
      body(0, { LTime: time, Node: 'a' }),
      body(1, { LTime: time, Node: 'a' }),
      body(2, { LTime: time }),
      body(2, { EventLTime: time }),
      body(2, { QueryLTime: time }),
      body(2, { StatusLTimes: { a: time } }),
      body(2, { Events: [null, { LTime: time }] }),
      body(3, { LTime: time }),
      body(4, { LTime: time, Addr: addr }),
      body(5, { LTime: time, From: 'a' }),
    ];
    for (const bytes of at(LAST)) expect(reasonOf(bytes)).toBe('accepted');
    for (const bytes of at(LAST + 1)) expect(reasonOf(bytes)).toBe('ltime');
    // The largest time of all makes real clocks start again at zero.
    expect(reasonOf(bytesOfHex('0182a54c54696d65cfffffffffffffffffa44e6f6465a161'))).toBe('ltime');
  });

  test('is also a negative or broken one', () => {
    for (const time of [-1, 0.5, 'now']) expect(reasonOf(body(1, { LTime: time, Node: 'a' }))).toBe('field');
  });
});

test.each([
  ['nothing at all', 'empty', EMPTY],
  ['an unknown type', 'type', bytesOfHex('0a80')],
  ['a type without body', 'msgpack', bytesOfHex('01')],
  ['a list for a body', 'field', bytesOfHex('0190')],
  ['a join without name', 'name', body(1, { LTime: 1 })],
  ['a leave without name', 'name', body(0, { LTime: 1 })],
  ['an answer from nobody', 'name', body(5, { LTime: 1 })],
  ['a query from nowhere', 'addr', body(4, { LTime: 1 })],
  ['a query with a number for a filter', 'field', body(4, { Addr: new Uint8Array(4), Filters: [1] })],
  ['a relay to nowhere', 'addr', body(9, { DestAddr: { Port: 1 } })],
  ['a state with a number for an event', 'field', body(2, { Events: [1] })],
  ['a state with a number for a left member', 'field', body(2, { LeftMembers: [1] })],
  ['a key answer with a number for a key', 'field', body(8, { Keys: [1] })],
  ['a conflict answer about nowhere', 'addr', body(6, { Name: 'a' })],
] as const)('%s is refused as "%s"', (_what, reason, bytes) => {
  expect(reasonOf(bytes)).toBe(reason);
});

test('what older releases leave out has its zero value', () => {
  expect(decodeSerfMessage(body(0, { LTime: 1, Node: 'a' }))).toMatchObject({ prune: false });
  expect(decodeSerfMessage(bytesOfHex('08c0'))).toEqual({
    kind: 'keyResponse',
    result: false,
    message: '',
    keys: [],
    primaryKey: '',
  });
});

test('a conflict answer can say that the member is not known', () => {
  expect(encodeConflictResponse(null)).toEqual(bytesOfHex('06c0'));
  expect(decodeSerfMessage(bytesOfHex('06c0'))).toEqual({ kind: 'conflictResponse', member: null });
});

test('a query timeout beyond counting is clamped, for the receiver to judge', () => {
  const { bytes } = vector('serf_query');
  const text = Buffer.from(bytes).toString('hex').replace('cf000000037e11d600', 'd37fffffffffffffff');
  expect(decodeSerfMessage(bytesOfHex(text))).toMatchObject({ timeoutNs: Number.MAX_SAFE_INTEGER });
});

test('a relay carries its message untouched', () => {
  const inner = vector('serf_query_ack').bytes;
  const destAddr = { ip: bytesOfHex('7f000015'), port: 7946, zone: '' };
  expect(decodeSerfMessage(encodeRelay({ destAddr, destName: 'node-a', inner }))).toMatchObject({ inner });
});
