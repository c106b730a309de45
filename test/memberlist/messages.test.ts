import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { concatBytes, EMPTY } from '../../src/lib/bytes.ts';
import { DecodeError } from '../../src/lib/errors.ts';
import { encodeGossip } from '../../src/lib/msgpack.ts';
import {
  decodePacketMessage,
  encodeAlive,
  encodeError,
  encodePing,
  MessageType,
  type PacketMessage,
} from '../../src/memberlist/messages.ts';
import { bytesOfHex, vector, vectorsOf } from '../fixtures/vectors.ts';
import { encodeAgain, wireBody } from './wire-names.ts';

const BODIES = ['ping', 'indirectPing', 'ack', 'nack', 'suspect', 'alive', 'dead'];

function reasonOf(bytes: Uint8Array): string {
  try {
    decodePacketMessage(bytes);
  } catch (error) {
    if (error instanceof DecodeError) return error.reason;
    throw error;
  }
  return 'accepted';
}

function packet(type: keyof typeof MessageType, body: Parameters<typeof encodeGossip>[0]): Uint8Array {
  return encodeGossip(body, MessageType[type]);
}

describe('the vectors of plain messages', () => {
  const vectors = vectorsOf('ml_', 'udp_').filter(({ decoded }) => BODIES.includes(decoded.type_name));

  test('are there for every message with a body but the indirect ping', () => {
    expect(['indirectPing', ...new Set(vectors.map(({ decoded }) => decoded.type_name))].sort()).toEqual(
      BODIES.sort(),
    );
  });

  test.each(vectors)('$name is read and written again as it was', ({ bytes, decoded, isNew }) => {
    const message = decodePacketMessage(bytes);
    if (message.kind === 'user') throw new Error('a body was expected');
    expect(message.kind).toBe(decoded.type_name);
    expect(wireBody(message)).toEqual(decoded.body);
    if (!isNew) expect(encodeAgain(message)).toEqual(bytes);
  });

  test('an error message is written as the reference encoder does', () => {
    const { bytes, decoded } = vector('ml_err');
    expect(encodeError(decoded.body.Error)).toEqual(bytes);
  });

  test('a user message is a type byte and the payload', () => {
    const message = decodePacketMessage(vector('ml_usermsg_packet').bytes);
    expect(message).toEqual({ kind: 'user', payload: Uint8Array.from(Buffer.from('hello')) });
    expect(encodeAgain(message)).toEqual(vector('ml_usermsg_packet').bytes);
  });
});

const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 50 });
const u32 = fc.nat({ max: 2 ** 32 - 1 });
const port = fc.nat({ max: 65535 });
const addr = fc.oneof(
  fc.uint8Array({ minLength: 4, maxLength: 4 }),
  fc.uint8Array({ minLength: 16, maxLength: 16 }),
);
const payload = fc.uint8Array({ maxLength: 300 });
const source = {
  sourceAddr: fc.oneof(addr, fc.constant(EMPTY)),
  sourceNode: fc.oneof(name, fc.constant('')),
  sourcePort: port,
};
const accusation = { incarnation: u32, node: name, from: name };
const message: fc.Arbitrary<PacketMessage> = fc.oneof(
  fc.record({ kind: fc.constant('ping' as const), node: name, seqNo: u32, ...source }),
  fc.record({
    kind: fc.constant('indirectPing' as const),
    seqNo: u32,
    target: addr,
    port,
    node: name,
    nack: fc.boolean(),
    ...source,
  }),
  fc.record({ kind: fc.constant('ack' as const), seqNo: u32, payload: fc.option(payload) }),
  fc.record({ kind: fc.constant('nack' as const), seqNo: u32 }),
  fc.record({ kind: fc.constant('suspect' as const), ...accusation }),
  fc.record({ kind: fc.constant('dead' as const), ...accusation }),
  fc.record({
    kind: fc.constant('alive' as const),
    incarnation: u32,
    node: name,
    addr,
    port,
    meta: fc.uint8Array({ maxLength: 512 }),
    vsn: fc.oneof(fc.constant(EMPTY), fc.uint8Array({ minLength: 6, maxLength: 6 })),
  }),
  fc.record({ kind: fc.constant('user' as const), payload }),
);

test('every message survives a round trip, and what follows its body does not matter', () => {
  fc.assert(
    fc.property(message, fc.uint8Array({ maxLength: 20 }), (original, behind) => {
      expect(decodePacketMessage(encodeAgain(original))).toEqual(original);
      if (original.kind === 'user') return;
      expect(decodePacketMessage(concatBytes(encodeAgain(original), behind))).toEqual(original);
    }),
    { numRuns: 1000 },
  );
});

test('what a member may keep of an alive message does not hold on to the packet', () => {
  const bytes = vector('ml_alive_ip16').bytes;
  const alive = decodePacketMessage(bytes);
  if (alive.kind !== 'alive') throw new Error('an alive message was expected');
  for (const kept of [alive.addr, alive.meta, alive.vsn]) expect(kept.buffer).not.toBe(bytes.buffer);
});

test('the first six bytes of a version vector are the ones that count', () => {
  const alive = { incarnation: 1, node: 'a', addr: bytesOfHex('7f000001'), port: 1, meta: EMPTY, vsn: EMPTY };
  const longer = encodeAlive({ ...alive, vsn: bytesOfHex('0105020205050909') });
  expect(decodePacketMessage(longer)).toMatchObject({ vsn: bytesOfHex('010502020505') });
});

test('a ping without a source is as short as the reference encoder makes it', () => {
  const ping = { node: 'node-b', seqNo: 300, sourceAddr: EMPTY, sourceNode: '', sourcePort: 0 };
  expect(encodePing(ping)).toEqual(vector('ml_ping_no_source').bytes);
});

test('an indirect ping has its fields in the order of their names', () => {
  const target = bytesOfHex('7f000001');
  const request = {
    seqNo: 1,
    target,
    port: 2,
    node: 'n',
    nack: true,
    sourceAddr: target,
    sourceNode: 's',
    sourcePort: 3,
  };
  const text = Buffer.from(encodeAgain({ kind: 'indirectPing', ...request })).toString('latin1');
  const names = ['Nack', 'Node', 'Port', 'SeqNo', 'SourceAddr', 'SourceNode', 'SourcePort', 'Target'];
  expect([...text.matchAll(/[A-Z][A-Za-z]{3,}/g)].map(String)).toEqual(names);
  expect([text.charCodeAt(0), text.charCodeAt(1)]).toEqual([1, 0x88]);
});

test.each([
  ['nothing at all', 'empty', EMPTY],
  ['a push/pull', 'type', packet('pushPull', {})],
  ['a CRC header inside a packet', 'type', bytesOfHex('0c00000000')],
  ['a fanout hello', 'type', packet('fanout', {})],
  ['an unknown type', 'type', bytesOfHex('6380')],
  ['a list for a body', 'field', packet('ping', [])],
  ['a body that is cut off', 'msgpack', vector('ml_ping').bytes.subarray(0, 40)],
  ['a body with bytes of a later msgpack', 'msgpack', bytesOfHex('00c7000000')],
  ['an alive with three address bytes', 'addr', packet('alive', { Node: 'a', Addr: bytesOfHex('7f0000') })],
  ['an alive without address', 'addr', packet('alive', { Node: 'a' })],
  [
    'an alive with three version bytes',
    'vsn',
    packet('alive', { Node: 'a', Addr: bytesOfHex('7f000001'), Vsn: bytesOfHex('010502') }),
  ],
  ['an alive without name', 'name', packet('alive', { Addr: bytesOfHex('7f000001') })],
  ['a suspect without name', 'name', packet('suspect', { From: 'a' })],
  ['a dead without name', 'name', packet('dead', { From: 'a' })],
  ['an indirect ping without target', 'addr', packet('indirectPing', { Node: 'a' })],
  [
    'a ping from five address bytes',
    'addr',
    packet('ping', { Node: 'a', SourceAddr: bytesOfHex('0102030405') }),
  ],
  ['a name that is not UTF-8', 'field', packet('suspect', { Node: bytesOfHex('c328') })],
  ['a negative incarnation', 'field', packet('suspect', { Node: 'a', Incarnation: -1 })],
  ['an incarnation beyond 32 bits', 'field', packet('suspect', { Node: 'a', Incarnation: 2 ** 32 })],
  [
    'a port beyond 16 bits',
    'field',
    packet('alive', { Node: 'a', Addr: bytesOfHex('7f000001'), Port: 65536 }),
  ],
] as const)('%s is refused as "%s"', (_what, reason, bytes) => {
  expect(reasonOf(bytes)).toBe(reason);
});

test('a ping may leave out whom it means', () => {
  expect(decodePacketMessage(packet('ping', { SeqNo: 1 }))).toMatchObject({
    node: '',
    seqNo: 1,
    sourcePort: 0,
  });
});
