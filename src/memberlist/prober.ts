import type { Endpoint } from '../lib/net-address.ts';
import { earliest, type Millis, NEVER } from '../lib/time.ts';
import { encodeCompound } from './compound.ts';
import type { Membership, MembershipParts } from './membership.ts';
import {
  type Ack,
  encodeAck,
  encodeIndirectPing,
  encodeNack,
  encodePing,
  encodeSuspect,
  type IndirectPing,
  type Nack,
  type Ping,
} from './messages.ts';
import { endpointOf, type NodeEntry, protocolMax } from './node-table.ts';
import type { Outbox } from './outbox.ts';
import { CHALLENGE_BYTES, type Claim } from './proofs.ts';

const PMAX_WITH_TCP_PING = 3;
const PMAX_WITH_NACK = 4;

/** Asks for a TCP ping; the answer comes back through `tcpAcked` or never. */
export type TcpPing = (
  now: Millis,
  node: NodeEntry,
  message: Uint8Array,
  seqNo: number,
  until: Millis,
) => void;

interface Probe {
  readonly seqNo: number;
  readonly node: NodeEntry;
  readonly sentAt: Millis;
  readonly deadline: Millis;
  readonly challenge: Uint8Array | undefined;
  /** When indirect probes start; NEVER once they have. */
  escalateAt: Millis;
  tcpAcked: boolean;
  nacksWanted: number;
  nacks: number;
}

/** A probe made for somebody else. */
interface Relay {
  readonly to: Endpoint;
  readonly seqNo: number;
  readonly wantsNack: boolean;
  readonly until: Millis;
}

/** At most this many probes for others at a time: a flood of indirect pings must not fill the memory. */
const RELAYS_MAX = 4096;

/** SWIM's failure detector with Lifeguard's local health (memberlist, state.go probeNode and net.go handlers). */
export class Prober {
  private readonly parts: MembershipParts;
  private readonly membership: Membership;
  private readonly outbox: Outbox;
  private readonly tcpPing: TcpPing;
  private readonly relays = new Map<number, Relay>();
  private lastSeqNo = 0;
  private index = 0;
  private nextProbeAt: Millis;
  private probe: Probe | undefined;

  constructor(parts: MembershipParts, membership: Membership, outbox: Outbox, tcpPing: TcpPing, now: Millis) {
    this.parts = parts;
    this.membership = membership;
    this.outbox = outbox;
    this.tcpPing = tcpPing;
    this.nextProbeAt = now + parts.rng.below(parts.config.profile.probeIntervalMs);
  }

  nextWake(): Millis {
    const { probe } = this;
    const next = probe === undefined ? this.nextProbeAt : earliest(probe.escalateAt, probe.deadline);
    // Relays stand in the order of their deadlines: all have the same time.
    for (const relay of this.relays.values()) return earliest(next, relay.until);
    return next;
  }

  tick(now: Millis): void {
    for (const [seqNo, relay] of this.relays) {
      if (relay.until > now) break;
      this.relays.delete(seqNo);
      if (relay.wantsNack) this.outbox.packetWithGossip(relay.to, encodeNack({ seqNo: relay.seqNo }));
    }
    const probe = this.probe;
    if (probe !== undefined) {
      if (now >= probe.deadline) this.conclude(now, probe);
      else if (now >= probe.escalateAt) this.escalate(now, probe);
    }
    if (this.probe === undefined && now >= this.nextProbeAt) this.start(now);
  }

  ping(from: Endpoint, ping: Ping): void {
    // A ping for another name: the machine was restarted as somebody else. Silence lets the old name be found dead.
    if (ping.node !== '' && ping.node !== this.parts.config.name)
      return this.parts.counters.count('ping-misdirected');
    const payload = this.parts.delegate.ackPayload();
    const ack = encodeAck({ seqNo: ping.seqNo, payload, proof: this.proofFor(ping) });
    this.outbox.packetWithGossip(replyTo(from, ping), ack);
  }

  indirectPing(now: Millis, from: Endpoint, request: IndirectPing): void {
    if (this.relays.size >= RELAYS_MAX) return this.parts.counters.count('indirect-ping-overload');
    const seqNo = this.nextSeqNo();
    const until = now + this.parts.config.profile.probeTimeoutMs;
    this.relays.set(seqNo, {
      to: replyTo(from, request),
      seqNo: request.seqNo,
      wantsNack: request.nack,
      until,
    });
    const port = request.port === 0 ? this.parts.config.port : request.port;
    const to = endpointOf({ addr: request.target, port });
    this.outbox.packetWithGossip(to, encodePing(this.ownPing(seqNo, request.node)));
  }

  ack(now: Millis, ack: Ack): void {
    const relay = this.relays.get(ack.seqNo);
    if (relay !== undefined) {
      this.relays.delete(ack.seqNo);
      if (now <= relay.until)
        this.outbox.packetWithGossip(relay.to, encodeAck({ seqNo: relay.seqNo, payload: null }));
      return;
    }
    const probe = this.probe;
    if (probe === undefined || probe.seqNo !== ack.seqNo || now > probe.deadline) return;
    const { challenge, node } = probe;
    if (probe.escalateAt !== NEVER) this.parts.delegate.pinged(node, now - probe.sentAt, ack.payload);
    if (challenge !== undefined && ack.proof !== undefined)
      this.parts.config.proofs?.check(node, challenge, ack.proof);
    this.succeed(now);
  }

  nack(nack: Nack): void {
    if (this.probe?.seqNo === nack.seqNo) this.probe.nacks++;
  }

  tcpAcked(seqNo: number): void {
    if (this.probe?.seqNo === seqNo) this.probe.tcpAcked = true;
  }

  /** Pings somebody outside of the probing, with a challenge. */
  challenge(seqNo: number, claim: Claim, challenge: Uint8Array): void {
    this.outbox.packet(endpointOf(claim), encodePing({ ...this.ownPing(seqNo, claim.name), challenge }));
  }

  private nextSeqNo(): number {
    this.lastSeqNo = (this.lastSeqNo + 1) >>> 0;
    return this.lastSeqNo;
  }

  private proofFor({ challenge }: Ping): Uint8Array | undefined {
    const { config } = this.parts;
    return challenge?.length === CHALLENGE_BYTES ? config.proofs?.prove(config, challenge) : undefined;
  }

  private ownPing(seqNo: number, node: string): Ping {
    const { name, addr, port } = this.parts.config;
    return { seqNo, node, sourceAddr: addr, sourceNode: name, sourcePort: port };
  }

  private start(now: Millis): void {
    const { config, rng } = this.parts;
    const { probeIntervalMs, probeTimeoutMs } = config.profile;
    // Ticks that were missed while a probe ran are dropped, but for the one that waits.
    this.nextProbeAt = Math.max(this.nextProbeAt + probeIntervalMs, now);
    const node = this.nextNode(now);
    if (node === undefined) return;
    const seqNo = this.nextSeqNo();
    const deadline = now + this.parts.awareness.scale(probeIntervalMs);
    const escalateAt = Math.min(now + probeTimeoutMs, deadline);
    const challenge = config.proofs?.wants(node) ? rng.bytes(CHALLENGE_BYTES) : undefined;
    this.probe = {
      seqNo,
      node,
      challenge,
      sentAt: now,
      deadline,
      escalateAt,
      tcpAcked: false,
      nacksWanted: 0,
      nacks: 0,
    };
    const ping = encodePing({ ...this.ownPing(seqNo, node.name), challenge });
    if (node.state === 'alive') return this.outbox.packetWithGossip(endpointOf(node), ping);
    // Lifeguard's buddy system: a suspect hears of the accusation together with the probe, so that it can refute at once.
    const accusation = { incarnation: node.incarnation, node: node.name, from: this.parts.config.name };
    this.outbox.packet(endpointOf(node), encodeCompound([ping, encodeSuspect(accusation)]), node);
  }

  /** The next node to probe, or undefined when none is left after one look at each. */
  private nextNode(now: Millis): NodeEntry | undefined {
    const { table, config } = this.parts;
    for (let looked = 0; looked <= table.size; looked++) {
      if (this.index >= table.size) {
        const { gossipToTheDeadMs } = config.profile;
        const gone = (node: NodeEntry): boolean =>
          (node.state === 'dead' || node.state === 'left') && now - node.changedAt > gossipToTheDeadMs;
        table.sweep((node) => node.name !== config.name && gone(node));
        this.index = 0;
        if (table.size === 0) return undefined;
      }
      const node = table.at(this.index++);
      if (node === undefined || node.name === config.name) continue;
      if (node.state === 'alive' || node.state === 'suspect') return node;
    }
    return undefined;
  }

  private escalate(now: Millis, probe: Probe): void {
    const { table, config } = this.parts;
    probe.escalateAt = NEVER;
    const { node, seqNo } = probe;
    const helpers = table.pick(
      config.profile.indirectChecks,
      (other) => other.state === 'alive' && other.name !== config.name && other.name !== node.name,
    );
    for (const helper of helpers) {
      const nack = protocolMax(helper) >= PMAX_WITH_NACK;
      if (nack) probe.nacksWanted++;
      const { sourceAddr, sourceNode, sourcePort } = this.ownPing(seqNo, '');
      const request = { seqNo, target: node.addr, port: node.port, node: node.name, nack };
      this.outbox.packetWithGossip(
        endpointOf(helper),
        encodeIndirectPing({ ...request, sourceAddr, sourceNode, sourcePort }),
      );
    }
    if (protocolMax(node) >= PMAX_WITH_TCP_PING) {
      const message = encodePing(this.ownPing(seqNo, node.name));
      this.tcpPing(now, node, message, seqNo, probe.deadline);
    }
  }

  private succeed(now: Millis): void {
    this.probe = undefined;
    this.parts.awareness.apply(-1);
    if (this.nextProbeAt < now) this.nextProbeAt = now;
  }

  private conclude(now: Millis, probe: Probe): void {
    if (probe.tcpAcked) {
      this.parts.counters.count('probe-udp-failed-tcp-answered');
      return this.succeed(now);
    }
    this.probe = undefined;
    // memberlist counts missed nacks, or one where none was asked for; the paper counts the failed probe as well.
    this.parts.awareness.apply(probe.nacksWanted > 0 ? Math.max(0, probe.nacksWanted - probe.nacks) : 1);
    const { name, incarnation } = probe.node;
    this.membership.suspect(now, { incarnation, node: name, from: this.parts.config.name });
  }
}

/** Where an answer goes: to the address that the message states, else to where its datagram came from. */
function replyTo(from: Endpoint, message: { sourceAddr: Uint8Array; sourcePort: number }): Endpoint {
  if (message.sourceAddr.length === 0 || message.sourcePort === 0) return from;
  return endpointOf({ addr: message.sourceAddr, port: message.sourcePort });
}
