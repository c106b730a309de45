import { DecodeError } from '../lib/errors.ts';
import type { Rng } from '../lib/rng.ts';
import type { Millis } from '../lib/time.ts';
import { isNameWithinBounds, NODES_MAX, type NodeEntry } from '../memberlist/node-table.ts';
import type { Member, MemberEventKind } from './member.ts';
import { SERF_TIMINGS, type SerfTimings } from './serf-config.ts';
import { decodeTags } from './tags.ts';

/** Serf's DefaultConfig. */
export const RECENT_INTENT_TIMEOUT_MS: Millis = 5 * 60_000;
/** Intents about nodes never seen. A peer can invent names without end, so the buffer cannot grow without end. */
const INTENTS_MAX = 8192;

interface Intent {
  readonly kind: 'join' | 'leave';
  readonly ltime: number;
  readonly at: Millis;
}

export type MemberEventSink = (kind: MemberEventKind, member: Member) => void;

/** Serf's member list: memberlist's nodes, refined by Lamport-timed intents into alive, leaving, left and failed. */
export class MemberTable {
  private readonly members = new Map<string, Member>();
  private readonly intents = new Map<string, Intent>();
  /** Members to be forgotten as soon as they have left. */
  private readonly pruned = new Set<string>();
  private readonly roundTrips = new Map<string, Millis>();
  private readonly emit: MemberEventSink;
  private readonly self: string;
  private readonly timings: SerfTimings;

  constructor(self: string, emit: MemberEventSink, timings = SERF_TIMINGS) {
    this.self = self;
    this.emit = emit;
    this.timings = timings;
  }

  get size(): number {
    return this.members.size;
  }

  get(name: string): Member | undefined {
    return this.members.get(name);
  }

  /** A probe of ours was answered. */
  pinged(name: string, rttMs: Millis): void {
    if (this.members.has(name)) this.roundTrips.set(name, rttMs);
  }

  /** The round trip of the last probe that this member answered; undefined when there was none. */
  rttMs(name: string): Millis | undefined {
    return this.roundTrips.get(name);
  }

  all(): IterableIterator<Member> {
    return this.members.values();
  }

  count(status: Member['status']): number {
    let count = 0;
    for (const member of this.members.values()) if (member.status === status) count++;
    return count;
  }

  nodeJoined(node: NodeEntry): void {
    let member = this.members.get(node.name);
    this.pruned.delete(node.name);
    if (member === undefined) {
      if (this.members.size >= NODES_MAX) this.makeRoom();
      member = this.memberOf(node);
      const intent = this.intents.get(node.name);
      if (intent !== undefined) {
        member.statusLTime = intent.ltime;
        if (intent.kind === 'leave') member.status = 'leaving';
      }
      this.members.set(node.name, member);
    } else {
      this.refresh(member, node);
      member.status = 'alive';
    }
    this.emit('member-join', member);
  }

  /** memberlist cannot tell leaving from failing: only a leave intent that came before makes it a leave. */
  nodeLeft(now: Millis, node: NodeEntry): void {
    const member = this.members.get(node.name);
    if (member === undefined) return;
    if (member.status !== 'leaving' && member.status !== 'alive') return;
    const isLeave = member.status === 'leaving';
    member.status = isLeave ? 'left' : 'failed';
    member.goneAt = now;
    this.emit(isLeave ? 'member-leave' : 'member-failed', member);
    if (this.pruned.delete(node.name) && isLeave) this.erase(node.name);
  }

  nodeUpdated(node: NodeEntry): void {
    const member = this.members.get(node.name);
    if (member === undefined) return;
    this.refresh(member, node);
    this.emit('member-update', member);
  }

  /** Applies a join intent; true when it is news and should be spread. */
  joinIntent(now: Millis, name: string, ltime: number): boolean {
    const member = this.members.get(name);
    if (member === undefined) return this.buffer(now, name, 'join', ltime);
    if (ltime <= member.statusLTime) return false;
    member.statusLTime = ltime;
    if (member.status === 'leaving') {
      member.status = 'alive';
      this.pruned.delete(name);
    }
    return true;
  }

  /** Applies a leave intent; true when it is news and should be spread. The caller has dealt with one about ourselves. */
  leaveIntent(now: Millis, name: string, ltime: number): boolean {
    const member = this.members.get(name);
    if (member === undefined) return this.buffer(now, name, 'leave', ltime);
    if (ltime <= member.statusLTime) return false;
    member.statusLTime = ltime;
    if (member.status === 'alive') {
      member.status = 'leaving';
    } else if (member.status === 'failed') {
      member.status = 'left';
      this.emit('member-leave', member);
    }
    return true;
  }

  /**
   * Forgets a member that is gone (force-leave with prune); one that is only said to leave, once it has left. A live
   * member answers the accusation with a join intent and stays: memberlist would never announce it again.
   */
  prune(name: string): void {
    const status = this.members.get(name)?.status;
    if (status === 'failed' || status === 'left') this.erase(name);
    else if (status === 'leaving' && name !== this.self) this.pruned.add(name);
  }

  /** Forgets members that failed or left long ago, and intents about nodes that never came. */
  reap(now: Millis): void {
    const { reconnectTimeoutMs, tombstoneTimeoutMs } = this.timings;
    for (const member of [...this.members.values()]) {
      const gone = now - member.goneAt;
      if (member.status === 'failed' && gone > reconnectTimeoutMs) this.erase(member.name);
      else if (member.status === 'left' && gone > tombstoneTimeoutMs) this.erase(member.name);
    }
    for (const [name, intent] of this.intents) {
      if (now - intent.at > RECENT_INTENT_TIMEOUT_MS) this.intents.delete(name);
    }
  }

  /**
   * A failed member to try to reach again, chosen with probability failed/alive, so that a whole cluster together makes
   * about one attempt per failed member (Serf, reconnect).
   */
  reconnectCandidate(rng: Rng): Member | undefined {
    const failed = [...this.members.values()].filter((member) => member.status === 'failed');
    if (failed.length === 0) return undefined;
    const alive = Math.max(1, this.count('alive'));
    return rng.float() < failed.length / alive ? failed[rng.below(failed.length)] : undefined;
  }

  private erase(name: string): void {
    const member = this.members.get(name);
    if (member === undefined || name === this.self) return;
    this.drop(name);
    this.pruned.delete(name);
    this.emit('member-reap', member);
  }

  /** Whoever is gone for longest is forgotten before his day is over: memberlist's bound on nodes is ours too. */
  private drop(name: string): boolean {
    this.roundTrips.delete(name);
    return this.members.delete(name);
  }

  private makeRoom(): void {
    let oldest: Member | undefined;
    for (const member of this.members.values()) {
      if (member.status !== 'failed' && member.status !== 'left') continue;
      if (oldest === undefined || member.goneAt < oldest.goneAt) oldest = member;
    }
    if (oldest !== undefined) this.erase(oldest.name);
  }

  private buffer(now: Millis, name: string, kind: Intent['kind'], ltime: number): boolean {
    if (!isNameWithinBounds(name)) return false;
    const known = this.intents.get(name);
    if (known !== undefined ? ltime <= known.ltime : this.intents.size >= INTENTS_MAX) return false;
    this.intents.set(name, { kind, ltime, at: now });
    return true;
  }

  private memberOf(node: NodeEntry): Member {
    return {
      name: node.name,
      addr: node.addr,
      port: node.port,
      tags: tagsOf(node.meta),
      vsn: node.vsn,
      status: 'alive',
      statusLTime: 0,
      goneAt: 0,
    };
  }

  private refresh(member: Member, node: NodeEntry): void {
    member.addr = node.addr;
    member.port = node.port;
    member.vsn = node.vsn;
    member.tags = tagsOf(node.meta);
  }
}

/** A node whose meta is broken is a member without tags: it can be seen and forced out, and matches no selector. */
function tagsOf(meta: Uint8Array): ReadonlyMap<string, string> {
  try {
    return decodeTags(meta);
  } catch (error) {
    if (error instanceof DecodeError) return new Map();
    throw error;
  }
}
