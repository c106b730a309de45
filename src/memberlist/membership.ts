import { equalBytes } from '../lib/bytes.ts';
import type { Rng } from '../lib/rng.ts';
import { earliest, type Millis, NEVER } from '../lib/time.ts';
import type { Awareness } from './awareness.ts';
import type { BroadcastQueue } from './broadcast-queue.ts';
import type { MemberlistConfig } from './config.ts';
import { suspicionTimeoutMs } from './formulas.ts';
import { isNewerIncarnation, nextIncarnation } from './incarnation.ts';
import { type Alive, type Dead, encodeAlive, encodeDead, encodeSuspect, type Suspect } from './messages.ts';
import { isNameWithinBounds, META_BYTES_MAX, type NodeEntry, type NodeTable } from './node-table.ts';
import type { Counters, Delegate } from './ports.ts';
import type { PushPullNode } from './stream.ts';
import { Suspicion } from './suspicion.ts';
import { isCompatible, isUsableVersion } from './versions.ts';

const NO_VERSIONS = new Uint8Array(6);

/** The pieces of a member that its rooms share. */
export interface MembershipParts {
  readonly config: MemberlistConfig;
  readonly table: NodeTable;
  readonly queue: BroadcastQueue;
  readonly awareness: Awareness;
  readonly delegate: Delegate;
  readonly counters: Counters;
  readonly rng: Rng;
}

/**
 * SWIM's state machine with Lifeguard's additions: what an alive, suspect or dead rumour does to the node table.
 * It follows memberlist's state.go (aliveNode, suspectNode, deadNode, mergeState) rule by rule.
 */
export class Membership {
  private readonly parts: MembershipParts;
  private incarnation = 0;
  private isLeaving = false;
  /** Nodes with a running suspicion timer, so that looking for the next deadline does not walk the whole table. */
  private readonly suspects = new Set<NodeEntry>();

  constructor(parts: MembershipParts) {
    this.parts = parts;
  }

  get self(): NodeEntry | undefined {
    return this.parts.table.get(this.parts.config.name);
  }

  get leaving(): boolean {
    return this.isLeaving;
  }

  /** Puts the local node, with the meta that the delegate has now, into the table or refreshes it there. */
  announceSelf(now: Millis, finished?: () => void): void {
    const { name, addr, port, vsn } = this.parts.config;
    this.incarnation = nextIncarnation(this.incarnation);
    const alive = {
      incarnation: this.incarnation,
      node: name,
      addr,
      port,
      meta: this.parts.delegate.nodeMeta(),
      vsn,
    };
    this.alive(now, alive, { bootstrap: true, ...(finished === undefined ? {} : { finished }) });
  }

  /** Declares the local node gone on purpose. `finished` is called when the news was sent often enough. */
  leave(now: Millis, finished: () => void): void {
    this.isLeaving = true;
    const { name } = this.parts.config;
    this.dead(now, { incarnation: this.self?.incarnation ?? 0, node: name, from: name }, finished);
  }

  alive(now: Millis, news: Alive, options: { bootstrap?: boolean; finished?: () => void } = {}): void {
    const { config, delegate, counters } = this.parts;
    const isSelf = news.node === config.name;
    if (isSelf && this.isLeaving) return;
    if (news.vsn.length > 0 && !isUsableVersion(news.vsn)) return counters.count('alive-bad-version');
    // About ourselves nothing is passed over: other programs may believe it, so it must be refuted.
    if (!isSelf && !isCompatible(config.vsn, news.vsn)) return counters.count('alive-incompatible');
    if (!isSelf && (news.meta.length > META_BYTES_MAX || !isNameWithinBounds(news.node))) {
      return counters.count('alive-too-long');
    }
    const known = this.parts.table.get(news.node) ?? this.stranger(now, news);
    if (known === undefined) return;
    const moved = !equalBytes(known.addr, news.addr) || known.port !== news.port;
    // A name may move to another address only after its owner left: anything else is two machines with one name.
    if (moved && known.state !== 'left') return delegate.conflict(now, known, news);
    if (isSelf && isNewerIncarnation(known.incarnation, news.incarnation)) return;
    const isFirst = known.incarnation === 0;
    if (!isSelf && !moved && !isFirst && !isNewerIncarnation(news.incarnation, known.incarnation)) return;
    this.dropSuspicion(known);
    if (isSelf && options.bootstrap !== true) return this.answerAboutSelf(now, known, news);
    this.accept(now, known, news, options.finished);
  }

  suspect(now: Millis, news: Suspect): void {
    const { config, table, queue } = this.parts;
    const known = table.get(news.node);
    if (known === undefined || isNewerIncarnation(known.incarnation, news.incarnation)) return;
    if (known.suspicion !== undefined) {
      if (known.suspicion.confirm(news.from)) queue.queue(encodeSuspect(news), { name: news.node });
      return;
    }
    if (known.state !== 'alive') return;
    if (news.node === config.name) return this.refute(now, known, news.incarnation);
    queue.queue(encodeSuspect(news), { name: news.node });
    known.incarnation = news.incarnation;
    known.state = 'suspect';
    known.changedAt = now;
    known.suspicion = this.startSuspicion(now, news.from);
    this.suspects.add(known);
  }

  dead(now: Millis, news: Dead, finished?: () => void): void {
    const { config, table, queue, delegate } = this.parts;
    const known = table.get(news.node);
    if (known === undefined || isNewerIncarnation(known.incarnation, news.incarnation)) return finished?.();
    this.dropSuspicion(known);
    if (known.state === 'dead' || known.state === 'left') return finished?.();
    if (news.node === config.name && !this.isLeaving) return this.refute(now, known, news.incarnation);
    queue.queue(encodeDead(news), { name: news.node, ...(finished === undefined ? {} : { finished }) });
    known.incarnation = news.incarnation;
    known.state = news.node === news.from ? 'left' : 'dead';
    known.changedAt = now;
    delegate.left(now, known);
  }

  /** Takes over another node's view. A remote "dead" counts as an accusation only: a healed partition must not flap. */
  merge(now: Millis, nodes: readonly PushPullNode[]): void {
    for (const node of nodes) {
      const { name, incarnation } = node;
      const port = node.port === 0 ? this.parts.config.port : node.port;
      if (node.state === 0) this.alive(now, { ...node, node: name, port });
      else if (node.state === 3) this.dead(now, { incarnation, node: name, from: name });
      else this.suspect(now, { incarnation, node: name, from: this.parts.config.name });
    }
  }

  /** When the first suspicion runs out. */
  nextWake(): Millis {
    let next = NEVER;
    for (const node of this.suspects) next = earliest(next, node.suspicion?.deadline ?? NEVER);
    return next;
  }

  /** Declares dead every suspect that had its time to refute. */
  tick(now: Millis): void {
    for (const node of [...this.suspects]) {
      if (node.suspicion === undefined || node.suspicion.deadline > now) continue;
      this.dead(now, { incarnation: node.incarnation, node: node.name, from: this.parts.config.name });
    }
  }

  /** A node never heard of. Incarnation 0 and "dead" make the first alive message about it count as a join. */
  private stranger(now: Millis, news: Alive): NodeEntry | undefined {
    if (news.incarnation === 0) return undefined;
    const node: NodeEntry = {
      name: news.node,
      addr: news.addr,
      port: news.port,
      meta: news.meta,
      vsn: NO_VERSIONS,
      incarnation: 0,
      state: 'dead',
      changedAt: now,
      suspicion: undefined,
    };
    if (this.parts.table.add(node)) return node;
    this.parts.counters.count('node-table-full');
    return undefined;
  }

  private accept(now: Millis, known: NodeEntry, news: Alive, finished: (() => void) | undefined): void {
    const { queue, delegate } = this.parts;
    queue.queue(encodeAlive(news), { name: news.node, ...(finished === undefined ? {} : { finished }) });
    const before = known.state;
    const metaChanged = !equalBytes(known.meta, news.meta);
    known.vsn = news.vsn;
    known.incarnation = news.incarnation;
    known.meta = news.meta;
    known.addr = news.addr;
    known.port = news.port;
    if (before !== 'alive') {
      known.state = 'alive';
      known.changedAt = now;
    }
    if (before === 'dead' || before === 'left') delegate.joined(now, known);
    else if (metaChanged) delegate.updated(now, known);
  }

  private answerAboutSelf(now: Millis, self: NodeEntry, news: Alive): void {
    const same =
      news.incarnation === self.incarnation &&
      equalBytes(news.meta, self.meta) &&
      equalBytes(news.vsn, self.vsn);
    if (!same) this.refute(now, self, news.incarnation);
  }

  /** Outbids an accusation against the local node, and trusts its own health a little less for having been accused. */
  private refute(now: Millis, self: NodeEntry, accused: number): void {
    const last = isNewerIncarnation(accused, this.incarnation) ? accused : this.incarnation;
    this.incarnation = nextIncarnation(last);
    this.parts.awareness.apply(1);
    self.incarnation = this.incarnation;
    if (self.state !== 'alive') {
      self.state = 'alive';
      self.changedAt = now;
    }
    const { addr, port, meta, vsn } = self;
    this.parts.queue.queue(
      encodeAlive({ incarnation: this.incarnation, node: self.name, addr, port, meta, vsn }),
      { name: self.name },
    );
  }

  private startSuspicion(now: Millis, from: string): Suspicion {
    const { config, table } = this.parts;
    const { suspicionMult, suspicionMaxTimeoutMult, probeIntervalMs } = config.profile;
    const expected = suspicionMult - 2;
    // With too few nodes to confirm, waiting for confirmations would only delay every verdict to the maximum.
    const wanted = table.size - 2 < expected ? 0 : expected;
    const min = suspicionTimeoutMs(suspicionMult, table.size, probeIntervalMs);
    return new Suspicion({ now, from, wanted, min, max: min * suspicionMaxTimeoutMult });
  }

  private dropSuspicion(node: NodeEntry): void {
    node.suspicion = undefined;
    this.suspects.delete(node);
  }
}
