import { describe, expect, test } from 'vitest';
import { EMPTY } from '../../src/lib/bytes.ts';
import { NEVER } from '../../src/lib/time.ts';
import {
  encodeSuspect,
  type IndirectPing,
  type PacketMessage,
  type Ping,
} from '../../src/memberlist/messages.ts';
import { type NodeEntry, protocolMax } from '../../src/memberlist/node-table.ts';
import { Prober } from '../../src/memberlist/prober.ts';
import type { PeerProofs } from '../../src/memberlist/proofs.ts';
import { addrOf, aliveOf, PORT, Rooms, type Sent } from './harness.ts';

const PEER = { host: '10.0.0.1', port: PORT };
const OWN_PING = { node: 'self', seqNo: 9, sourceAddr: EMPTY, sourceNode: '', sourcePort: 0 };
const STRANGER = { host: '192.0.2.9', port: 40_000 };

interface TcpAsked {
  readonly node: string;
  readonly seqNo: number;
  readonly until: number;
}

/** A prober among `count` peers, at the moment of its first probe. */
class Probing {
  readonly rooms = new Rooms();
  readonly tcp: TcpAsked[] = [];
  readonly prober: Prober;
  now: number;

  constructor(count: number, more: { pMax?: number; proofs?: PeerProofs } = {}) {
    const vsn = Uint8Array.of(1, more.pMax ?? 5, 2, 2, 5, 5);
    this.rooms.populate(count, { vsn });
    const tcpPing = (_now: number, node: NodeEntry, _message: Uint8Array, seqNo: number, until: number) => {
      this.tcp.push({ node: node.name, seqNo, until });
    };
    const { rooms } = this;
    const config = { ...rooms.config, proofs: more.proofs };
    this.prober = new Prober({ ...rooms, config }, this.rooms.membership, this.rooms.outbox, tcpPing, 0);
    this.now = this.prober.nextWake();
  }

  /** Lets time pass to when the prober wants to be woken; returns what it sends then. */
  wake(): Sent[] {
    const at = this.prober.nextWake();
    expect(at).toBeGreaterThanOrEqual(this.now);
    this.now = at;
    this.prober.tick(at);
    return this.rooms.sent();
  }

  /** Starts the next probe; returns its ping and the name of whom it goes to. */
  probe(): Ping {
    const [sent] = this.wake();
    const message = sent?.messages[0];
    if (message?.kind !== 'ping') throw new Error('no ping was sent');
    return message;
  }

  /** Starts a probe, lets it time out, and returns the requests to helpers. */
  escalate(): { ping: Ping; requests: (IndirectPing & { host: string })[] } {
    const ping = this.probe();
    const requests = this.wake().flatMap(({ to, messages }) =>
      messages.flatMap((message) => (message.kind === 'indirectPing' ? [{ ...message, host: to.host }] : [])),
    );
    return { ping, requests };
  }
}

describe('probing', () => {
  test('starts within one interval and then probes one node each interval', () => {
    const probing = new Probing(5);
    const first = probing.now;
    expect(first).toBeLessThan(1000);
    for (let i = 0; i < 20; i++) {
      const { seqNo } = probing.probe();
      expect(probing.now).toBe(first + i * 1000);
      probing.prober.ack(probing.now + 1, { seqNo, payload: null });
    }
  });

  test('visits every live node once before any is visited again, never self, dead or left', () => {
    const probing = new Probing(20);
    probing.rooms.membership.dead(0, { incarnation: 1, node: 'n1', from: 'n2' });
    probing.rooms.membership.dead(0, { incarnation: 1, node: 'n2', from: 'n2' });
    const visited: string[] = [];
    for (let i = 0; i < 36; i++) {
      const { node, seqNo } = probing.probe();
      visited.push(node);
      probing.prober.ack(probing.now, { seqNo, payload: null });
    }
    const live = Array.from({ length: 18 }, (_, i) => `n${i + 3}`).sort();
    expect(visited.slice(0, 18).sort()).toEqual(live);
    expect(visited.slice(18).sort()).toEqual(live);
  });

  test('a ping says whom it is for and where the answer goes, and carries gossip', () => {
    const probing = new Probing(1);
    probing.rooms.queue.queue(encodeSuspect({ incarnation: 1, node: 'x', from: 'y' }));
    const [sent] = probing.wake();
    expect(sent?.to).toEqual(PEER);
    expect(sent?.messages).toEqual([
      { kind: 'ping', seqNo: 1, node: 'n1', sourceAddr: addrOf(0), sourceNode: 'self', sourcePort: PORT },
      { kind: 'suspect', incarnation: 1, node: 'x', from: 'y' },
    ]);
  });

  test('a suspect hears of the suspicion with the probe, and gets no gossip', () => {
    const probing = new Probing(1);
    probing.rooms.membership.suspect(0, { incarnation: 1, node: 'n1', from: 'other' });
    const [sent] = probing.wake();
    expect(sent?.messages).toMatchObject([
      { kind: 'ping', node: 'n1' },
      { kind: 'suspect', incarnation: 1, node: 'n1', from: 'self' },
    ]);
    expect(probing.rooms.queue.length).toBe(1);
  });

  test('alone there is nobody to probe, and no moment in the past to wake up for', () => {
    const probing = new Probing(0);
    for (let i = 0; i < 10; i++) expect(probing.wake()).toEqual([]);
    expect(probing.now).toBeGreaterThan(8000);
  });

  test('after a long stop missed ticks are dropped, but for one', () => {
    const probing = new Probing(3);
    probing.prober.ack(probing.now, { seqNo: probing.probe().seqNo, payload: null });
    probing.now += 60_000;
    let probes = 0;
    for (let i = 0; i < 5; i++) {
      probing.prober.tick(probing.now);
      for (const { messages } of probing.rooms.sent()) {
        const [ping] = messages;
        if (ping?.kind !== 'ping') continue;
        probes++;
        probing.prober.ack(probing.now, { seqNo: ping.seqNo, payload: null });
      }
    }
    expect(probes).toBe(2);
    expect(probing.prober.nextWake()).toBeGreaterThan(probing.now);
  });

  test('whoever is dead or left for longer than gossip reaches the dead is forgotten when the list wraps', () => {
    const probing = new Probing(4);
    const { membership, table } = probing.rooms;
    membership.dead(0, { incarnation: 1, node: 'n1', from: 'x' });
    membership.dead(0, { incarnation: 1, node: 'n2', from: 'n2' });
    membership.dead(20_000, { incarnation: 1, node: 'n3', from: 'x' });
    const answerUntil = (end: number): void => {
      while (probing.now <= end) {
        for (const { messages } of probing.wake()) {
          const [ping] = messages;
          if (ping?.kind === 'ping') probing.prober.ack(probing.now, { seqNo: ping.seqNo, payload: null });
        }
      }
    };
    answerUntil(29_000);
    expect(table.size).toBe(5);
    answerUntil(36_000);
    expect(
      table
        .all()
        .map((node) => node.name)
        .sort(),
    ).toEqual(['n3', 'n4', 'self']);
  });
});

describe('a probe', () => {
  test('that is answered in time improves health and gives a round trip', () => {
    const probing = new Probing(3);
    probing.rooms.awareness.apply(2);
    const { seqNo } = probing.probe();
    probing.prober.ack(probing.now + 12, { seqNo, payload: null });
    expect(probing.rooms.awareness.score).toBe(1);
    expect(probing.rooms.delegate.rtts).toEqual([12]);
    expect(probing.rooms.membership.nextWake()).toBe(NEVER);
  });

  test('that is not answered asks three helpers and TCP, with the same sequence number', () => {
    const probing = new Probing(6);
    const started = probing.now;
    const { ping, requests } = probing.escalate();
    expect(probing.now).toBe(started + 500);
    expect(requests).toHaveLength(3);
    expect(new Set(requests.map(({ host }) => host)).size).toBe(3);
    const target = probing.rooms.node(ping.node);
    for (const request of requests) {
      expect(request).toMatchObject({
        seqNo: ping.seqNo,
        node: ping.node,
        target: target.addr,
        port: PORT,
        nack: true,
        sourceAddr: addrOf(0),
        sourcePort: PORT,
      });
      expect(request.host).not.toBe(target.addr.join('.'));
      expect(request.host).not.toBe('10.0.0.0');
    }
    expect(probing.tcp).toEqual([{ node: ping.node, seqNo: ping.seqNo, until: started + 1000 }]);
  });

  test.each([
    [5, true, 1],
    [4, true, 1],
    [3, false, 1],
    [2, false, 0],
  ])('among peers that speak up to version %i: nacks wanted %s, TCP pings %i', (pMax, nack, tcpPings) => {
    const probing = new Probing(6, { pMax });
    expect(protocolMax(probing.rooms.node('n1'))).toBe(pMax);
    const { requests } = probing.escalate();
    expect(requests.map((request) => request.nack)).toEqual([nack, nack, nack]);
    expect(probing.tcp).toHaveLength(tcpPings);
  });

  test('that a helper gets answered is a success, without a round trip', () => {
    const probing = new Probing(6);
    const { ping } = probing.escalate();
    probing.prober.ack(probing.now + 100, { seqNo: ping.seqNo, payload: null });
    expect(probing.rooms.delegate.rtts).toEqual([]);
    expect(probing.rooms.node(ping.node).state).toBe('alive');
    probing.now += 100;
    expect(probing.probe().seqNo).toBe(ping.seqNo + 1);
  });

  test('that only TCP answered is a success, counted', () => {
    const probing = new Probing(6);
    probing.rooms.awareness.apply(1);
    const { ping } = probing.escalate();
    probing.prober.tcpAcked(ping.seqNo);
    probing.wake();
    expect(probing.rooms.node(ping.node).state).toBe('alive');
    expect(probing.rooms.awareness.score).toBe(0);
    expect(probing.rooms.counters.get('probe-udp-failed-tcp-answered')).toBe(1);
  });

  test.each([
    [6, 0, 3],
    [6, 1, 2],
    [6, 3, 0],
    [6, 50, 0],
    [3, 0, 2],
    [1, 0, 1],
    [1, 7, 1],
  ])(
    'among %i peers, failed with %i nacks, lowers health by %i and suspects the node',
    (peers, nacks, change) => {
      const probing = new Probing(peers);
      const started = probing.now;
      const { ping } = probing.escalate();
      for (let i = 0; i < nacks; i++) probing.prober.nack({ seqNo: ping.seqNo });
      probing.wake();
      expect(probing.now).toBe(started + 1000);
      expect(probing.rooms.awareness.score).toBe(change);
      expect(probing.rooms.node(ping.node).state).toBe('suspect');
      expect(probing.rooms.queued()).toEqual([
        { kind: 'suspect', incarnation: 1, node: ping.node, from: 'self' },
      ]);
    },
  );

  test('that failed with more nacks than were asked for, because some are forged, does not improve health', () => {
    const probing = new Probing(6);
    probing.rooms.awareness.apply(5);
    const { ping } = probing.escalate();
    for (let i = 0; i < 50; i++) probing.prober.nack({ seqNo: ping.seqNo });
    probing.wake();
    expect(probing.rooms.awareness.score).toBe(5);
  });

  test('asks only peers that are not suspected themselves', () => {
    const probing = new Probing(6);
    for (const node of ['n1', 'n2', 'n3', 'n4']) {
      probing.rooms.membership.suspect(0, { incarnation: 1, node, from: 'x' });
    }
    const { ping, requests } = probing.escalate();
    const helpers = ['n5', 'n6'].filter((name) => name !== ping.node);
    expect(requests.map(({ host }) => host).sort()).toEqual(helpers.map((name) => `10.0.0.${name.slice(1)}`));
  });

  test('that failed without nacks to expect, because peers are old, lowers health by one', () => {
    const probing = new Probing(6, { pMax: 3 });
    probing.escalate();
    probing.wake();
    expect(probing.rooms.awareness.score).toBe(1);
  });

  test('takes longer in bad health, but looks for helpers as soon', () => {
    const probing = new Probing(6);
    probing.rooms.awareness.apply(3);
    const started = probing.now;
    probing.escalate();
    expect(probing.now).toBe(started + 500);
    // The next probe has waited for long: it starts at once.
    expect(probing.probe()).toBeDefined();
    expect(probing.now).toBe(started + 4000);
  });

  test('is not decided by acks and nacks with another number, or by late ones', () => {
    const probing = new Probing(6);
    const { ping } = probing.escalate();
    for (const seqNo of [0, ping.seqNo + 1, 0xffff_ffff]) {
      probing.prober.ack(probing.now, { seqNo, payload: null });
      probing.prober.nack({ seqNo });
      probing.prober.tcpAcked(seqNo);
    }
    probing.wake();
    expect(probing.rooms.node(ping.node).state).toBe('suspect');
    expect(probing.rooms.awareness.score).toBe(3);
    probing.prober.ack(probing.now, { seqNo: ping.seqNo, payload: null });
    expect(probing.rooms.node(ping.node).state).toBe('suspect');
    expect(probing.rooms.awareness.score).toBe(3);
  });

  test('of a node that is forgotten meanwhile ends without harm', () => {
    const probing = new Probing(2);
    const { ping } = probing.escalate();
    probing.rooms.table.sweep((node) => node.name === ping.node);
    probing.wake();
    expect(probing.rooms.table.get(ping.node)).toBeUndefined();
    expect(probing.rooms.queued()).toEqual([]);
  });
});

describe('answering a ping', () => {
  const ping = (more: Partial<Ping>): Ping => ({
    seqNo: 42,
    node: 'self',
    sourceAddr: EMPTY,
    sourceNode: '',
    sourcePort: 0,
    ...more,
  });

  test.each([
    ['our name', { node: 'self' }, STRANGER],
    ['no name', { node: '' }, STRANGER],
    ['a stated source', { sourceAddr: addrOf(1), sourcePort: PORT }, PEER],
    ['half a source', { sourceAddr: addrOf(1) }, STRANGER],
    ['the other half', { sourcePort: PORT }, STRANGER],
  ])('with %s: an ack with its number', (_what, more, to) => {
    const { prober, rooms } = new Probing(1);
    prober.ping(STRANGER, ping(more));
    expect(rooms.sent()).toEqual([{ to, messages: [{ kind: 'ack', seqNo: 42, payload: null }] }]);
  });

  test('for another name: silence, so that the old name is found dead', () => {
    const { prober, rooms } = new Probing(1);
    prober.ping(STRANGER, ping({ node: 'somebody' }));
    expect(rooms.sent()).toEqual([]);
    expect(rooms.counters.get('ping-misdirected')).toBe(1);
  });

  test('an ack carries gossip', () => {
    const { prober, rooms } = new Probing(1);
    rooms.membership.alive(0, aliveOf('n9'));
    prober.ping(STRANGER, ping({}));
    expect(rooms.sent()[0]?.messages.map(({ kind }) => kind)).toEqual(['ack', 'alive']);
  });

  test('from port 0, where nobody can listen: nothing is sent', () => {
    const { prober, rooms } = new Probing(1);
    prober.ping({ host: '192.0.2.9', port: 0 }, ping({}));
    expect(rooms.sent()).toEqual([]);
    expect(rooms.counters.get('send-port-zero')).toBe(1);
  });
});

describe('probing for somebody else', () => {
  const request = (more: Partial<IndirectPing> = {}): IndirectPing => ({
    seqNo: 900,
    target: addrOf(2),
    port: 1234,
    node: 'n2',
    nack: true,
    sourceAddr: addrOf(1),
    sourceNode: 'n1',
    sourcePort: PORT,
    ...more,
  });
  const ask = (probing: Probing, more: Partial<IndirectPing> = {}): PacketMessage & { kind: 'ping' } => {
    probing.prober.indirectPing(probing.now, STRANGER, request(more));
    const [sent] = probing.rooms.sent();
    expect(sent?.to).toEqual({ host: '10.0.0.2', port: more.port === 0 ? PORT : 1234 });
    const message = sent?.messages[0];
    if (message?.kind !== 'ping') throw new Error('no ping was sent');
    return message;
  };

  test('uses a number of our own towards the target and the number of the asker in the answer', () => {
    const probing = new Probing(0);
    const ping = ask(probing);
    expect(ping).toMatchObject({ node: 'n2', sourceAddr: addrOf(0), sourceNode: 'self', sourcePort: PORT });
    expect(ping.seqNo).not.toBe(900);
    probing.prober.ack(probing.now + 500, { seqNo: ping.seqNo, payload: Uint8Array.of(1) });
    expect(probing.rooms.sent()).toEqual([
      { to: PEER, messages: [{ kind: 'ack', seqNo: 900, payload: null }] },
    ]);
    probing.prober.ack(probing.now + 500, { seqNo: ping.seqNo, payload: null });
    expect(probing.rooms.sent()).toEqual([]);
  });

  test('a target without a port has ours', () => {
    ask(new Probing(0), { port: 0 });
  });

  test('says so when the target stays silent, but only to who wants to know', () => {
    for (const nack of [true, false]) {
      const probing = new Probing(0);
      const ping = ask(probing, { nack });
      probing.prober.tick(probing.now + 499);
      expect(probing.rooms.sent()).toEqual([]);
      probing.prober.tick(probing.now + 500);
      expect(probing.rooms.sent()).toEqual(
        nack ? [{ to: PEER, messages: [{ kind: 'nack', seqNo: 900 }] }] : [],
      );
      probing.prober.ack(probing.now + 501, { seqNo: ping.seqNo, payload: null });
      expect(probing.rooms.sent()).toEqual([]);
    }
  });

  test('a flood of requests is bounded in memory and in time, and ends when it ends', () => {
    const probing = new Probing(0);
    for (let i = 0; i < 100_000; i++) {
      probing.prober.indirectPing(probing.now, STRANGER, request({ seqNo: i, nack: false }));
      probing.prober.nextWake();
      probing.rooms.outbox.drain();
    }
    expect(probing.rooms.counters.get('indirect-ping-overload')).toBe(100_000 - 4096);
    probing.prober.tick(probing.now + 500);
    expect(probing.prober.nextWake()).toBeGreaterThan(probing.now + 500);
    ask(probing);
  });

  test('does not disturb our own probe', () => {
    const probing = new Probing(6);
    const own = probing.probe();
    const theirs = ask(probing);
    probing.prober.ack(probing.now + 1, { seqNo: theirs.seqNo, payload: null });
    expect(probing.rooms.delegate.rtts).toEqual([]);
    probing.prober.ack(probing.now + 2, { seqNo: own.seqNo, payload: null });
    expect(probing.rooms.delegate.rtts).toEqual([2]);
  });
});

describe('proofs of who a member is', () => {
  const CHALLENGED = Uint8Array.from({ length: 16 }, (_, i) => i);
  const PROOF = Uint8Array.of(1, 2, 3);

  /** A prober whose members prove something, and what it asked of that. */
  function proving(wants = true) {
    const asked: unknown[][] = [];
    const proofs: PeerProofs = {
      prove: (self, challenge) => {
        asked.push(['prove', self.name, challenge]);
        return PROOF;
      },
      wants: () => wants,
      check: (claim, challenge, proof) => {
        asked.push(['check', claim.name, challenge, proof]);
        return true;
      },
      hasKey: () => true,
    };
    return { probing: new Probing(1, { proofs }), asked };
  }

  test('a probe asks for one where it is wanted, and the ack brings it', () => {
    const { probing, asked } = proving();
    const { seqNo, challenge } = probing.probe();
    expect(challenge).toHaveLength(16);
    probing.prober.ack(probing.now + 1, { seqNo, payload: null, proof: PROOF });
    expect(asked).toEqual([['check', 'n1', challenge, PROOF]]);
    const next = probing.probe();
    expect(next.challenge).not.toEqual(challenge);
    // Of a real member: alive all the same.
    probing.prober.ack(probing.now + 1, { seqNo: next.seqNo, payload: null });
    expect(asked).toHaveLength(1);
    expect(probing.rooms.node('n1').state).toBe('alive');
  });

  test('what nobody asked for is not looked at', () => {
    const { probing, asked } = proving(false);
    const { seqNo, challenge } = probing.probe();
    expect(challenge).toBeUndefined();
    probing.prober.ack(probing.now + 1, { seqNo: seqNo + 1, payload: null, proof: PROOF });
    probing.prober.ack(probing.now + 1, { seqNo, payload: null, proof: PROOF });
    expect(asked).toEqual([]);
  });

  test.each([
    ['of another length', CHALLENGED.subarray(1), []],
    ['in order', CHALLENGED, [['prove', 'self', CHALLENGED]]],
  ])('a challenge %s is acknowledged, and proven where it is one', (_what, challenge, expected) => {
    const { probing, asked } = proving();
    probing.prober.ping(PEER, { ...OWN_PING, challenge });
    const acks = probing.rooms.sent().flatMap(({ messages }) => messages);
    expect(acks).toEqual([
      { kind: 'ack', seqNo: 9, payload: null, proof: expected.length === 0 ? undefined : PROOF },
    ]);
    expect(asked).toEqual(expected);
  });

  test('a challenge for another name is not answered at all', () => {
    const { probing, asked } = proving();
    probing.prober.ping(PEER, { ...OWN_PING, node: 'other', challenge: CHALLENGED });
    expect(probing.rooms.sent()).toEqual([]);
    expect(asked).toEqual([]);
  });
});
