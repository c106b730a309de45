import { DecodeError } from '../lib/errors.ts';
import type { Endpoint } from '../lib/net-address.ts';
import type { Rng } from '../lib/rng.ts';
import { earliest, type Millis, NEVER } from '../lib/time.ts';
import { Awareness } from './awareness.ts';
import { BroadcastQueue } from './broadcast-queue.ts';
import type { MemberlistConfig } from './config.ts';
import { retransmitLimit } from './formulas.ts';
import { Membership } from './membership.ts';
import { decodePacketMessage, encodeUser, type PacketMessage } from './messages.ts';
import { endpointOf, isLive, NODES_MAX, type NodeEntry, NodeTable } from './node-table.ts';
import { gossipBytesMax, Outbox } from './outbox.ts';
import { openPacket } from './packet.ts';
import { Counters, type Delegate, type Output, type StreamId } from './ports.ts';
import { Prober, type TcpPing } from './prober.ts';
import { Challenges, type Claim } from './proofs.ts';
import { type ExchangeDone, Sync } from './sync.ts';

/**
 * One member on memberlist's wire: SWIM with Lifeguard, gossip and anti-entropy. Holds no socket, clock, timer or
 * randomness of its own. Inputs are the `received...` methods and `tick`; `drain` gives what is to be done, and
 * `nextWake` says when to tick at the latest. `now` never goes back.
 */
export class Memberlist {
  readonly config: MemberlistConfig;
  readonly table: NodeTable;
  readonly counters = new Counters();
  private readonly delegate: Delegate;
  private readonly queue: BroadcastQueue;
  private readonly awareness: Awareness;
  private readonly outbox: Outbox;
  private readonly membership: Membership;
  private readonly prober: Prober;
  private readonly challenges: Challenges | undefined;
  private readonly sync: Sync;
  /** Gossip ticks fall on this phase plus multiples of the interval. */
  private readonly gossipPhase: Millis;
  private lastGossipAt: Millis;
  private clock: Millis;

  constructor(config: MemberlistConfig, delegate: Delegate, rng: Rng, now: Millis) {
    this.config = config;
    this.delegate = delegate;
    this.clock = now;
    this.table = new NodeTable(rng);
    this.queue = new BroadcastQueue({
      retransmitMult: config.profile.retransmitMult,
      bytesMax: gossipBytesMax(config.keyring),
      countMax: NODES_MAX,
    });
    this.awareness = new Awareness(config.profile.awarenessMaxMultiplier);
    const { table, queue, awareness, counters } = this;
    const parts = { config, table, queue, awareness, delegate, counters, rng };
    this.outbox = new Outbox(parts);
    this.membership = new Membership(parts);
    this.sync = new Sync(parts, this.membership, this.outbox, now);
    const tcpPing: TcpPing = (at, node, message, seqNo, until): void =>
      this.sync.ping(at, node, message, seqNo, until, (_now, failure) => {
        if (failure === undefined) this.prober.tcpAcked(seqNo);
      });
    this.prober = new Prober(parts, this.membership, this.outbox, tcpPing, now);
    const { prober } = this;
    if (config.proofs !== undefined) {
      this.challenges = new Challenges({
        proofs: config.proofs,
        send: (seqNo, claim, challenge) => prober.challenge(seqNo, claim, challenge),
        // Not the next of the probes, which others can guess: only who got the challenge can cost us a look at a proof. The upper
        // half is far from where those count.
        seqNo: () => (rng.u32() | 0x8000_0000) >>> 0,
        random: (length) => rng.bytes(length),
        timeoutMs: config.profile.probeTimeoutMs,
      });
    }
    this.gossipPhase = now + rng.below(config.profile.gossipIntervalMs);
    this.lastGossipAt = now;
  }

  /** Puts the local node into the table. Call once, when the delegate is ready. */
  start(now: Millis): void {
    this.membership.announceSelf(this.at(now));
  }

  /** The local node's health: 0 is best (Lifeguard). */
  get healthScore(): number {
    return this.awareness.score;
  }

  get self(): NodeEntry | undefined {
    return this.membership.self;
  }

  get queued(): number {
    return this.queue.length;
  }

  /** Nodes that are not dead or left, the local one included. */
  liveCount(): number {
    return this.table.all().reduce((count, node) => count + (isLive(node) ? 1 : 0), 0);
  }

  receivedPacket(now: Millis, from: Endpoint, datagram: Uint8Array): void {
    this.at(now);
    try {
      const packet = openPacket(datagram, this.config.keyring);
      if (packet.truncated > 0) this.counters.count('packet-truncated-compound');
      for (const message of packet.messages) this.message(from, message);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.counters.count(`packet-${error.reason}`);
    }
  }

  /** A peer opened a TCP stream; its id is to be used for what follows. */
  acceptedStream(now: Millis): StreamId {
    return this.sync.accepted(this.at(now));
  }

  receivedStream(now: Millis, id: StreamId, from: Endpoint, chunk: Uint8Array): void {
    this.sync.received(this.at(now), id, from, chunk);
  }

  closedStream(now: Millis, id: StreamId, error?: string): void {
    this.sync.closed(this.at(now), id, error);
  }

  tick(now: Millis): void {
    this.at(now);
    this.membership.tick(this.clock);
    this.prober.tick(this.clock);
    this.sync.tick(this.clock);
    this.challenges?.tick(this.clock);
    if (this.clock >= this.nextGossipAt()) this.gossip();
  }

  nextWake(): Millis {
    const gossipAt = this.hasGossip() ? this.nextGossipAt() : NEVER;
    const challengeAt = this.challenges?.nextWake() ?? NEVER;
    return earliest(
      gossipAt,
      challengeAt,
      this.membership.nextWake(),
      this.prober.nextWake(),
      this.sync.nextWake(),
    );
  }

  drain(): Output[] {
    return this.outbox.drain();
  }

  /** Exchanges full state with a node, over TCP. */
  join(now: Millis, to: Endpoint, done: ExchangeDone): void {
    this.sync.exchange(this.at(now), to, true, done);
  }

  /** Says that the local node goes for good. `finished` is called when the news was spread. */
  leave(now: Millis, finished: () => void): void {
    this.membership.leave(this.at(now), finished);
  }

  /** Spreads the delegate's new meta. */
  updateMeta(now: Millis, finished: () => void): void {
    this.membership.announceSelf(this.at(now), finished);
  }

  /** Sends one user message straight to a node, without any gossip beside it. */
  sendUser(to: Endpoint, payload: Uint8Array): void {
    this.outbox.packet(to, encodeUser(payload));
  }

  /**
   * Sends a user message at once to `count` random live nodes: eager push, the first hop of a broadcast that does not
   * wait for the next gossip tick. Returns how many got it, so that the caller charges its retransmit budget.
   */
  pushUser(payload: Uint8Array, count: number, suits: (node: NodeEntry) => boolean = () => true): number {
    const wanted = (node: NodeEntry): boolean =>
      isLive(node) && node.name !== this.config.name && suits(node);
    const nodes = this.table.pick(count, wanted);
    const message = encodeUser(payload);
    for (const node of nodes) this.outbox.packet(endpointOf(node), message, node);
    return nodes.length;
  }

  /**
   * Has somebody prove a name that has a key for us. `done` is called once, or never when too many are asked at once.
   */
  challenge(now: Millis, claim: Claim, done: (isProven: boolean) => void): void {
    if (this.challenges?.begin(this.at(now), claim, done) !== true) this.counters.count('challenge-overload');
  }

  /** A stream message of fanout's own, sealed like every stream of this cluster. */
  sealStream(message: Uint8Array): Uint8Array {
    return this.outbox.sealStream(message, false);
  }

  /** How often one node sends one broadcast in a cluster of the present size. */
  retransmitLimit(): number {
    return retransmitLimit(this.config.profile.retransmitMult, this.table.size);
  }

  private at(now: Millis): Millis {
    if (now > this.clock) this.clock = now;
    return this.clock;
  }

  private message(from: Endpoint, bytes: Uint8Array): void {
    let message: PacketMessage;
    try {
      message = decodePacketMessage(bytes);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      return this.counters.count(`message-${error.reason}`);
    }
    switch (message.kind) {
      case 'ping':
        return this.prober.ping(from, message);
      case 'indirectPing':
        return this.prober.indirectPing(this.clock, from, message);
      case 'ack':
        if (this.challenges?.ack(message) === true) return;
        return this.prober.ack(this.clock, message);
      case 'nack':
        return this.prober.nack(message);
      case 'alive':
        return this.membership.alive(this.clock, this.withPort(message));
      case 'suspect':
        return this.membership.suspect(this.clock, message);
      case 'dead':
        return this.membership.dead(this.clock, message);
      case 'user':
        return this.delegate.userMessage(this.clock, from, message.payload);
    }
  }

  /** A missing port means: the same as the receiver's. */
  private withPort<T extends { readonly port: number }>(message: T): T {
    return message.port === 0 ? { ...message, port: this.config.port } : message;
  }

  private hasGossip(): boolean {
    // Alone, what waits has to wait: there is no use in waking up for it.
    return this.table.size > 1 && (this.queue.length > 0 || this.delegate.hasBroadcasts());
  }

  /** The first gossip tick after the last one. Ticks with nothing to send are never woken up for. */
  private nextGossipAt(): Millis {
    const { gossipIntervalMs } = this.config.profile;
    const passed = Math.floor((this.lastGossipAt - this.gossipPhase) / gossipIntervalMs) + 1;
    const at = this.gossipPhase + Math.max(0, passed) * gossipIntervalMs;
    // Rounding must not bring back the tick that has just been.
    return at > this.lastGossipAt ? at : at + gossipIntervalMs;
  }

  private gossip(): void {
    this.lastGossipAt = this.clock;
    if (!this.hasGossip()) return;
    const { gossipNodes, gossipToTheDeadMs } = this.config.profile;
    const wanted = (node: NodeEntry): boolean =>
      node.name !== this.config.name &&
      (isLive(node) || (node.state === 'dead' && this.clock - node.changedAt <= gossipToTheDeadMs));
    for (const node of this.table.pick(gossipNodes, wanted)) {
      if (!this.outbox.gossip(endpointOf(node), node)) return;
    }
  }
}
