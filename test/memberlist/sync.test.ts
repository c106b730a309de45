import { describe, expect, test } from 'vitest';
import { concatBytes, EMPTY, utf8 } from '../../src/lib/bytes.ts';
import { encodeGossip } from '../../src/lib/msgpack.ts';
import { seededRng } from '../../src/lib/rng.ts';
import { Keyring } from '../../src/memberlist/keyring.ts';
import { Memberlist } from '../../src/memberlist/memberlist.ts';
import {
  encodeAck,
  encodeAlive,
  encodePing,
  encodeSuspect,
  MessageType,
} from '../../src/memberlist/messages.ts';
import type { Output, StreamId } from '../../src/memberlist/ports.ts';
import {
  encodeFanoutHello,
  encodePushPull,
  encodeUserStream,
  type PushPullNode,
  type StreamMessage,
  StreamReader,
  sealStream,
} from '../../src/memberlist/stream.ts';
import { addrOf, aliveOf, configOf, PORT, recordingDelegate, remoteOf, sentOf } from './harness.ts';

const FROM = { host: '10.0.0.1', port: 40_000 };
const RING = new Keyring([new Uint8Array(16).fill(3)]);
const MIB = 1024 * 1024;

/** A whole memberlist member, and what its delegate was told. */
class Node {
  readonly delegate = recordingDelegate();
  readonly memberlist: Memberlist;
  readonly keyring: Keyring | undefined;

  constructor(options: { name?: string; index?: number; keyring?: Keyring; now?: number } = {}) {
    const { name = 'self', index = 0, keyring, now = 0 } = options;
    this.keyring = keyring;
    const config = { ...configOf(keyring === undefined ? {} : { keyring }), name, addr: addrOf(index) };
    this.memberlist = new Memberlist(config, this.delegate, seededRng(index + 1), now);
    this.memberlist.start(now);
    this.delegate.told.length = 0;
  }

  seal(message: Uint8Array): Uint8Array {
    return sealStream(message, { compress: false, keyring: this.keyring, nonce: () => new Uint8Array(12) });
  }

  /** One inbound stream that says `bytes`; returns what the member does about it. */
  hear(bytes: Uint8Array, now = 0): { id: StreamId; outputs: Output[] } {
    this.memberlist.drain();
    const id = this.memberlist.acceptedStream(now);
    this.memberlist.receivedStream(now, id, FROM, bytes);
    return { id, outputs: this.memberlist.drain() };
  }

  /** The only stream that the member has just asked to open. */
  dialled(): Extract<Output, { kind: 'dial' }> {
    const [dial] = this.memberlist.drain().filter((output) => output.kind === 'dial');
    if (dial === undefined) throw new Error('no stream was opened');
    return dial;
  }
}

function read(bytes: Uint8Array, keyring?: Keyring): StreamMessage {
  const message = new StreamReader(keyring).push(bytes);
  if (message === undefined) throw new Error('the message is incomplete');
  return message;
}

function written(outputs: readonly Output[], keyring?: Keyring): StreamMessage[] {
  return outputs.flatMap((output) => (output.kind === 'write' ? [read(output.bytes, keyring)] : []));
}

/** Joins `a` through `b`, with everything that both write. Returns how it ended. */
function exchange(a: Node, b: Node, now = 0): string | undefined {
  let ended: string | undefined = 'never';
  a.memberlist.join(now, { host: '10.0.0.9', port: PORT }, (_now, failure) => {
    ended = failure;
  });
  const dial = a.dialled();
  const { outputs } = b.hear(dial.bytes, now);
  for (const output of outputs) {
    if (output.kind === 'write') a.memberlist.receivedStream(now, dial.id, FROM, output.bytes);
    if (output.kind === 'close') a.memberlist.closedStream(now, dial.id);
  }
  return ended;
}

const pushPull = (
  nodes: readonly PushPullNode[],
  more: { join?: boolean; userState?: Uint8Array } = {},
): Uint8Array => encodePushPull({ join: false, nodes, userState: EMPTY, ...more });

describe('push/pull', () => {
  test.each([undefined, RING])('after one exchange both know each other, encrypted or not', (keyring) => {
    const options = keyring === undefined ? {} : { keyring };
    const a = new Node({ name: 'a', index: 1, ...options });
    const b = new Node({ name: 'b', index: 2, ...options });
    expect(exchange(a, b)).toBeUndefined();
    for (const node of [a, b]) {
      expect(
        node.memberlist.table
          .all()
          .map(({ name, state }) => [name, state])
          .sort(),
      ).toEqual([
        ['a', 'alive'],
        ['b', 'alive'],
      ]);
    }
  });

  test('is answered with the state from before the merge and the flag of the asker, then closed', () => {
    for (const join of [true, false]) {
      const node = new Node();
      node.delegate.userState = Uint8Array.of(2, 2);
      const { id, outputs } = node.hear(pushPull([remoteOf('n1')], { join }));
      const [answer] = written(outputs);
      expect(answer).toMatchObject({ kind: 'pushPull', join, userState: Uint8Array.of(2, 2) });
      expect(answer?.kind === 'pushPull' && answer.nodes.map(({ name }) => name)).toEqual(['self']);
      expect(outputs.at(-1)).toEqual({ kind: 'close', id });
      expect(node.delegate.told).toEqual([['joined', 'n1']]);
    }
  });

  test('tells of every node, whatever its state', () => {
    const node = new Node();
    node.hear(pushPull(['n1', 'n2', 'n3'].map((name, i) => remoteOf(name, { addr: addrOf(i + 1) }))));
    node.hear(pushPull([remoteOf('n1', { state: 3 }), remoteOf('n2', { state: 1 })]));
    const [answer] = written(node.hear(pushPull([])).outputs);
    const states = answer?.kind === 'pushPull' ? answer.nodes.map(({ name, state }) => [name, state]) : [];
    expect(states.sort()).toEqual([
      ['n1', 3],
      ['n2', 1],
      ['n3', 0],
      ['self', 0],
    ]);
  });

  test('only who joins by its own will is told so: the flag of an asker or an echo proves nothing', () => {
    const userState = Uint8Array.of(1);
    const [asked, asker] = [new Node({ name: 'b', index: 2 }), new Node({ name: 'a', index: 1 })];
    for (const node of [asked, asker]) node.delegate.userState = userState;
    expect(exchange(asker, asked)).toBeUndefined();
    expect(asker.delegate.merged).toEqual([true]);
    expect(asked.delegate.merged).toEqual([false]);
    // Periodic anti-entropy, answered by somebody who claims that it was a join.
    asker.memberlist.tick(30_000);
    const dial = asker.dialled();
    asker.memberlist.receivedStream(30_000, dial.id, FROM, pushPull([], { join: true, userState }));
    expect(asker.delegate.merged).toEqual([true, false]);
  });

  test('with a cluster of other versions fails, names it, and takes nothing', () => {
    const node = new Node();
    const old = remoteOf('old', { vsn: Uint8Array.of(1, 1, 1, 2, 5, 5) });
    let ended: string | undefined;
    node.memberlist.join(0, { host: '10.0.0.1', port: PORT }, (_now, failure) => {
      ended = failure;
    });
    const { id } = node.dialled();
    const left = remoteOf('self', { state: 3, incarnation: 9 });
    node.memberlist.receivedStream(0, id, FROM, pushPull([old, left], { userState: Uint8Array.of(1) }));
    expect(ended).toContain('10.0.0.1:7946: incompatible versions: old speaks [1, 1, 1, 2, 5, 5]');
    expect(node.memberlist.table.size).toBe(1);
    expect(node.memberlist.self?.incarnation).toBe(1);
    expect(node.delegate.merged).toEqual([]);
    expect(node.memberlist.counters.get('merge-incompatible')).toBe(1);
  });

  test('one member without usable versions does not keep the others from merging', () => {
    const node = new Node();
    for (const vsn of [EMPTY, new Uint8Array(6), Uint8Array.of(1, 1, 1, 2, 5, 5)]) {
      node.memberlist.receivedPacket(0, FROM, encodeAlive(aliveOf('odd', { vsn })));
      node.hear(pushPull([remoteOf('odd', { vsn }), remoteOf('good')]));
    }
    expect(node.delegate.told).toEqual([['joined', 'good']]);
    expect(node.memberlist.counters.get('merge-incompatible')).toBe(0);
    const [answer] = written(node.hear(pushPull([])).outputs);
    expect(answer?.kind === 'pushPull' && answer.nodes.every(({ vsn }) => vsn[0] === 1)).toBe(true);
  });

  test('an asker that is refused still gets its answer, and the stream ends', () => {
    const node = new Node();
    const { id, outputs } = node.hear(pushPull([remoteOf('old', { vsn: EMPTY })], { join: true }));
    expect(written(outputs)).toMatchObject([{ kind: 'pushPull', join: true }]);
    expect(outputs.at(-1)).toEqual({ kind: 'close', id });
    expect(node.memberlist.table.size).toBe(1);
  });

  test('happens with live peers only', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const node = new Node({ index: seed });
      node.hear(pushPull(['n1', 'n2', 'n3'].map((name, i) => remoteOf(name, { addr: addrOf(100 + i) }))));
      node.hear(pushPull([remoteOf('n2', { state: 3 }), remoteOf('n3', { state: 1 })]));
      node.memberlist.drain();
      for (let now = 0; now <= 30_000; now += 500) node.memberlist.tick(now);
      const pushPulls = node.memberlist
        .drain()
        .flatMap((output) =>
          output.kind === 'dial' && read(output.bytes).kind === 'pushPull' ? [output.to.host] : [],
        );
      // The live one is suspected by the end, as nobody answers its probes.
      expect(pushPulls.filter((host) => host !== '10.0.0.100')).toEqual([]);
    }
  });

  test('happens every 30 s with one live peer, and never alone', () => {
    const alone = new Node();
    for (let now = 0; now < 200_000; now += 1000) alone.memberlist.tick(now);
    expect(alone.memberlist.drain()).toEqual([]);

    const node = new Node();
    node.hear(pushPull([remoteOf('n1'), remoteOf('n2', { addr: addrOf(2) })]));
    node.hear(pushPull([remoteOf('n2', { state: 3 })]));
    const dialled: number[] = [];
    for (let now = 0; now < 120_000; now += 100) {
      node.memberlist.tick(now);
      for (const output of node.memberlist.drain()) {
        if (output.kind !== 'dial') continue;
        const message = read(output.bytes);
        if (message.kind === 'pushPull') {
          expect(message.join).toBe(false);
          expect(output.to.host).toBe('10.0.0.1');
          dialled.push(now);
        }
        node.memberlist.closedStream(now, output.id, 'refused');
      }
      node.memberlist.receivedPacket(now, FROM, encodeAlive(aliveOf('n1', { incarnation: now + 2 })));
    }
    expect(dialled[0]).toBeLessThanOrEqual(30_000);
    expect(dialled.slice(1).map((at, i) => at - dialled[i]!)).toEqual(dialled.slice(1).map(() => 30_000));
    expect(node.memberlist.counters.get('push-pull-failed')).toBe(dialled.length);
  });
});

describe('a stream that we opened ends in words', () => {
  const to = { host: '10.0.0.1', port: PORT };

  test.each<[string, (node: Node, id: StreamId) => void, string]>([
    ['silence', (node) => node.memberlist.tick(10_000), 'timed out'],
    [
      'refused',
      (node, id) => node.memberlist.closedStream(1, id, 'connection refused'),
      'connection refused',
    ],
    [
      'closed',
      (node, id) => node.memberlist.closedStream(1, id),
      'the peer closed the connection without an answer',
    ],
    [
      'an error',
      (node, id) =>
        node.memberlist.receivedStream(1, id, to, encodeGossip({ Error: 'go away' }, MessageType.error)),
      'remote error: go away',
    ],
    [
      'another message',
      (node, id) => node.memberlist.receivedStream(1, id, to, encodeAck({ seqNo: 1, payload: null })),
      'unexpected ack message',
    ],
    [
      'garbage',
      (node, id) => node.memberlist.receivedStream(1, id, to, Uint8Array.of(99)),
      'message type 99',
    ],
  ])('%s', (_what, happen, words) => {
    const node = new Node();
    const ends: (string | undefined)[] = [];
    node.memberlist.join(0, to, (_now, failure) => ends.push(failure));
    const { id, timeoutMs } = node.dialled();
    expect(timeoutMs).toBe(10_000);
    happen(node, id);
    node.memberlist.closedStream(20_000, id);
    node.memberlist.tick(20_000);
    expect(ends).toHaveLength(1);
    expect(ends[0]).toContain(words);
    expect(ends[0]).toContain('10.0.0.1:7946: ');
  });
});

describe('a stream that a peer opened', () => {
  test.each([
    ['our name', 'self', 1],
    ['no name', '', 1],
    ['another name', 'somebody', 0],
  ])('with a ping for %s', (_what, name, answers) => {
    const node = new Node();
    const ping = { node: name, seqNo: 77, sourceAddr: EMPTY, sourceNode: '', sourcePort: 0 };
    const { id, outputs } = node.hear(encodePing(ping));
    expect(written(outputs)).toEqual(answers === 1 ? [{ kind: 'ack', seqNo: 77, payload: null }] : []);
    expect(outputs.at(-1)).toEqual({ kind: 'close', id });
  });

  test('with a user message: it is handed on', () => {
    const node = new Node();
    node.hear(encodeUserStream(Uint8Array.of(9, 9)));
    expect(node.delegate.userMessages).toEqual([Uint8Array.of(9, 9)]);
  });

  test('of fanout: it is handed over, not closed', () => {
    const node = new Node();
    const { id, outputs } = node.hear(
      concatBytes(encodeFanoutHello(Uint8Array.of(0x80)), Uint8Array.of(1, 2)),
    );
    expect(outputs).toEqual([{ kind: 'handover', id, body: Uint8Array.of(0x80), rest: Uint8Array.of(1, 2) }]);
    node.memberlist.tick(60_000);
    expect(node.memberlist.drain().filter((output) => output.kind === 'close')).toEqual([]);
  });

  test.each([
    ['in clear where the cluster encrypts', RING, pushPull([]), 'not encrypted'],
    [
      'encrypted where it does not',
      undefined,
      new Node({ keyring: RING }).seal(pushPull([])),
      'not configured',
    ],
    [
      'with another key',
      RING,
      new Node({ keyring: new Keyring([new Uint8Array(32)]) }).seal(pushPull([])),
      'No installed keys',
    ],
  ])('%s: the peer is told', (_what, keyring, bytes, words) => {
    const node = new Node(keyring === undefined ? {} : { keyring });
    const { id, outputs } = node.hear(bytes);
    const [error] = written(outputs, keyring);
    expect(error?.kind === 'error' && error.text).toContain(words);
    expect(outputs.at(-1)).toEqual({ kind: 'close', id });
  });

  test.each([
    ['garbage', Uint8Array.of(99, 1, 2)],
    ['a message of packets', encodeSuspect({ incarnation: 1, node: 'self', from: 'x' })],
    ['a label', Uint8Array.of(244, 1, 65)],
    ['counts above every bound', encodeGossip({ Join: false, Nodes: 2 ** 31, UserStateLen: 0 }, 6)],
    ['a state above every bound', encodeGossip({ Join: false, Nodes: 0, UserStateLen: 2 ** 31 }, 6)],
    ['an answer to nothing', encodeAck({ seqNo: 1, payload: null })],
  ])('with %s: closed without a word', (_what, bytes) => {
    const node = new Node();
    const { id, outputs } = node.hear(bytes);
    expect(outputs).toEqual([{ kind: 'close', id }]);
    expect(node.memberlist.self?.incarnation).toBe(1);
  });

  test('that claims a hundred thousand nodes and sends none holds nothing but its own few bytes', () => {
    const node = new Node();
    const header = encodeGossip({ Join: false, Nodes: 100_000, UserStateLen: 20 * MIB }, 6);
    const { id, outputs } = node.hear(header);
    expect(outputs).toEqual([]);
    node.memberlist.tick(10_000);
    expect(node.memberlist.drain()).toContainEqual({ kind: 'close', id });
    expect(node.memberlist.counters.get('stream-timeout')).toBe(1);
  });

  test('byte by byte ends as in one piece, and what comes later is ignored', () => {
    const node = new Node();
    const bytes = pushPull([remoteOf('n1')]);
    const id = node.memberlist.acceptedStream(0);
    for (const byte of bytes) node.memberlist.receivedStream(0, id, FROM, Uint8Array.of(byte));
    expect(node.delegate.told).toEqual([['joined', 'n1']]);
    node.memberlist.receivedStream(0, id, FROM, bytes);
    node.memberlist.closedStream(0, id);
    expect(node.memberlist.counters.entries()).toEqual([]);
  });

  test('ten thousand that say nothing: the oldest make room, and an honest one is answered', () => {
    const node = new Node();
    const closed = new Set<StreamId>();
    let most = 0;
    for (let i = 0; i < 10_000; i++) {
      const id = node.memberlist.acceptedStream(i / 100);
      for (const output of node.memberlist.drain()) if (output.kind === 'close') closed.add(output.id);
      most = Math.max(most, id - closed.size);
    }
    expect(most).toBe(512);
    expect(node.memberlist.counters.get('stream-evicted')).toBe(10_000 - 512);
    const { id, outputs } = node.hear(pushPull([]), 101);
    expect(written(outputs)).toHaveLength(1);
    node.memberlist.tick(20_000);
    for (const output of [...outputs, ...node.memberlist.drain()])
      if (output.kind === 'close') closed.add(output.id);
    expect(closed.size).toBe(10_001);
    expect(closed.has(id)).toBe(true);
  });

  test('that were answered leave their places to others', () => {
    const node = new Node();
    for (let i = 0; i < 2000; i++) expect(written(node.hear(pushPull([])).outputs)).toHaveLength(1);
    const waiting = node.memberlist.acceptedStream(0);
    node.memberlist.acceptedStream(0);
    expect(node.memberlist.drain()).toEqual([]);
    node.memberlist.receivedStream(0, waiting, FROM, pushPull([]));
    expect(written(node.memberlist.drain())).toHaveLength(1);
    expect(node.memberlist.counters.entries()).toEqual([]);
  });

  test('hoarders are closed before they fill the memory, and do not shut out an honest one', () => {
    const node = new Node();
    const header = encodeGossip({ UserMsgLen: 20 * MIB }, MessageType.user);
    const hoards: StreamId[] = [];
    // 100 bytes below what all streams together may hold.
    for (const bytes of [16 * MIB, 16 * MIB, 16 * MIB - 1, 16 * MIB - 99]) {
      const id = node.memberlist.acceptedStream(0);
      node.memberlist.receivedStream(0, id, FROM, header);
      node.memberlist.receivedStream(0, id, FROM, new Uint8Array(bytes - header.length));
      hoards.push(id);
    }
    expect(node.memberlist.counters.entries()).toEqual([]);
    const { outputs } = node.hear(pushPull([remoteOf('n1', { meta: new Uint8Array(400) })]));
    expect(written(outputs)).toHaveLength(1);
    expect(outputs).toContainEqual({ kind: 'close', id: hoards[0] });
    expect(outputs.filter(({ kind }) => kind === 'close')).toHaveLength(2);
    expect(node.memberlist.counters.entries()).toEqual([['stream-memory', 1]]);
    // What was closed is not counted any more: as much fits again.
    node.memberlist.receivedStream(0, node.memberlist.acceptedStream(0), FROM, header);
    node.memberlist.drain();
    const again = node.memberlist.acceptedStream(0);
    node.memberlist.receivedStream(0, again, FROM, header);
    node.memberlist.receivedStream(0, again, FROM, new Uint8Array(15 * MIB));
    expect(node.memberlist.drain()).toEqual([]);
  });
});

describe('waking', () => {
  test('no moment is asked for again and again, also with odd fractions', () => {
    for (let seed = 1; seed <= 30; seed++) {
      const start = seed * 1234.1 + 0.1;
      const node = new Node({ now: start, index: seed });
      const nodes = [1, 2, 3].map((i) => remoteOf(`n${i}`, { addr: addrOf(100 + i) }));
      node.hear(pushPull(nodes), start);
      node.memberlist.acceptedStream(start);
      let now = start;
      let again = 0;
      while (now < start + 60_000) {
        const next = node.memberlist.nextWake();
        again = next > now ? 0 : again + 1;
        // A probe that waited for its turn may start at the moment at which another one failed to.
        expect(again).toBeLessThan(3);
        now = Math.max(now, next);
        node.memberlist.tick(now);
        node.memberlist.drain();
      }
    }
  });

  test('gossip that nobody is there to hear is tried once per interval', () => {
    for (let seed = 1; seed <= 300; seed++) {
      const start = seed * 1234.1 + 0.1;
      const node = new Node({ now: start, index: 7 });
      node.hear(pushPull([remoteOf('n1'), remoteOf('n2', { addr: addrOf(2) })]), start);
      node.hear(pushPull([remoteOf('n1', { state: 3 }), remoteOf('n2', { state: 3 })]), start);
      let wakes = 0;
      for (let now = start; now < start + 2000; wakes++) {
        expect(wakes).toBeLessThan(16);
        now = Math.max(now, node.memberlist.nextWake());
        node.memberlist.tick(now);
        node.memberlist.drain();
      }
      expect(wakes).toBeGreaterThan(8);
    }
  });

  test('alone there is no gossip to wake up for, and what waited goes out to the first who comes', () => {
    const node = new Node();
    let wakes = 0;
    for (let now = 0; now < 59_000; wakes++) {
      now = node.memberlist.nextWake();
      node.memberlist.tick(now);
    }
    expect(wakes).toBeLessThan(65);
    node.hear(pushPull([remoteOf('n1')]), 60_000);
    expect(node.memberlist.nextWake()).toBeLessThanOrEqual(60_200);
    node.memberlist.tick(60_200);
    const messages = sentOf(node.memberlist.drain()).flatMap((sent) => sent.messages);
    expect(messages).toContainEqual(expect.objectContaining({ kind: 'alive', node: 'self' }));
  });

  test('with nothing to say there is no gossip to wake up for', () => {
    const node = new Node();
    node.hear(pushPull([remoteOf('n1')]));
    let now = 0;
    let wakes = 0;
    while (now < 60_000) {
      now = node.memberlist.nextWake();
      node.memberlist.tick(now);
      wakes++;
      for (const { to, messages } of sentOf(node.memberlist.drain())) {
        const [ping] = messages;
        if (ping?.kind === 'ping') {
          node.memberlist.receivedPacket(now, to, encodeAck({ seqNo: ping.seqNo, payload: null }));
        }
      }
    }
    // One probe each second, a push/pull each half minute, its timeout, and a few rounds of gossip at the start.
    expect(wakes).toBeLessThan(80);
  });

  test('gossip goes to the live and, for 30 s, to the dead, never to who left', () => {
    const node = new Node();
    node.hear(pushPull([1, 2, 3].map((i) => remoteOf(`n${i}`, { addr: addrOf(i) }))));
    node.hear(pushPull([remoteOf('n2', { state: 3 })]));
    const dead = { incarnation: 1, node: 'n3', from: 'n1' };
    node.memberlist.receivedPacket(0, FROM, encodeGossip({ From: dead.from, Incarnation: 1, Node: 'n3' }, 5));
    const hosts = (from: number, to: number): string[] => {
      const seen = new Set<string>();
      for (let now = from; now < to; now += 100) {
        // Fresh news every time, so that there is something to gossip.
        node.memberlist.receivedPacket(
          now,
          FROM,
          encodeAlive(aliveOf('n1', { incarnation: now + 10, meta: utf8(`${now}`) })),
        );
        node.memberlist.tick(now);
        for (const { to, messages } of sentOf(node.memberlist.drain())) {
          if (messages.every(({ kind }) => kind !== 'ping' && kind !== 'indirectPing')) seen.add(to.host);
        }
      }
      return [...seen].sort();
    };
    expect(hosts(0, 29_000)).toEqual(['10.0.0.1', '10.0.0.3']);
    expect(hosts(31_000, 60_000)).toEqual(['10.0.0.1']);
  });
});
