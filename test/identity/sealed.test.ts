import fc from 'fast-check';
import { expect, test } from 'vitest';
import { verifyEd25519 } from '../../src/identity/ed25519.ts';
import type { AskerEvent, NodeChannel, NodeFrame } from '../../src/identity/sealed.ts';
import { sshsigPreimage } from '../../src/identity/sshsig.ts';
import { AssertionError } from '../../src/lib/assert.ts';
import { concatBytes, EMPTY, utf8 } from '../../src/lib/bytes.ts';
import { encodeRpc } from '../../src/lib/msgpack.ts';
import {
  accepted,
  answerPieces,
  askerChannel,
  chunked,
  cuts,
  ended,
  heard,
  nodeChannel,
  nodeKey,
  requestId,
  unixSeconds,
} from './channel-fixtures.ts';

test('an answer arrives whole and in order, with who sent it', () => {
  const asker = askerChannel();
  const events = answerPieces().flatMap((piece) => asker.receive(piece));
  expect(events.map((event) => event.kind)).toEqual([
    'hello',
    'accepted',
    'stdout',
    'stderr',
    'stdout',
    'end',
  ]);
  expect(events[0]).toEqual({ kind: 'hello', node: 'web-1', identity: nodeKey.identity, unixSeconds });
  expect(events[1]).toEqual(accepted);
  expect(events.flatMap((event) => ('data' in event ? [Buffer.from(event.data).toString()] : []))).toEqual([
    'hello',
    'warn',
    'again',
  ]);
  expect(events[5]).toMatchObject(ended);
  expect(asker.isComplete).toBe(true);
});

test.each<[Exclude<NodeFrame, { kind: 'end' }>]>([
  [{ kind: 'denied', code: 'no-rule', rule: '', reason: 'no rule allows "rm"' }],
  [{ kind: 'failed', reason: 'bwrap: not found', hint: 'apt install bubblewrap' }],
])('%o alone is a complete answer', (frame) => {
  const node = nodeChannel();
  const asker = askerChannel();
  asker.receive(node.hello);
  expect(asker.isComplete).toBe(false);
  expect(asker.receive(node.seal(frame))).toEqual([frame]);
  expect(asker.isComplete).toBe(true);
});

test('a node may fail after it accepted, and a signal takes the place of an exit code', () => {
  const failing = nodeChannel();
  const frames = [
    failing.hello,
    failing.seal(accepted),
    failing.seal({ kind: 'failed', reason: 'x', hint: '' }),
  ];
  expect(heard(frames)).toEqual({
    kinds: ['hello', 'accepted', 'failed'],
    reason: undefined,
    isComplete: true,
  });
  const killed = nodeChannel();
  const asker = askerChannel();
  asker.receive(concatBytes(killed.hello, killed.seal(accepted)));
  const end = { ...ended, code: null, signal: 'SIGKILL', cause: 'timeout', durationMs: 29.6 } as const;
  expect(asker.receive(killed.sealEnd(end))).toMatchObject([{ ...end, durationMs: 30 }]);
});

test('the end is signed by the node over request, name, outcome and output', () => {
  const asker = askerChannel();
  const end = answerPieces()
    .flatMap((piece) => asker.receive(piece))
    .at(-1)!;
  if (end.kind !== 'end') throw new Error('no end');
  const { code, signal, cause, stdoutBytes, stderrBytes, outputHash, signature } = end;
  const facts = [code, signal, cause, null, stdoutBytes, stderrBytes];
  const outcome = [requestId, 'web-1', ...facts, outputHash, 0, EMPTY];
  const preimage = sshsigPreimage('fanout-node-v1', encodeRpc(outcome));
  expect(verifyEd25519(nodeKey.signPublic, preimage, signature)).toBe(true);
  const node = nodeChannel();
  node.seal(accepted);
  for (const data of ['hello', 'warn', 'again']) {
    node.seal({ kind: data === 'warn' ? 'stderr' : 'stdout', data: utf8(data) });
  }
  expect(node.endOutput()).toEqual(outputHash);
  expect(() => node.seal({ kind: 'stdout', data: utf8('late') })).toThrow(AssertionError);
  node.sealEnd(ended);
  expect(node.endOutput()).toEqual(outputHash);
});

test("the end carries the head of the node's audit log, under its signature", () => {
  const hash = 'ab'.repeat(32);
  const heads = [{ seq: 812, hash }, { seq: 1, hash }, null];
  for (const auditHead of heads) {
    const node = nodeChannel();
    const asker = askerChannel();
    asker.receive(node.hello);
    asker.receive(node.seal(accepted));
    expect(asker.receive(node.sealEnd(ended, auditHead))).toMatchObject([{ kind: 'end', auditHead }]);
  }
  const node = nodeChannel();
  node.seal(accepted);
  expect(() => node.sealEnd(ended, { seq: 0, hash })).toThrow(AssertionError);
});

test('output that is cut elsewhere has another hash, so none can be passed off as the other', () => {
  const hashOf = (...parts: string[]): Uint8Array => {
    const node = nodeChannel();
    node.seal(accepted);
    for (const part of parts) node.seal({ kind: 'stdout', data: utf8(part) });
    return node.endOutput();
  };
  // Without lengths in the hash, "a" then "b" on stdout would equal "a\x01b".
  for (const joined of ['a\x01b', 'a\x01\0\0\0\0b', 'a\x01\0\0\0\x01b']) {
    expect(hashOf('a', 'b')).not.toEqual(hashOf(joined));
  }
});

const frames = fc.array(
  fc.record({
    kind: fc.constantFrom('stdout' as const, 'stderr' as const),
    data: fc.uint8Array({ minLength: 1, maxLength: 900 }),
  }),
  { maxLength: 12 },
);
test('any chunking gives the same frames', () => {
  fc.assert(
    fc.property(frames, cuts, (list, lengths) => {
      const node = nodeChannel();
      const total = { stdout: 0, stderr: 0 };
      const pieces = [node.hello, node.seal(accepted)];
      for (const frame of list) {
        total[frame.kind] += frame.data.length;
        pieces.push(node.seal(frame));
      }
      pieces.push(node.sealEnd({ ...ended, stdoutBytes: total.stdout, stderrBytes: total.stderr }));
      const asker = askerChannel();
      const events: AskerEvent[] = [];
      for (const chunk of chunked(concatBytes(...pieces), lengths)) {
        for (const event of asker.receive(chunk)) {
          events.push('data' in event ? { ...event, data: Uint8Array.from(event.data) } : event);
        }
        chunk.fill(0xee);
      }
      expect(events.slice(2, -1)).toEqual(list);
      expect(asker.isComplete).toBe(true);
      expect(events.at(-1)!.kind).toBe('end');
    }),
    { numRuns: 100 },
  );
});

test('frames stay what they were when later ones arrive', () => {
  const node = nodeChannel();
  const asker = askerChannel();
  const bytes = concatBytes(
    node.hello,
    node.seal(accepted),
    node.seal({ kind: 'stdout', data: new Uint8Array(60_000).fill(1) }),
    node.seal({ kind: 'stdout', data: new Uint8Array(60_000).fill(2) }),
  );
  const events = chunked(bytes, [1000]).flatMap((chunk) => asker.receive(chunk));
  const data = events.flatMap((event) => ('data' in event ? [event.data] : []));
  expect(data.map((bytes) => new Set(bytes))).toEqual([new Set([1]), new Set([2])]);
});

const deadline = fc.record({
  kind: fc.constant('deadline' as const),
  timeoutMs: fc.nat({ max: 0xffff_ffff }),
});
const hold = fc.constant({ kind: 'hold' as const });
test('the node hears all that an asker says, however it is cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(hold, deadline), { maxLength: 8 }),
      fc.array(deadline, { maxLength: 8 }),
      cuts,
      (before, after, lengths) => {
        const node = nodeChannel();
        const asker = askerChannel();
        asker.receive(node.hello);
        const said = [...before, { kind: 'go' as const }, ...after, { kind: 'cancel' as const }];
        const bytes = concatBytes(...said.map((frame) => asker.seal(frame)));
        expect(chunked(bytes, lengths).flatMap((chunk) => node.receive(chunk))).toEqual(said);
      },
    ),
    { numRuns: 100 },
  );
});

test('a node may deny what it accepted, as long as nothing was output', () => {
  const node = nodeChannel();
  const denied = { kind: 'denied', code: 'deny-rule', rule: 'no-restarts', reason: 'not now' } as const;
  const frames = [node.hello, node.seal(accepted), node.seal(denied)];
  expect(heard(frames)).toEqual({
    kinds: ['hello', 'accepted', 'denied'],
    reason: undefined,
    isComplete: true,
  });
  const late = nodeChannel();
  late.seal(accepted);
  late.seal({ kind: 'stdout', data: utf8('x') });
  expect(() => late.seal(denied)).toThrow(AssertionError);
});

test('texts that hold control characters or are too long arrive plain and cut', () => {
  const node = nodeChannel();
  const asker = askerChannel();
  asker.receive(node.hello);
  const reason = `spawning failed:\n\u001b[31m ${'ü'.repeat(3000)}`;
  const [frame] = asker.receive(node.seal({ kind: 'failed', reason, hint: '\ud800' }));
  if (frame?.kind !== 'failed') throw new Error('no frame');
  expect(frame.reason.startsWith('spawning failed:  [31m üü')).toBe(true);
  expect(utf8(frame.reason).length).toBeLessThanOrEqual(4096);
  expect(utf8(frame.reason).length).toBeGreaterThan(4090);
  expect(frame.hint).toBe('\ufffd');
});

test('our own mistakes are assertions: wrong order, output of no or too many bytes, wrong counts', () => {
  const fresh = (): NodeChannel => {
    const node = nodeChannel();
    node.seal(accepted);
    return node;
  };
  const data = utf8('hello');
  expect(() => nodeChannel().seal({ kind: 'stdout', data })).toThrow(AssertionError);
  expect(() => nodeChannel().sealEnd(ended)).toThrow(AssertionError);
  expect(() => fresh().seal(accepted)).toThrow(AssertionError);
  expect(() => fresh().seal({ kind: 'stdout', data: new Uint8Array(0) })).toThrow(AssertionError);
  expect(() => fresh().seal({ kind: 'stdout', data: new Uint8Array(65_537) })).toThrow(AssertionError);
  const over = fresh();
  over.sealEnd(ended);
  expect(() => over.seal({ kind: 'stdout', data })).toThrow(AssertionError);
  expect(() => over.sealEnd(ended)).toThrow(AssertionError);
  expect(() => askerChannel().seal({ kind: 'go' })).toThrow(AssertionError);
  for (const timeoutMs of [-1, 0.5, Number.NaN, 2 ** 32]) {
    const asker = askerChannel();
    asker.receive(nodeChannel().hello);
    expect(() => asker.seal({ kind: 'deadline', timeoutMs })).toThrow(AssertionError);
  }
  expect(() => nodeChannel({ secret: new Uint8Array(16) })).toThrow(AssertionError);
  const node = fresh();
  node.seal({ kind: 'stdout', data });
  expect(() => node.sealEnd({ ...ended, stdoutBytes: 4 })).toThrow(AssertionError);
});
