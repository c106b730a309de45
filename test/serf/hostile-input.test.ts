import fc from 'fast-check';
import { expect, test } from 'vitest';
import { concatBytes } from '../../src/lib/bytes.ts';
import { DecodeError } from '../../src/lib/errors.ts';
import { encodeCompound } from '../../src/memberlist/compound.ts';
import { encodeCompress } from '../../src/memberlist/compress.ts';
import { Keyring } from '../../src/memberlist/keyring.ts';
import { decodePacketMessage } from '../../src/memberlist/messages.ts';
import { openPacket, sealPacket } from '../../src/memberlist/packet.ts';
import { StreamReader, sealStream } from '../../src/memberlist/stream.ts';
import { decodeCoordinatePayload } from '../../src/serf/coordinate-codec.ts';
import { decodeFilter } from '../../src/serf/filters.ts';
import { decodeSerfMessage, type SerfMessage } from '../../src/serf/messages.ts';
import { decodeTags } from '../../src/serf/tags.ts';
import { vectorsOf } from '../fixtures/vectors.ts';
import { processorMs } from '../support/cost.ts';

const RUNS = 20_000;
/** The probe timeout: a member that thinks for longer about one packet answers its probes late. Far above what a busy machine adds. */
const SLOW_MS = 500;
const KEY = new Uint8Array(16).fill(7);
const RING = new Keyring([KEY]);
const KEYLESS = undefined;

/** Real packets, streams and Serf messages, clear and sealed, and the clear insides of the sealed ones. */
const samples: readonly Uint8Array[] = vectorsOf('udp_', 'tcp_', 'ml_', 'serf_', 'neg_').flatMap((sample) => {
  if (sample.key === undefined || !sample.name.startsWith('udp_')) return [sample.bytes];
  return [sample.bytes, ...openPacket(sample.bytes, new Keyring([sample.key])).messages];
});

/** Runs a decoder. A DecodeError is its right; anything else fails the test. */
function attempt<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

function serfInsides(message: SerfMessage): void {
  switch (message.kind) {
    case 'query':
      for (const filter of message.filters) attempt(() => decodeFilter(filter));
      break;
    case 'relay':
      attempt(() => decodeSerfMessage(message.inner));
      break;
    case 'queryResponse':
      attempt(() => decodeSerfMessage(message.payload ?? KEY));
      break;
    default:
  }
}

function feedPacket(bytes: Uint8Array, keyring: Keyring | undefined): void {
  for (const part of attempt(() => openPacket(bytes, keyring))?.messages ?? []) {
    const message = attempt(() => decodePacketMessage(part));
    if (message?.kind === 'alive') attempt(() => decodeTags(message.meta));
    if (message?.kind === 'ack') attempt(() => decodeCoordinatePayload(message.payload ?? KEY));
    if (message?.kind !== 'user') continue;
    const serf = attempt(() => decodeSerfMessage(message.payload));
    if (serf !== undefined) serfInsides(serf);
  }
}

function feedStream(bytes: Uint8Array, keyring: Keyring | undefined, cut: number): void {
  const reader = new StreamReader(keyring);
  const message = attempt(() => reader.push(bytes.subarray(0, cut)) ?? reader.push(bytes.subarray(cut)));
  if (message?.kind !== 'pushPull') return;
  for (const node of message.nodes) attempt(() => decodeTags(node.meta));
  attempt(() => decodeSerfMessage(message.userState));
}

/** Gives the bytes to everything that reads the network. */
function feed(bytes: Uint8Array, cut: number): void {
  const nonce = (): Uint8Array => new Uint8Array(12);
  feedPacket(bytes, KEYLESS);
  feedPacket(bytes, RING);
  feedPacket(sealPacket(bytes, { compress: false, crc: true, keyring: RING, nonce }), RING);
  feedStream(bytes, KEYLESS, cut);
  feedStream(bytes, RING, cut);
  feedStream(sealStream(bytes, { compress: bytes.length > 0, keyring: RING, nonce }), RING, cut);
  const serf = attempt(() => decodeSerfMessage(bytes));
  if (serf !== undefined) serfInsides(serf);
  attempt(() => decodeTags(bytes));
  attempt(() => decodePacketMessage(bytes));
}

/** The least of some tries: garbage of others that is collected meanwhile must not count. */
function costMs(bytes: Uint8Array, cut: number): number {
  let least = Number.POSITIVE_INFINITY;
  for (let tries = 0; tries < 4 && least > SLOW_MS; tries++) {
    least = Math.min(
      least,
      processorMs(() => feed(bytes, cut)),
    );
  }
  return least;
}

type Change = (bytes: Uint8Array) => Uint8Array;

/** Bytes that mean something: lengths, counts, types and their limits. */
const tellingByte = fc.oneof(
  fc.nat({ max: 255 }),
  fc.constantFrom(
    0x00,
    0x01,
    0x07,
    0x09,
    0x0c,
    0x7f,
    0x80,
    0x8f,
    0x90,
    0xa0,
    0xc0,
    0xc4,
    0xcf,
    0xd3,
    0xdb,
    0xdd,
    0xdf,
    0xff,
  ),
);
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.tuple(fc.nat(), tellingByte).map(
    ([at, byte]): Change =>
      (bytes) => {
        const changed = new Uint8Array(bytes);
        if (bytes.length > 0) changed[at % bytes.length] = byte;
        return changed;
      },
  ),
  fc.nat().map(
    (at): Change =>
      (bytes) =>
        bytes.subarray(0, at % (bytes.length + 1)),
  ),
  fc.tuple(fc.nat(), fc.uint8Array({ maxLength: 8 })).map(
    ([position, extra]): Change =>
      (bytes) => {
        const at = position % (bytes.length + 1);
        return concatBytes(bytes.subarray(0, at), extra, bytes.subarray(at));
      },
  ),
  fc.tuple(fc.nat(), fc.nat({ max: 20 })).map(
    ([position, length]): Change =>
      (bytes) => {
        const at = position % (bytes.length + 1);
        return concatBytes(bytes.subarray(0, at), bytes.subarray(at + length));
      },
  ),
  fc.constant<Change>((bytes) => encodeCompound([bytes.subarray(0, 60_000), bytes.subarray(0, 60_000)])),
  fc.constant<Change>((bytes) => (bytes.length === 0 ? bytes : encodeCompress(bytes))),
);
const mutated = fc
  .tuple(fc.constantFrom(...samples), fc.array(change, { maxLength: 4 }))
  .map(([sample, changes]) => changes.reduce((bytes, apply) => apply(bytes), sample));
const hostile = fc.oneof(
  { weight: 3, arbitrary: mutated },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 120 }) },
);

test(`of ${RUNS} hostile packets none does anything but be refused, in little time`, {
  timeout: 300_000,
}, () => {
  fc.assert(
    fc.property(hostile, fc.nat({ max: 200 }), (bytes, cut) => costMs(bytes, cut) <= SLOW_MS),
    { numRuns: RUNS, seed: 20_260_101 },
  );
});

test('the worst packets that can be thought of are cheap too', () => {
  const filled = (length: number, byte: number): Uint8Array => new Uint8Array(length).fill(byte);
  const bomb = encodeCompress(filled(65_536, 0));
  const nestedBomb = encodeCompress(encodeCompress(encodeCompress(filled(10_000_000, 0))));
  const manyBombs = encodeCompound(Array.from({ length: 127 }, () => bomb.subarray(0, 500)));
  const list = concatBytes(Uint8Array.of(0, 0xdd, 0, 0, 0xff, 0xf0), filled(0xfff0, 0x90));
  const names = concatBytes(Uint8Array.of(0, 0xdf, 0, 0, 0x3f, 0xff), ...manyKeys(0x3fff));
  for (const bytes of [
    bomb,
    nestedBomb,
    manyBombs,
    list,
    names,
    encodeCompress(list),
    filled(65_507, 7),
    filled(65_507, 0x91),
  ]) {
    expect(costMs(bytes, 100)).toBeLessThan(SLOW_MS);
  }
});

/** Keys that differ, each with the value nil. */
function manyKeys(count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, index) => Uint8Array.of(0xa2, index >>> 8, index & 0x7f, 0xc0));
}
