import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { concatBytes, EMPTY } from '../../src/lib/bytes.ts';
import { DecodeError } from '../../src/lib/errors.ts';
import { encodeGossip } from '../../src/lib/msgpack.ts';
import { seededRng } from '../../src/lib/rng.ts';
import { encodeCompress } from '../../src/memberlist/compress.ts';
import { Keyring } from '../../src/memberlist/keyring.ts';
import { encodeAck, encodeError, encodePing, MessageType } from '../../src/memberlist/messages.ts';
import {
  encodeFanoutHello,
  encodePushPull,
  encodeUserStream,
  type PushPullNode,
  type StreamMessage,
  StreamReader,
  sealStream,
} from '../../src/memberlist/stream.ts';
import { bytesOfHex, type Vector, vector, vectorsOf } from '../fixtures/vectors.ts';
import { processorMs } from '../support/cost.ts';
import { wireBody, wireNode } from './wire-names.ts';

const MIB = 1024 * 1024;
const RING = new Keyring([new Uint8Array(16).fill(5)]);
const rng = seededRng(3);
const nonce = (): Uint8Array => rng.bytes(12);
const seal = (message: Uint8Array, keyring?: Keyring, compress = false): Uint8Array =>
  sealStream(message, { compress, keyring, nonce });

function ringOf({ key }: Vector): Keyring | undefined {
  return key === undefined ? undefined : new Keyring([key]);
}

type Outcome = StreamMessage | 'incomplete' | { readonly refused: string };

/** What a reader makes of the bytes when they come in these pieces. */
function readPieces(pieces: Iterable<Uint8Array>, keyring?: Keyring): Outcome {
  const reader = new StreamReader(keyring);
  try {
    for (const piece of pieces) {
      const message = reader.push(piece);
      if (message !== undefined) return message;
    }
    return 'incomplete';
  } catch (error) {
    if (error instanceof DecodeError) return { refused: error.reason };
    throw error;
  }
}

const read = (bytes: Uint8Array, keyring?: Keyring): Outcome => readPieces([bytes], keyring);

function* singleBytes(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at++) yield bytes.subarray(at, at + 1);
}

/** The layers of a vector from the outside, and the message within. */
// biome-ignore lint/suspicious/noExplicitAny: the vector file's own tree
function peel(decoded: any): { layers: string[]; leaf: any } {
  const layers: string[] = [];
  let leaf = decoded;
  while (leaf.inner !== undefined) {
    layers.push(leaf.type_name);
    leaf = leaf.inner;
  }
  return { layers, leaf };
}

function encodeAgain(message: StreamMessage): Uint8Array {
  switch (message.kind) {
    case 'pushPull':
      return encodePushPull(message);
    case 'ping':
      return encodePing(message);
    case 'ack':
      return encodeAck(message);
    case 'user':
      return encodeUserStream(message.payload);
    case 'error':
      return encodeError(message.text);
    case 'fanout':
      return encodeFanoutHello(message.body);
  }
}

function messageIn(bytes: Uint8Array, keyring?: Keyring): StreamMessage {
  const message = read(bytes, keyring);
  if (message === 'incomplete' || 'refused' in message)
    throw new Error(`no message: ${JSON.stringify(message)}`);
  return message;
}

describe('the streams of real agents', () => {
  const vectors = vectorsOf('tcp_');

  test.each(vectors)('$name is read', (sample) => {
    const { leaf } = peel(sample.decoded);
    const message = messageIn(sample.bytes, ringOf(sample));
    if (message.kind === 'pushPull') {
      expect(leaf.type_name).toBe('pushPull');
      expect(message.join).toBe(leaf.header.Join);
      expect(message.nodes.map(wireNode)).toEqual(leaf.nodes);
      expect([message.userState.length, message.skipped]).toEqual([leaf.header.UserStateLen, 0]);
    } else if (message.kind === 'error') {
      expect([leaf.type_name, message.text]).toEqual(['err', leaf.body.Error]);
    } else if (message.kind === 'ping' || message.kind === 'ack') {
      expect([leaf.type_name, leaf.body]).toEqual([message.kind, wireBody(message)]);
    } else {
      throw new Error(`unexpected ${message.kind}`);
    }
  });

  test.each(vectors)('$name is sealed again to the same bytes', (sample) => {
    const { layers } = peel(sample.decoded);
    const keyring = ringOf(sample);
    const bytes = sealStream(encodeAgain(messageIn(sample.bytes, keyring)), {
      compress: layers.includes('compress'),
      keyring,
      nonce: () => sample.bytes.subarray(6, 18),
    });
    expect(bytes).toEqual(sample.bytes);
  });
});

describe('the reference encoder', () => {
  const plain = vector('ml_pushpull_stream_plain');
  const message = messageIn(plain.bytes);

  test('and ours write the same push/pull', () => {
    if (message.kind !== 'pushPull') throw new Error('a push/pull was expected');
    const { header, nodes } = plain.decoded;
    expect(message.nodes.map(wireNode)).toEqual(nodes);
    expect([message.join, message.userState]).toEqual([header.Join, bytesOfHex('0280')]);
    expect(encodePushPull(message)).toEqual(plain.bytes);
  });

  test('and ours compress and seal it to the same bytes', () => {
    const compressed = vector('ml_pushpull_stream_compressed');
    expect(read(compressed.bytes)).toEqual(message);
    expect(seal(plain.bytes, undefined, true)).toEqual(compressed.bytes);
    const sealed = vector('ml_pushpull_stream_compressed_encrypted_v1_key16');
    const keyring = ringOf(sealed);
    expect(read(sealed.bytes, keyring)).toEqual(message);
    const again = sealStream(plain.bytes, {
      compress: true,
      keyring,
      nonce: () => sealed.bytes.subarray(6, 18),
    });
    expect(again).toEqual(sealed.bytes);
  });

  test('and ours write the same user message', () => {
    const { bytes, decoded } = vector('ml_usermsg_stream');
    const payload = bytesOfHex(decoded.payload_hex);
    expect(read(bytes)).toEqual({ kind: 'user', payload });
    expect(encodeUserStream(payload)).toEqual(bytes);
  });
});

const addr = fc.uint8Array({ minLength: 4, maxLength: 4 });
const node: fc.Arbitrary<PushPullNode> = fc.record({
  name: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }),
  addr,
  port: fc.nat({ max: 65535 }),
  meta: fc.uint8Array({ maxLength: 100 }),
  incarnation: fc.nat({ max: 2 ** 32 - 1 }),
  state: fc.constantFrom(0, 1, 2, 3),
  vsn: fc.uint8Array({ minLength: 6, maxLength: 6 }),
});
const streamMessage: fc.Arbitrary<StreamMessage> = fc.oneof(
  fc.record({
    kind: fc.constant('pushPull' as const),
    join: fc.boolean(),
    nodes: fc.array(node, { maxLength: 8 }),
    userState: fc.uint8Array({ maxLength: 200 }),
    skipped: fc.constant(0),
  }),
  fc.record({ kind: fc.constant('user' as const), payload: fc.uint8Array({ maxLength: 200 }) }),
  fc.record({ kind: fc.constant('error' as const), text: fc.string({ maxLength: 60 }) }),
  fc.record({ kind: fc.constant('ack' as const), seqNo: fc.nat(), payload: fc.option(fc.uint8Array()) }),
  fc
    .dictionary(fc.string({ maxLength: 9 }), fc.uint8Array({ maxLength: 40 }), { maxKeys: 5 })
    .map((record) => ({ kind: 'fanout' as const, body: encodeGossip(record), rest: EMPTY })),
);
/** Sizes of the pieces, used in turn. */
const cuts = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 20 });

function* piecesOf(bytes: Uint8Array, sizes: readonly number[]): Generator<Uint8Array> {
  let at = 0;
  for (let turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length]!;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

describe('any message', () => {
  test('survives clear, compressed and sealed, in whatever pieces it comes', () => {
    fc.assert(
      fc.property(streamMessage, fc.boolean(), fc.boolean(), cuts, (original, compress, sealed, sizes) => {
        const keyring = sealed ? RING : undefined;
        const bytes = seal(encodeAgain(original), keyring, compress);
        expect(read(bytes, keyring)).toEqual(original);
        expect(readPieces(piecesOf(bytes, sizes), keyring)).toEqual(original);
        expect(read(bytes.subarray(0, -1), keyring)).toBe('incomplete');
      }),
      { numRuns: 1000 },
    );
  });

  test('that is damaged is judged the same in whatever pieces it comes', () => {
    const damage = fc.record({ at: fc.nat(), byte: fc.nat({ max: 255 }) });
    fc.assert(
      fc.property(
        streamMessage,
        fc.boolean(),
        fc.array(damage, { minLength: 1, maxLength: 3 }),
        cuts,
        (original, compress, damages, sizes) => {
          const bytes = seal(encodeAgain(original), undefined, compress);
          for (const { at, byte } of damages) bytes[at % bytes.length] = byte;
          const whole = read(bytes);
          const pieces = readPieces(piecesOf(bytes, sizes));
          const comparable = (outcome: Outcome): unknown =>
            typeof outcome === 'object' && 'rest' in outcome ? { ...outcome, rest: null } : outcome;
          expect(comparable(pieces)).toEqual(comparable(whole));
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('of real agents may come byte by byte', () => {
    for (const sample of vectorsOf('tcp_', 'ml_pushpull_')) {
      const keyring = ringOf(sample);
      expect(readPieces(singleBytes(sample.bytes), keyring)).toEqual(read(sample.bytes, keyring));
    }
  });
});

describe('a fanout hello', () => {
  const body = encodeGossip({ op: 'answer', run: new Uint8Array(16) });
  const behind = bytesOfHex('00010203');

  test('is handed over with what came behind it', () => {
    for (const keyring of [undefined, RING]) {
      const bytes = seal(encodeFanoutHello(body), keyring);
      expect(read(concatBytes(bytes, behind), keyring)).toEqual({ kind: 'fanout', body, rest: behind });
      const split = [bytes.subarray(0, 7), concatBytes(bytes.subarray(7), behind)];
      expect(readPieces(split, keyring)).toEqual({ kind: 'fanout', body, rest: behind });
    }
  });

  test('is a map and nothing else', () => {
    expect(read(encodeFanoutHello(encodeGossip([1])))).toEqual({ refused: 'field' });
  });
});

describe('the outer layers', () => {
  const message = encodeAck({ seqNo: 1, payload: null });

  test('must be what this cluster uses', () => {
    expect(read(message, RING)).toEqual({ refused: 'encryption-missing' });
    expect(read(message.subarray(0, 1), RING)).toEqual({ refused: 'encryption-missing' });
    expect(read(seal(message, RING))).toEqual({ refused: 'encryption-unexpected' });
    expect(read(seal(message, new Keyring([new Uint8Array(16)])), RING)).toEqual({ refused: 'decrypt' });
    const labelled = vector('ml_label_stream_encrypted_v1_key16');
    expect(read(labelled.bytes, ringOf(labelled))).toEqual({ refused: 'label' });
  });

  test('are bound to the length in front of them', () => {
    const sealed = seal(message, RING);
    const changed = concatBytes(sealed, EMPTY);
    changed[4] = changed[4]! - 1;
    expect(read(changed, RING)).toEqual({ refused: 'decrypt' });
  });

  test('are refused when they announce too little or too much', () => {
    for (const header of ['0a00000000', '0affffffff', '0a01400001']) {
      expect(read(bytesOfHex(header), RING)).toEqual({ refused: 'decrypt' });
    }
    expect(read(bytesOfHex('0a01400000'), RING)).toBe('incomplete');
  });

  test('are refused when they cannot be unpacked', () => {
    expect(read(bytesOfHex('0982a4416c676f00a3427566a141'))).toEqual({ refused: 'decompress' });
    expect(read(bytesOfHex('09c1'))).toEqual({ refused: 'decompress' });
    expect(read(seal(bytesOfHex('0980'), RING), RING)).toEqual({ refused: 'decompress' });
    expect(read(encodeCompress(new Uint8Array(20 * MIB + 1)))).toEqual({ refused: 'decompress' });
  });

  test('hold one whole message', () => {
    expect(read(encodeCompress(message.subarray(0, 8)))).toEqual({ refused: 'incomplete' });
    expect(read(seal(message.subarray(0, 8), RING), RING)).toEqual({ refused: 'incomplete' });
    expect(read(encodeCompress(encodeCompress(message)))).toEqual({ refused: 'type' });
  });
});

const header = (nodes: number, userState: number): Uint8Array =>
  encodeGossip({ Join: true, Nodes: nodes, UserStateLen: userState }, MessageType.pushPull);

describe('a push/pull', () => {
  const good: PushPullNode = {
    name: 'a',
    addr: bytesOfHex('7f000001'),
    port: 1,
    meta: EMPTY,
    incarnation: 1,
    state: 0,
    vsn: bytesOfHex('010502020505'),
  };

  test('passes over entries that no member can have', () => {
    const nodes = [
      good,
      { ...good, name: '' },
      { ...good, addr: EMPTY },
      { ...good, vsn: bytesOfHex('0105') },
      { ...good, state: 4 as 3 },
      { ...good, name: 'b' },
    ];
    const bytes = encodePushPull({ join: false, nodes, userState: EMPTY });
    expect(read(bytes)).toMatchObject({ nodes: [good, { ...good, name: 'b' }], skipped: 4 });
  });

  test('with an entry that is no map is refused', () => {
    expect(read(concatBytes(header(1, 0), bytesOfHex('01')))).toEqual({ refused: 'field' });
    expect(read(concatBytes(header(1, 0), bytesOfHex('c1')))).toEqual({ refused: 'msgpack' });
  });

  test('may announce much, which costs nothing, but not too much', () => {
    expect(read(header(131_072, 20 * MIB))).toBe('incomplete');
    expect(read(header(131_073, 0))).toEqual({ refused: 'limit' });
    expect(read(header(0, 20 * MIB + 1))).toEqual({ refused: 'limit' });
    expect(read(header(-1, 0))).toEqual({ refused: 'field' });
    expect(read(encodeGossip({ UserMsgLen: 20 * MIB + 1 }, MessageType.user))).toEqual({ refused: 'limit' });
  });

  test('is refused when a header or an entry does not end', () => {
    expect(read(bytesOfHex('0681a178db00010000'))).toEqual({ refused: 'msgpack' });
    expect(read(concatBytes(header(1, 0), bytesOfHex('81a178db00010000')))).toEqual({ refused: 'msgpack' });
  });

  test('is refused above 20 MiB in all', () => {
    const chunks = function* (): Generator<Uint8Array> {
      yield header(0, 20 * MIB);
      for (let sent = 0; sent < 20; sent++) yield new Uint8Array(MIB);
    };
    expect(readPieces(chunks())).toMatchObject({ kind: 'pushPull' });
    let sent = 0;
    const many = function* (): Generator<Uint8Array> {
      yield header(131_072, 20 * MIB);
      const entry = concatBytes(bytesOfHex('81a178dacfff'), new Uint8Array(0xcfff));
      for (; ; sent += entry.length) yield entry;
    };
    expect(readPieces(many())).toEqual({ refused: 'limit' });
    expect(sent).toBeLessThan(20 * MIB);
  });

  test('of 20,000 members takes time in proportion, even in small pieces', () => {
    const nodes = Array.from({ length: 20_000 }, (_, index) => ({ ...good, name: `member-${index}` }));
    const bytes = encodePushPull({ join: true, nodes, userState: EMPTY });
    const reading = (): void => {
      expect(readPieces(piecesOf(bytes, [50]))).toMatchObject({ skipped: 0 });
    };
    // About 0.1 s. Looking again at what was read would take minutes.
    expect(processorMs(reading)).toBeLessThan(10_000);
  });
});

test('a message type that streams do not have is refused at its first byte', () => {
  for (const type of [1, 3, 4, 5, 7, 11, 12, 14, 239, 255]) {
    expect(read(Uint8Array.of(type))).toEqual({ refused: 'type' });
  }
});

test('nothing is no message', () => {
  expect(read(EMPTY)).toBe('incomplete');
  expect(readPieces([EMPTY, encodeAck({ seqNo: 1, payload: null }), EMPTY])).toMatchObject({
    kind: 'ack',
    seqNo: 1,
  });
});
