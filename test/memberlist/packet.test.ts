import { describe, expect, test } from 'vitest';
import { concatBytes, EMPTY } from '../../src/lib/bytes.ts';
import { DecodeError } from '../../src/lib/errors.ts';
import { seededRng } from '../../src/lib/rng.ts';
import { encodeCompound } from '../../src/memberlist/compound.ts';
import { encodeCompress } from '../../src/memberlist/compress.ts';
import { Keyring } from '../../src/memberlist/keyring.ts';
import { decodePacketMessage } from '../../src/memberlist/messages.ts';
import { openPacket, PACKET_BYTES_MAX, packetOverhead, sealPacket } from '../../src/memberlist/packet.ts';
import { bytesOfHex, type Vector, vector, vectorsOf } from '../fixtures/vectors.ts';
import { encodeAgain, wireBody } from './wire-names.ts';

const PING = vector('ml_ping').bytes;
const SUSPECT = vector('ml_suspect').bytes;
const RING = new Keyring([new Uint8Array(32).fill(5)]);
const noNonce = (): Uint8Array => {
  throw new Error('clear packets need no nonce');
};
const CLEAR = { compress: false, crc: false, keyring: undefined, nonce: noNonce };

function ringOf({ key }: Vector): Keyring | undefined {
  return key === undefined ? undefined : new Keyring([key]);
}

function reasonOf(bytes: Uint8Array, keyring?: Keyring): string {
  try {
    openPacket(bytes, keyring);
  } catch (error) {
    if (error instanceof DecodeError) return error.reason;
    throw error;
  }
  return 'opened';
}

/** The layers of a vector from the outside, and the plain messages within. */
// biome-ignore lint/suspicious/noExplicitAny: the vector file's own tree
function peel(decoded: any, layers: string[] = []): { layers: string[]; leaves: any[] } {
  if (decoded.encryption_version !== undefined) return peel(decoded.inner, [...layers, 'encrypt']);
  switch (decoded.type_name) {
    case 'crc':
    case 'compress':
      return peel(decoded.inner, [...layers, decoded.type_name]);
    case 'compound':
      return { layers: [...layers, 'compound'], leaves: decoded.parts };
    default:
      return { layers, leaves: [decoded] };
  }
}

describe('the packets of real agents', () => {
  const vectors = vectorsOf('udp_');

  test('show every layer', () => {
    const layers = new Set(vectors.flatMap(({ decoded }) => peel(decoded).layers));
    expect(layers).toEqual(new Set(['encrypt', 'crc', 'compress', 'compound']));
  });

  test.each(vectors)('$name is opened to its messages', (sample) => {
    const { leaves } = peel(sample.decoded);
    const { messages, truncated } = openPacket(sample.bytes, ringOf(sample));
    expect(truncated).toBe(0);
    expect(messages.length).toBe(leaves.length);
    for (const [index, bytes] of messages.entries()) {
      const message = decodePacketMessage(bytes);
      expect(message.kind).toBe(leaves[index].type_name);
      if (message.kind !== 'user') expect(wireBody(message)).toEqual(leaves[index].body);
      expect(encodeAgain(message)).toEqual(bytes);
    }
  });

  test.each(vectors)('$name is sealed again to the same datagram', (sample) => {
    const { layers } = peel(sample.decoded);
    const messages = openPacket(sample.bytes, ringOf(sample)).messages.map((bytes) =>
      encodeAgain(decodePacketMessage(bytes)),
    );
    const message = layers.includes('compound') ? encodeCompound(messages) : messages[0]!;
    const datagram = sealPacket(message, {
      compress: layers.includes('compress'),
      crc: layers.includes('crc'),
      keyring: ringOf(sample),
      nonce: () => sample.bytes.subarray(1, 13),
    });
    expect(datagram).toEqual(sample.bytes);
  });
});

describe('sealing', () => {
  test('adds a checksum as the reference encoder does', () => {
    const { bytes } = vector('ml_crc_compound');
    expect(sealPacket(vector('ml_compound_ping_suspect').bytes, { ...CLEAR, crc: true })).toEqual(bytes);
    expect(openPacket(bytes, undefined).messages).toEqual([PING, SUSPECT]);
  });

  test('compresses only what gets shorter', () => {
    expect(sealPacket(PING, { ...CLEAR, compress: true })).toEqual(PING);
    const alive = vector('ml_alive_long_name').bytes;
    const datagram = sealPacket(alive, { ...CLEAR, compress: true });
    expect(datagram.length).toBeLessThan(alive.length);
    expect(openPacket(datagram, undefined).messages).toEqual([alive]);
  });

  test('costs what packetOverhead says', () => {
    expect(packetOverhead(undefined)).toBe(0);
    const datagram = sealPacket(PING, { ...CLEAR, keyring: RING, nonce: () => new Uint8Array(12) });
    expect(datagram.length).toBe(PING.length + packetOverhead(RING));
    expect(PACKET_BYTES_MAX).toBe(1400);
  });

  test('asks for a new nonce for every packet', () => {
    const rng = seededRng(1);
    const seal = (): Uint8Array => sealPacket(PING, { ...CLEAR, keyring: RING, nonce: () => rng.bytes(12) });
    expect(seal().subarray(1, 13)).not.toEqual(seal().subarray(1, 13));
  });

  test('is undone by every key of the ring', () => {
    const old = new Keyring([new Uint8Array(16).fill(9)]);
    const datagram = sealPacket(PING, { ...CLEAR, keyring: old, nonce: () => new Uint8Array(12) });
    expect(reasonOf(datagram, RING)).toBe('decrypt');
    const both = new Keyring([...RING.keys, ...old.keys]);
    expect(openPacket(datagram, both).messages).toEqual([PING]);
  });
});

describe('what cannot be opened', () => {
  test.each([
    ['an empty datagram', 'empty', EMPTY],
    ['a wrong checksum', 'crc', vector('neg_crc_mismatch').bytes],
    ['a cut table of lengths', 'compound', vector('neg_compound_short_lengths').bytes],
    ['a labelled packet', 'label', vector('ml_label_packet_plain').bytes],
    ['broken compression', 'decompress', bytesOfHex('0982a4416c676f00a3427566a141')],
  ])('is refused: %s', (_what, reason, bytes) => {
    expect(reasonOf(bytes)).toBe(reason);
  });

  test('is refused with a keyring: clear packets, damaged ones, unknown versions, labels', () => {
    expect(reasonOf(PING, RING)).toBe('decrypt');
    expect(reasonOf(bytesOfHex('0102'), RING)).toBe('envelope-short');
    for (const [name, reason] of [
      ['neg_encrypted_bad_tag', 'decrypt'],
      ['neg_encrypted_bad_version', 'envelope-version'],
      ['ml_label_packet_plain', 'label'],
    ] as const) {
      const sample = vector(name);
      expect(reasonOf(sample.bytes, ringOf(sample) ?? RING)).toBe(reason);
    }
  });

  test('is read as garbage without the keyring', () => {
    const { messages } = openPacket(vector('udp_encrypted_v1_ping').bytes, undefined);
    expect(() => decodePacketMessage(messages[0]!)).toThrow(DecodeError);
  });
});

describe('layers within layers', () => {
  test('a checksum counts only on the outside', () => {
    const inner = sealPacket(PING, { ...CLEAR, crc: true });
    const packet = openPacket(sealPacket(inner, { ...CLEAR, crc: true }), undefined);
    expect(packet.messages).toEqual([inner]);
    expect(() => decodePacketMessage(inner)).toThrow('message type 12');
  });

  test('fewer than five bytes are no checksum', () => {
    expect(openPacket(bytesOfHex('0c010203'), undefined).messages).toEqual([bytesOfHex('0c010203')]);
  });

  const nested = (levels: number): Uint8Array => {
    let packet = PING;
    for (let level = 0; level < levels; level++) packet = encodeCompound([packet]);
    return packet;
  };

  test('may be eight deep and not nine', () => {
    expect(openPacket(nested(8), undefined)).toEqual({ messages: [PING], truncated: 0 });
    expect(openPacket(nested(9), undefined)).toEqual({ messages: [], truncated: 1 });
    let squeezed = PING;
    for (let level = 0; level < 9; level++) squeezed = encodeCompress(squeezed);
    expect(reasonOf(squeezed)).toBe('nesting');
  });

  test('a broken part does not take its neighbours with it', () => {
    const broken = bytesOfHex('0982a4416c676f00a3427566a141');
    const packet = openPacket(encodeCompound([PING, broken, SUSPECT]), undefined);
    expect(packet).toEqual({ messages: [PING, SUSPECT], truncated: 1 });
  });

  test('what a cut compound still has is used', () => {
    const packet = openPacket(vector('neg_compound_truncated').bytes, undefined);
    expect(packet).toEqual({ messages: [PING], truncated: 1 });
  });

  test('all parts together unpack to 64 KiB at most', () => {
    const packed = encodeCompress(concatBytes(Uint8Array.of(8), new Uint8Array(40_000)));
    const packet = openPacket(encodeCompound([packed, packed, PING]), undefined);
    expect(packet.messages.map(({ length }) => length)).toEqual([40_001, PING.length]);
    expect(packet.truncated).toBe(1);
    const bomb = encodeCompress(new Uint8Array(10_000_000));
    expect(reasonOf(bomb)).toBe('decompress');
  });
});

test('messages are plain views even when the datagram is a Buffer', () => {
  const [message] = openPacket(Buffer.from(PING), undefined).messages;
  expect(Buffer.isBuffer(message)).toBe(false);
  expect(message).toEqual(PING);
});
