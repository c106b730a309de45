import fc from 'fast-check';
import nacl from 'tweetnacl';
import { expect, test } from 'vitest';
import { DIRECTIONS, FrameCipher } from '../../src/identity/frame-cipher.ts';
import { nodeKeyOfSeed } from '../../src/identity/node-key.ts';
import {
  type AskerFrame,
  encodeAskerBody,
  encodeNodeFrame,
  FrameKind,
} from '../../src/identity/sealed-frames.ts';
import { concatBytes, utf8, writeU32 } from '../../src/lib/bytes.ts';
import {
  accepted,
  answerPieces,
  askerChannel,
  chunked,
  craft,
  cuts,
  decodeErrorOf,
  ended,
  heard,
  nodeChannel,
  nodeKey,
  output,
  requestId,
  secret,
} from './channel-fixtures.ts';
import { seedOf } from './fixtures.ts';

test('a hello with any one byte changed opens nothing', () => {
  const [hello, ...rest] = answerPieces();
  for (let offset = 0; offset < hello!.length; offset++) {
    const changed = Uint8Array.from(hello!);
    changed[offset]! ^= 1 << (offset % 8);
    const { kinds, isComplete } = heard([changed, ...rest, new Uint8Array(70_000)]);
    if (kinds.length > 0 || isComplete) expect.fail(`a hello with byte ${offset} changed was taken`);
  }
});

test('a frame with any one byte changed is not given out, and the answer is never complete', () => {
  const pieces = answerPieces();
  const kinds = heard(pieces).kinds;
  for (let at = 1; at < pieces.length; at++) {
    for (let offset = 0; offset < pieces[at]!.length; offset++) {
      const changed = Uint8Array.from(pieces[at]!);
      changed[offset]! ^= 1 << (offset % 8);
      const result = heard([
        ...pieces.slice(0, at),
        changed,
        ...pieces.slice(at + 1),
        new Uint8Array(70_000),
      ]);
      if (result.isComplete || result.reason === undefined)
        expect.fail(`byte ${offset} of frame ${at} was changed`);
      expect(result.kinds).toEqual(kinds.slice(0, at));
    }
  }
});

test('a frame that is dropped, repeated or moved is refused where it is', () => {
  const pieces = answerPieces();
  for (let at = 1; at < pieces.length; at++) {
    if (at < pieces.length - 1) {
      expect(heard(pieces.toSpliced(at, 1))).toMatchObject({ reason: 'tag', isComplete: false });
      const swapped = pieces.toSpliced(at, 2, pieces[at + 1]!, pieces[at]!);
      expect(heard(swapped)).toMatchObject({ kinds: heard(pieces).kinds.slice(0, at), reason: 'tag' });
    }
    const repeated = heard(pieces.toSpliced(at, 0, pieces[at]!));
    expect(repeated.reason).toBe(at === pieces.length - 1 ? 'order' : 'tag');
  }
  expect(heard(pieces.toSpliced(0, 0, pieces[0]!)).reason).toBe('tag');
  expect(heard(pieces.slice(1)).kinds).toEqual([]);
});

test('after a refusal the channel takes nothing any more', () => {
  const pieces = answerPieces();
  const asker = askerChannel();
  asker.receive(pieces[0]!);
  expect(decodeErrorOf(() => asker.receive(pieces[2]!)).reason).toBe('tag');
  expect(decodeErrorOf(() => asker.receive(pieces[1]!)).reason).toBe('broken');
});

test('a single byte after the end is refused, in the same chunk or in the next', () => {
  const pieces = answerPieces();
  for (const count of [1, 3, 4, 40]) {
    const extra = new Uint8Array(count);
    expect(heard([...pieces, extra])).toMatchObject({ reason: 'order', isComplete: false });
    expect(heard([concatBytes(...pieces, extra)])).toMatchObject({ reason: 'order', isComplete: false });
  }
});

test('a frame of one direction, or of another request, does not open in the other', () => {
  const frame = new FrameCipher(secret, requestId, DIRECTIONS.nodeToAsker).seal(
    FrameKind.go,
    new Uint8Array(0),
  );
  const open =
    (id: Uint8Array, direction: string): (() => unknown) =>
    () =>
      new FrameCipher(secret, id, direction).open(frame.subarray(4));
  expect(open(requestId, DIRECTIONS.nodeToAsker)()).toHaveLength(1);
  expect(decodeErrorOf(open(requestId, DIRECTIONS.askerToNode)).reason).toBe('tag');
  expect(decodeErrorOf(open(new Uint8Array(16), DIRECTIONS.nodeToAsker)).reason).toBe('tag');
});

test('the hello of another run is refused, even when its reply key is the same', () => {
  const otherRequest = nodeChannel({ requestId: seedOf('other').subarray(0, 16) });
  const error = decodeErrorOf(() => askerChannel().receive(otherRequest.hello));
  expect([error.reason, error.message]).toEqual(['hello', 'the hello is for another request']);
  const otherKey = nacl.box.keyPair.fromSecretKey(seedOf('another reply key')).publicKey;
  expect(heard([nodeChannel({ replyKey: otherKey }).hello]).reason).toBe('hello');
});

test("the hello of one node under another node's keys is refused", () => {
  const other = nodeKeyOfSeed(seedOf('web-2'));
  const hello = nodeChannel().hello;
  const withSignKey = Uint8Array.from(hello);
  withSignKey.set(other.signPublic, 4);
  const withBoxKey = Uint8Array.from(hello);
  withBoxKey.set(other.boxPublic, 36);
  const withBoth = Uint8Array.from(hello);
  withBoth.set(other.identity, 4);
  for (const forged of [withSignKey, withBoxKey, withBoth]) {
    expect(heard([forged])).toEqual({ kinds: [], reason: 'hello', isComplete: false });
  }
});

test('a node cannot claim the signing key of another with a box of its own', () => {
  const victim = nodeKeyOfSeed(seedOf('web-2'));
  const claimed = { ...nodeKey, identity: concatBytes(victim.signPublic, nodeKey.boxPublic) };
  expect(heard([nodeChannel({ nodeKey: claimed }).hello]).reason).toBe('hello');
});

test('a hello from a box key of small order, which needs no secret, is refused', () => {
  const weak = new Uint8Array(32);
  const attacker = {
    ...nodeKey,
    boxPublic: weak,
    identity: concatBytes(nodeKey.signPublic, weak),
    // With a point of small order both sides of the exchange come to the same known key.
    box: (plaintext: Uint8Array, nonce: Uint8Array) => nacl.box(plaintext, nonce, weak, seedOf('any')),
  };
  expect(heard([nodeChannel({ nodeKey: attacker }).hello]).reason).toBe('hello');
});

test('gigantic lengths are refused as soon as they are read', () => {
  const lengthOf = (value: number): Uint8Array => {
    const bytes = new Uint8Array(4);
    writeU32(bytes, 0, value);
    return bytes;
  };
  const hello = nodeChannel().hello;
  for (const length of [4093, 65_536, 0x7fffffff, 0xffffffff]) {
    expect(heard([lengthOf(length)]).reason).toBe('oversize');
  }
  for (const length of [65_793, 0x80000000, 0xffffffff]) {
    expect(heard([hello, lengthOf(length)])).toMatchObject({ kinds: ['hello'], reason: 'oversize' });
  }
  for (const length of [22, 0xffffffff]) {
    expect(decodeErrorOf(() => nodeChannel().receive(lengthOf(length))).reason).toBe('oversize');
  }
  for (const length of [0, 1, 16]) {
    expect(heard([hello, lengthOf(length), new Uint8Array(length)]).reason).toBe(
      length === 0 ? 'short' : 'short',
    );
  }
});

test('whatever comes before the hello, or instead of it, gives a DecodeError or waits', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), cuts, (bytes, lengths) => {
      const framed = concatBytes(new Uint8Array(4), bytes);
      writeU32(framed, 0, bytes.length);
      for (const stream of [bytes, framed]) {
        const result = heard(chunked(stream, lengths));
        expect(result.kinds).toEqual([]);
        expect(result.isComplete).toBe(false);
      }
    }),
    { numRuns: 100 },
  );
});

test('a node that breaks the order is refused', () => {
  const end = (code = 0): { kind: number; body: Uint8Array } =>
    encodeNodeFrame({
      ...ended,
      kind: 'end',
      code,
      outputHash: new Uint8Array(32),
      auditHead: null,
      signature: new Uint8Array(64),
    });
  const yes = encodeNodeFrame(accepted);
  const no = encodeNodeFrame({ kind: 'denied', code: 'x', rule: '', reason: '' });
  const orderOf = (...plaintexts: { kind: number; body: Uint8Array }[]): string | undefined =>
    heard(craft(...plaintexts)).reason;
  expect(orderOf(output('stdout', 'early'))).toBe('order');
  expect(orderOf(end())).toBe('order');
  expect(orderOf(yes, yes)).toBe('order');
  // What was accepted may be refused when its turn comes, but not once it has begun to speak.
  expect(orderOf(yes, no)).toBeUndefined();
  expect(orderOf(yes, output('stdout', 'x'), no)).toBe('order');
  expect(orderOf(no, output('stdout', 'late'))).toBe('order');
  expect(orderOf(yes, output('stdout', ''))).toBe('field');
  expect(orderOf(yes, output('stdout', 'x'.repeat(65_537)))).toBe('field');
  expect(orderOf(yes, { kind: 99, body: utf8('?') })).toBe('kind');
  expect(orderOf({ kind: FrameKind.go, body: utf8('') })).toBe('kind');
  expect(orderOf({ kind: FrameKind.accepted, body: utf8('nonsense') })).toMatch(/field|trailing/);
  expect(orderOf(yes, output('stdout', 'more than is counted'), end())).toBe('totals');
  expect(orderOf(yes, output('stdout', 'hello'), end())).toBe('output-hash');
  expect(orderOf(yes, end(256))).toBe('field');
});

test('an end that another key signed, or that tells another outcome, is refused', () => {
  const honest = nodeChannel();
  const opened = new FrameCipher(secret, requestId, DIRECTIONS.nodeToAsker);
  opened.open(honest.seal(accepted).subarray(4));
  const plaintext = opened.open(honest.sealEnd(ended).subarray(4));
  const yes = encodeNodeFrame(accepted);
  const sent = { kind: plaintext[0]!, body: Uint8Array.from(plaintext.subarray(1)) };
  expect(heard(craft(yes, sent)).isComplete).toBe(true);
  // fixarray of 10, then the exit code.
  const otherCode = { kind: sent.kind, body: sent.body.with(1, 7) };
  expect(heard(craft(yes, otherCode))).toMatchObject({ reason: 'signature', isComplete: false });
  const otherSignature = { kind: sent.kind, body: sent.body.with(-1, sent.body.at(-1)! ^ 1) };
  expect(heard(craft(yes, otherSignature)).reason).toBe('signature');
});

test('nobody but the asker of this run can say go', () => {
  const node = nodeChannel();
  const asker = askerChannel();
  asker.receive(node.hello);
  const go = asker.seal({ kind: 'go' });
  for (let offset = 0; offset < go.length; offset++) {
    const changed = Uint8Array.from(go);
    changed[offset]! ^= 1;
    const listening = nodeChannel();
    const words: unknown[] = [];
    expect(
      decodeErrorOf(() => words.push(...listening.receive(changed), ...listening.receive(new Uint8Array(40))))
        .reason,
    ).toMatch(/tag|oversize|short/);
    expect(words).toEqual([]);
  }
  expect(decodeErrorOf(() => nodeChannel({ secret: seedOf('a later run') }).receive(go)).reason).toBe('tag');
  const ownFrame = nodeChannel().seal({ kind: 'failed', reason: '', hint: '' });
  expect(decodeErrorOf(() => nodeChannel().receive(ownFrame)).reason).toMatch(/tag|oversize/);
});

test('go is heard once, and nothing after cancel', () => {
  const say = (...kinds: ('go' | 'cancel' | 'hold')[]): (() => unknown) => {
    const cipher = new FrameCipher(secret, requestId, DIRECTIONS.askerToNode);
    const bytes = concatBytes(...kinds.map((kind) => cipher.seal(FrameKind[kind], new Uint8Array(0))));
    return () => nodeChannel().receive(bytes);
  };
  expect(say('cancel')()).toEqual([{ kind: 'cancel' }]);
  expect(decodeErrorOf(say('go', 'go')).reason).toBe('order');
  expect(decodeErrorOf(say('cancel', 'go')).reason).toBe('order');
  expect(decodeErrorOf(say('go', 'cancel', 'cancel')).reason).toBe('order');
  expect(say('hold', 'hold', 'go')()).toMatchObject([{ kind: 'hold' }, { kind: 'hold' }, { kind: 'go' }]);
  expect(decodeErrorOf(say('go', 'hold')).reason).toBe('order');
  expect(decodeErrorOf(say('cancel', 'hold')).reason).toBe('order');
  const cipher = new FrameCipher(secret, requestId, DIRECTIONS.askerToNode);
  const node = nodeChannel();
  expect(decodeErrorOf(() => node.receive(cipher.seal(FrameKind.stdout, new Uint8Array(0)))).reason).toBe(
    'kind',
  );
  expect(decodeErrorOf(() => node.receive(cipher.seal(FrameKind.go, new Uint8Array(0)))).reason).toBe(
    'broken',
  );
});

/** Frames under the asker's key, with any content: what a broken asker could send. */
function sayRaw(...plaintexts: readonly { kind: number; body: Uint8Array }[]): Uint8Array {
  const cipher = new FrameCipher(secret, requestId, DIRECTIONS.askerToNode);
  return concatBytes(...plaintexts.map(({ kind, body }) => cipher.seal(kind, body)));
}

function say(...kinds: readonly AskerFrame['kind'][]): () => AskerFrame[] {
  const frames = kinds.map((kind): AskerFrame => (kind === 'deadline' ? { kind, timeoutMs: 5 } : { kind }));
  const bytes = sayRaw(
    ...frames.map((frame) => ({ kind: FrameKind[frame.kind], body: encodeAskerBody(frame) })),
  );
  return () => nodeChannel().receive(bytes);
}

test('a deadline may come at any time before the cancel, a hold before the go only', () => {
  expect(say('hold', 'deadline', 'hold', 'go', 'deadline', 'cancel')()).toHaveLength(6);
  expect(decodeErrorOf(say('go', 'deadline', 'go')).reason).toBe('order');
  expect(decodeErrorOf(say('go', 'deadline', 'hold')).reason).toBe('order');
  for (const late of ['go', 'hold', 'deadline', 'cancel'] as const) {
    expect(decodeErrorOf(say('cancel', late)).reason).toBe('order');
    expect(decodeErrorOf(say('go', 'cancel', late)).reason).toBe('order');
  }
});

test('an asker that holds or moves the deadline without end is refused', () => {
  const many = (kind: 'hold' | 'deadline', count: number): AskerFrame['kind'][] => Array(count).fill(kind);
  expect(say(...many('hold', 9999), 'go')()).toHaveLength(10_000);
  expect(decodeErrorOf(say(...many('hold', 10_001))).reason).toBe('count');
  const half = many('deadline', 4999);
  expect(say(...half, 'go', ...half, 'cancel')()).toHaveLength(10_000);
  expect(decodeErrorOf(say(...half, 'go', ...half, 'deadline', 'deadline')).reason).toBe('count');
});

test("an asker's frame that is too short, too long or of a node's kind is refused", () => {
  const reasonOf = (kind: number, bytes: number): string =>
    decodeErrorOf(() => nodeChannel().receive(sayRaw({ kind, body: new Uint8Array(bytes) }))).reason;
  for (const bytes of [0, 1, 3]) expect(reasonOf(FrameKind.deadline, bytes)).toBe('field');
  for (const kind of [FrameKind.go, FrameKind.cancel, FrameKind.hold]) {
    for (const bytes of [1, 4]) expect(reasonOf(kind, bytes)).toBe('field');
  }
  for (const kind of [FrameKind.deadline, FrameKind.go, FrameKind.hold]) {
    expect(reasonOf(kind, 5)).toBe('oversize');
  }
  for (const kind of [0, FrameKind.accepted, FrameKind.end, 31, 36, 255]) {
    expect(reasonOf(kind, 0)).toBe('kind');
  }
});

test('a deadline with any one byte changed, sent twice, or of another run moves nothing', () => {
  const frame = sayRaw({
    kind: FrameKind.deadline,
    body: encodeAskerBody({ kind: 'deadline', timeoutMs: 60_000 }),
  });
  for (let offset = 0; offset < frame.length; offset++) {
    const changed = Uint8Array.from(frame);
    changed[offset]! ^= 1 << (offset % 8);
    const listening = nodeChannel();
    const words: AskerFrame[] = [];
    decodeErrorOf(() => words.push(...listening.receive(changed), ...listening.receive(new Uint8Array(40))));
    expect(words).toEqual([]);
  }
  const node = nodeChannel();
  expect(node.receive(frame)).toEqual([{ kind: 'deadline', timeoutMs: 60_000 }]);
  expect(decodeErrorOf(() => node.receive(frame)).reason).toBe('tag');
  expect(decodeErrorOf(() => nodeChannel({ requestId: new Uint8Array(16) }).receive(frame)).reason).toBe(
    'tag',
  );
});
