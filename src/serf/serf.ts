import { DecodeError } from '../lib/errors.ts';
import type { Endpoint } from '../lib/net-address.ts';
import type { Rng } from '../lib/rng.ts';
import { earliest, type Millis } from '../lib/time.ts';
import { Memberlist } from '../memberlist/memberlist.ts';
import { endpointOf, type NodeEntry } from '../memberlist/node-table.ts';
import { gossipBytesMax } from '../memberlist/outbox.ts';
import type { Delegate, Output } from '../memberlist/ports.ts';
import { Broadcasts } from './broadcasts.ts';
import type { CoordinateFields } from './coordinate-codec.ts';
import { Coordinates } from './coordinates.ts';
import { Departure } from './departure.ts';
import type { SerfEvent } from './events.ts';
import { LamportClock } from './lamport-clock.ts';
import type { Member, MemberEventKind } from './member.ts';
import { MemberTable } from './member-table.ts';
import { decodeSerfMessage, encodeJoin, encodeLeave, isQueryResponse, type SerfMessage } from './messages.ts';
import { Queries } from './queries.ts';
import { memberlistConfig, SERF_TIMINGS, type SerfConfig, type SerfTimings } from './serf-config.ts';
import type { SnapshotClocks } from './snapshot.ts';
import { Spreader } from './spreader.ts';
import { localState, mergeState } from './state-exchange.ts';
import { encodeTags } from './tags.ts';
import { UserEvents } from './user-events.ts';

const REAP_INTERVAL_MS: Millis = 15_000;
const QUERY_TIMEOUT_MULT = 16;
/** The longest message that any Serf can be set to spread (its UserEventSizeLimit). Answers do not spread. */
const SPREAD_BYTES_MAX = 9 * 1024;

/**
 * One Serf member, pure like the Memberlist it drives: membership with intents, user events and queries on Serf's wire.
 * Packets and streams go in through `memberlist`'s received... methods; `tick` and `nextWake` tell the time; `drain`
 * gives what to send and `takeEvents` what happened.
 */
export class Serf {
  readonly memberlist: Memberlist;
  readonly members: MemberTable;
  readonly queries: Queries;
  private readonly config: SerfConfig;
  private readonly rng: Rng;
  private readonly clock = new LamportClock();
  private readonly userEvents: UserEvents;
  private readonly coordinates: Coordinates;
  private readonly broadcasts: Broadcasts;
  private readonly spreader: Spreader;
  private readonly departure: Departure;
  private readonly timings: SerfTimings;
  private tags: ReadonlyMap<string, string>;
  private events: SerfEvent[] = [];
  /** Joins under way whose past is passed over. Reconnecting is not one: what happened meanwhile is news. */
  private joining = 0;
  private nextReapAt: Millis;
  private nextReconnectAt: Millis;

  /** Throws a FanoutError when the tags do not fit into 512 bytes. */
  constructor(config: SerfConfig, rng: Rng, now: Millis) {
    this.config = config;
    this.rng = rng;
    this.tags = config.tags;
    this.timings = config.timings ?? SERF_TIMINGS;
    this.departure = new Departure(this.timings.broadcastTimeoutMs);
    const emit = (event: SerfEvent): void => {
      this.events.push(event);
    };
    this.broadcasts = new Broadcasts(config.profile.retransmitMult, gossipBytesMax(config.keyring));
    const changed = (event: MemberEventKind, member: Member): void => {
      if (event === 'member-reap') this.coordinates.forget(member.name);
      emit({ kind: 'member', event, member });
    };
    this.members = new MemberTable(config.name, changed, this.timings);
    const memberlist = (): Memberlist => this.memberlist;
    this.spreader = new Spreader(this.broadcasts, memberlist, now);
    this.userEvents = new UserEvents(this.spreader, emit);
    this.coordinates = new Coordinates(config.name, rng);
    const { members, spreader } = this;
    this.queries = new Queries({
      config,
      rng,
      members,
      spreader,
      memberlist,
      localTags: () => this.tags,
      emit,
    });
    this.restore(config.restored);
    this.memberlist = new Memberlist(memberlistConfig(config), this.delegate(), rng, now);
    this.nextReapAt = now + REAP_INTERVAL_MS;
    this.nextReconnectAt = now + this.timings.reconnectIntervalMs;
    this.memberlist.start(now);
  }

  get name(): string {
    return this.config.name;
  }

  get localTags(): ReadonlyMap<string, string> {
    return this.tags;
  }

  /** The Lamport time of membership. */
  get memberTime(): number {
    return this.clock.time;
  }

  get isEncrypted(): boolean {
    return this.config.keyring !== undefined;
  }

  get isLeaving(): boolean {
    return this.departure.isUnderWay;
  }

  /** Where a member is in the network, ourselves included; undefined when no probe of ours has told us. */
  coordinateOf(name: string): CoordinateFields | undefined {
    return this.coordinates.of(name);
  }

  /** How long Serf waits for answers when nobody says (Serf, DefaultQueryTimeout). */
  defaultQueryTimeoutMs(): Millis {
    const live = this.memberlist.liveCount();
    return this.config.profile.gossipIntervalMs * QUERY_TIMEOUT_MULT * Math.ceil(Math.log10(live + 1));
  }

  /** The `serf` section of Serf's stats, all texts. */
  stats(): Record<string, string> {
    return {
      coordinate_resets: String(this.coordinates.resets),
      encrypted: String(this.isEncrypted),
      event_queue: String(this.broadcasts.depth('event')),
      event_time: String(this.userEvents.clock.time),
      failed: String(this.members.count('failed')),
      health_score: String(this.memberlist.healthScore),
      intent_queue: String(this.broadcasts.depth('intent')),
      left: String(this.members.count('left')),
      member_time: String(this.clock.time),
      members: String(this.members.size),
      query_queue: String(this.broadcasts.depth('query')),
      query_time: String(this.queries.clock.time),
    };
  }

  nextWake(): Millis {
    return earliest(
      this.memberlist.nextWake(),
      this.queries.nextWake(),
      this.departure.nextWake,
      this.nextReapAt,
      this.nextReconnectAt,
    );
  }

  tick(now: Millis): void {
    this.memberlist.tick(now);
    this.queries.tick(now);
    this.continueLeaving(now);
    if (now >= this.nextReapAt) {
      this.nextReapAt = now + REAP_INTERVAL_MS;
      this.members.reap(now);
    }
    if (now >= this.nextReconnectAt) {
      this.nextReconnectAt = now + this.timings.reconnectIntervalMs;
      const member = this.members.reconnectCandidate(this.rng);
      if (member !== undefined) this.memberlist.join(now, endpointOf(member), () => {});
    }
  }

  drain(): Output[] {
    return this.memberlist.drain();
  }

  takeEvents(): SerfEvent[] {
    const { events } = this;
    this.events = [];
    return events;
  }

  /**
   * Joins through one address. `done` gets undefined for success, else what went wrong. With `replays`, user events that
   * were there before us are told of too.
   */
  join(
    now: Millis,
    to: Endpoint,
    done: (failure: string | undefined) => void,
    options: { readonly replays?: boolean } = {},
  ): void {
    const ignores = options.replays === true ? 0 : 1;
    this.joining += ignores;
    this.memberlist.join(now, to, (at, failure) => {
      this.joining -= ignores;
      // Who was told to go while it was still joining must not take its own farewell back.
      if (failure === undefined && !this.departure.isUnderWay) this.announceJoin(at);
      done(failure);
    });
  }

  /** Reaches for a member of before: what happened meanwhile is news, and our coming is none to announce. */
  rejoin(now: Millis, to: Endpoint, done: (failure: string | undefined) => void): void {
    this.memberlist.join(now, to, (_at, failure) => done(failure));
  }

  /** Starts a graceful leave; the event `left` ends it, after two broadcast timeouts and a pause at most. */
  leave(now: Millis): void {
    if (this.departure.isUnderWay) return;
    this.departure.begin(now);
    const ltime = this.clock.take();
    this.members.leaveIntent(now, this.config.name, ltime);
    const intent = encodeLeave({ ltime, node: this.config.name, prune: false });
    if (this.hasPeers()) this.spreader.gossip('intent', intent, () => this.departure.spread('intent'));
    else this.departure.spread('intent');
  }

  /** Tells the cluster that a failed member is gone for good; with `prune` it is forgotten at once. */
  forceLeave(now: Millis, node: string, prune: boolean): void {
    const ltime = this.clock.take();
    this.spreader.gossip('intent', encodeLeave({ ltime, node, prune }));
    if (this.applyLeave(now, node, ltime) && prune) this.members.prune(node);
  }

  /** Replaces the local tags. Throws a FanoutError when they do not fit into 512 bytes. */
  setTags(now: Millis, tags: ReadonlyMap<string, string>): void {
    encodeTags(tags);
    this.tags = tags;
    this.memberlist.updateMeta(now, () => {});
  }

  /** Fires a user event. Throws DecodeError('event-size') when it is over Serf's limit of 512 bytes. */
  userEvent(now: Millis, name: string, payload: Uint8Array, coalesce: boolean): void {
    this.userEvents.fire(now, name, payload, coalesce);
  }

  private restore(clocks: SnapshotClocks | undefined): void {
    if (clocks === undefined) return;
    const { clock, eventClock, queryClock } = clocks;
    this.clock.witness(clock);
    this.userEvents.clock.witness(eventClock);
    this.userEvents.ignoreBefore(eventClock + 1);
    this.queries.clock.witness(queryClock);
    this.queries.ignoreBefore(queryClock + 1);
  }

  private delegate(): Delegate {
    return {
      nodeMeta: () => encodeTags(this.tags),
      userMessage: (now, from, payload) => this.received(now, from, payload),
      takeBroadcasts: (overhead, budget) => this.broadcasts.take(overhead, budget, this.members.size),
      hasBroadcasts: () => !this.broadcasts.isEmpty,
      localState: () => localState(this.stateParts()),
      mergeRemoteState: (now, state, join) => mergeState(this.stateParts(), now, state, join),
      joined: (_now, node) => this.members.nodeJoined(node),
      left: (now, node) => this.members.nodeLeft(now, node),
      updated: (_now, node) => this.members.nodeUpdated(node),
      conflict: (_now, existing, other) => this.conflict(existing, other),
      ackPayload: () => this.coordinates.payload(),
      pinged: (node, rttMs, payload) => this.pinged(node.name, rttMs, payload),
    };
  }

  private stateParts(): Parameters<typeof localState>[0] {
    const { clock, members, userEvents, queries } = this;
    return {
      clock,
      queryClock: queries.clock,
      members,
      userEvents,
      counters: () => this.memberlist.counters,
      applyLeave: (now, node, ltime) => this.applyLeave(now, node, ltime),
      ignoresPast: () => this.joining > 0,
    };
  }

  private pinged(name: string, rttMs: Millis, payload: Uint8Array | null): void {
    this.members.pinged(name, rttMs);
    // Members may have coordinates switched off, and helpers pass none on.
    if (payload === null || payload.length === 0) return;
    try {
      this.coordinates.pinged(name, rttMs, payload);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.memberlist.counters.count(`serf-coordinate-${error.reason}`);
    }
  }

  private received(now: Millis, from: Endpoint, payload: Uint8Array): void {
    let message: SerfMessage;
    try {
      message = decodeSerfMessage(payload);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      return this.memberlist.counters.count(`serf-${error.reason}`);
    }
    if (payload.length > SPREAD_BYTES_MAX && message.kind !== 'queryResponse') {
      return this.memberlist.counters.count('serf-too-long');
    }
    switch (message.kind) {
      case 'join':
        this.clock.witness(message.ltime);
        if (this.members.joinIntent(now, message.node, message.ltime))
          this.spreader.gossip('intent', payload);
        return;
      case 'leave':
        return this.handleLeave(now, message, payload);
      case 'userEvent':
        if (this.userEvents.admit(message)) this.spreader.push(now, 'event', payload);
        return;
      case 'query':
        return this.queries.received(now, message, payload, from.host);
      case 'queryResponse':
        return this.queries.answered(now, message);
      case 'relay':
        return this.relay(message);
      default:
        return this.memberlist.counters.count('serf-unexpected');
    }
  }

  /** Passes an answer on. Nothing else is ever relayed: who could have anything said by us, or relays in relays? */
  private relay(message: Extract<SerfMessage, { kind: 'relay' }>): void {
    const { destAddr, inner } = message;
    if (!isQueryResponse(inner)) return this.memberlist.counters.count('serf-relay-refused');
    this.memberlist.sendUser(endpointOf({ addr: destAddr.ip, port: destAddr.port }), inner);
  }

  private handleLeave(
    now: Millis,
    message: Extract<SerfMessage, { kind: 'leave' }>,
    payload: Uint8Array,
  ): void {
    const { node, ltime, prune } = message;
    if (!this.applyLeave(now, node, ltime)) return;
    this.spreader.gossip('intent', payload);
    if (prune) this.members.prune(node);
  }

  /** Applies a leave intent; one about ourselves, while we stay, is answered with a join intent instead. */
  private applyLeave(now: Millis, node: string, ltime: number): boolean {
    this.clock.witness(ltime);
    if (node !== this.config.name || this.departure.isUnderWay)
      return this.members.leaveIntent(now, node, ltime);
    const known = this.members.get(node);
    if (known !== undefined && ltime > known.statusLTime) this.announceJoin(now);
    return false;
  }

  private hasPeers(): boolean {
    return this.memberlist.liveCount() > 1;
  }

  private announceJoin(now: Millis): void {
    const ltime = this.clock.time;
    this.clock.witness(ltime);
    this.members.joinIntent(now, this.config.name, ltime);
    this.spreader.gossip('intent', encodeJoin({ ltime, node: this.config.name }));
  }

  private continueLeaving(now: Millis): void {
    const step = this.departure.tick(now);
    if (step === 'report-gone') this.events.push({ kind: 'left' });
    if (step !== 'send-farewell') return;
    const hadPeers = this.hasPeers();
    this.memberlist.leave(now, () => this.departure.spread('farewell'));
    if (!hadPeers) this.departure.spread('farewell');
  }

  private conflict(existing: NodeEntry, other: { addr: Uint8Array; port: number }): void {
    const mine = endpointOf(existing);
    this.events.push({ kind: 'conflict', name: existing.name, mine, theirs: endpointOf(other) });
  }
}
