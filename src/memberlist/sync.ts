import { DecodeError } from '../lib/errors.ts';
import type { Endpoint } from '../lib/net-address.ts';
import { formatEndpoint } from '../lib/net-address.ts';
import { earliest, type Millis } from '../lib/time.ts';
import { pushPullIntervalMs } from './formulas.ts';
import type { Membership, MembershipParts } from './membership.ts';
import { encodeAck, encodeError } from './messages.ts';
import { endpointOf, type NodeEntry } from './node-table.ts';
import type { Outbox } from './outbox.ts';
import type { StreamId } from './ports.ts';
import {
  encodePushPull,
  type PushPull,
  type PushPullNode,
  type StreamMessage,
  StreamReader,
} from './stream.ts';
import { incompatibility } from './versions.ts';

/** Inbound streams that have not said anything complete yet. Above this the oldest makes room: silence earns no seat. */
const INBOUND_STREAMS_MAX = 512;
/** What all inbound streams together may have sent without completing a message. Far above any honest cluster state. */
const INBOUND_BUFFER_BYTES_MAX = 64 * 1024 * 1024;
/** Errors of the outer layers, which a real peer expects to be told about (memberlist, net.go handleConn). */
const OUTER_ERRORS: Readonly<Record<string, string>> = {
  'encryption-missing': 'Encryption is configured but remote state is not encrypted',
  'encryption-unexpected': 'Remote state is encrypted and encryption is not configured',
  decrypt: 'No installed keys could decrypt the message',
  decompress: 'Broken compression',
};

/** How a push/pull or TCP ping that we started ended: undefined for success, else what went wrong. */
export type ExchangeDone = (now: Millis, failure: string | undefined) => void;

type Stream =
  | { readonly kind: 'inbound'; readonly reader: StreamReader; readonly until: Millis; buffered: number }
  | {
      readonly kind: 'outbound';
      readonly reader: StreamReader;
      readonly until: Millis;
      readonly to: Endpoint;
      readonly done: ExchangeDone;
      readonly expects: 'pushPull' | 'ack';
      readonly seqNo: number;
      readonly join: boolean;
    };

/** Everything that goes over TCP: push/pull for joining and anti-entropy, TCP pings, and the door to fanout's own streams. */
export class Sync {
  private readonly parts: MembershipParts;
  private readonly membership: Membership;
  private readonly outbox: Outbox;
  private readonly streams = new Map<StreamId, Stream>();
  private lastId: StreamId = 0;
  private inbound = 0;
  private inboundBytes = 0;
  private nextExchangeAt: Millis;

  constructor(parts: MembershipParts, membership: Membership, outbox: Outbox, now: Millis) {
    this.parts = parts;
    this.membership = membership;
    this.outbox = outbox;
    this.nextExchangeAt = now + parts.rng.below(parts.config.profile.pushPullIntervalMs);
  }

  nextWake(): Millis {
    let next = this.nextExchangeAt;
    for (const stream of this.streams.values()) next = earliest(next, stream.until);
    return next;
  }

  tick(now: Millis): void {
    for (const [id, stream] of this.streams) {
      if (stream.until > now) continue;
      this.forget(id);
      this.outbox.push({ kind: 'close', id });
      if (stream.kind === 'outbound') stream.done(now, `${formatEndpoint(stream.to)}: timed out`);
      else this.parts.counters.count('stream-timeout');
    }
    if (now >= this.nextExchangeAt) this.exchangeWithRandomPeer(now);
  }

  /** Starts a push/pull with `to`; `join` is true for join, reconnect and rejoin. */
  exchange(now: Millis, to: Endpoint, join: boolean, done: ExchangeDone): void {
    this.dial(now, to, encodePushPull(this.localState(join)), {
      done,
      expects: 'pushPull',
      seqNo: 0,
      join,
      until: now + this.parts.config.profile.tcpTimeoutMs,
    });
  }

  ping(
    now: Millis,
    node: NodeEntry,
    message: Uint8Array,
    seqNo: number,
    until: Millis,
    done: ExchangeDone,
  ): void {
    this.dial(now, endpointOf(node), message, { done, expects: 'ack', seqNo, join: false, until });
  }

  /** A peer opened a stream. */
  accepted(now: Millis): StreamId {
    if (this.inbound >= INBOUND_STREAMS_MAX) this.evictOldest();
    const id = ++this.lastId;
    const until = now + this.parts.config.profile.tcpTimeoutMs;
    const reader = new StreamReader(this.parts.config.keyring);
    this.streams.set(id, { kind: 'inbound', reader, until, buffered: 0 });
    this.inbound++;
    return id;
  }

  received(now: Millis, id: StreamId, from: Endpoint, chunk: Uint8Array): void {
    const stream = this.streams.get(id);
    if (stream === undefined) return;
    if (stream.kind === 'inbound' && !this.admit(id, stream, chunk.length)) return;
    let message: StreamMessage | undefined;
    try {
      message = stream.reader.push(chunk);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      return this.broken(now, id, stream, error);
    }
    if (message === undefined) return;
    this.forget(id);
    if (stream.kind === 'inbound') this.answer(now, id, from, message);
    else this.conclude(now, id, stream, message);
  }

  /** The stream ended without (further) data, or could not be opened. */
  closed(now: Millis, id: StreamId, error: string | undefined): void {
    const stream = this.streams.get(id);
    if (stream === undefined) return;
    this.forget(id);
    if (stream.kind === 'outbound') {
      stream.done(
        now,
        `${formatEndpoint(stream.to)}: ${error ?? 'the peer closed the connection without an answer'}`,
      );
    }
  }

  private dial(
    now: Millis,
    to: Endpoint,
    message: Uint8Array,
    options: { done: ExchangeDone; expects: 'pushPull' | 'ack'; seqNo: number; join: boolean; until: Millis },
  ): void {
    const id = ++this.lastId;
    const reader = new StreamReader(this.parts.config.keyring);
    this.streams.set(id, { kind: 'outbound', reader, to, ...options });
    const timeoutMs = Math.max(0, options.until - now);
    this.outbox.push({ kind: 'dial', id, to, bytes: this.outbox.sealStream(message), timeoutMs });
  }

  private admit(id: StreamId, stream: Extract<Stream, { kind: 'inbound' }>, bytes: number): boolean {
    stream.buffered += bytes;
    this.inboundBytes += bytes;
    while (this.inboundBytes > INBOUND_BUFFER_BYTES_MAX) {
      // Who holds most makes room, so that a hoard does not shut out those who come with little.
      const largest = this.largestInbound() ?? id;
      this.parts.counters.count('stream-memory');
      this.forget(largest);
      this.outbox.push({ kind: 'close', id: largest });
      if (largest === id) return false;
    }
    return true;
  }

  private largestInbound(): StreamId | undefined {
    let largest: StreamId | undefined;
    let most = 0;
    for (const [id, stream] of this.streams) {
      if (stream.kind !== 'inbound' || stream.buffered <= most) continue;
      largest = id;
      most = stream.buffered;
    }
    return largest;
  }

  private forget(id: StreamId): void {
    const stream = this.streams.get(id);
    if (stream === undefined) return;
    this.streams.delete(id);
    if (stream.kind !== 'inbound') return;
    this.inbound--;
    this.inboundBytes -= stream.buffered;
  }

  private evictOldest(): void {
    for (const [id, stream] of this.streams) {
      if (stream.kind !== 'inbound') continue;
      this.parts.counters.count('stream-evicted');
      this.forget(id);
      this.outbox.push({ kind: 'close', id });
      return;
    }
  }

  private broken(now: Millis, id: StreamId, stream: Stream, error: DecodeError): void {
    this.forget(id);
    this.parts.counters.count(`stream-${error.reason}`);
    if (stream.kind === 'outbound') {
      stream.done(now, `${formatEndpoint(stream.to)}: ${error.message}`);
    } else {
      const told = OUTER_ERRORS[error.reason];
      if (told !== undefined) {
        this.outbox.push({ kind: 'write', id, bytes: this.outbox.sealStream(encodeError(told)) });
      }
    }
    this.outbox.push({ kind: 'close', id });
  }

  private answer(now: Millis, id: StreamId, from: Endpoint, message: StreamMessage): void {
    switch (message.kind) {
      case 'fanout':
        this.outbox.push({ kind: 'handover', id, body: message.body, rest: message.rest });
        return;
      case 'pushPull':
        this.reply(id, encodePushPull(this.localState(message.join)));
        this.merge(now, message, false);
        break;
      case 'ping':
        if (message.node === '' || message.node === this.parts.config.name) {
          this.reply(id, encodeAck({ seqNo: message.seqNo, payload: null }));
        }
        break;
      case 'user':
        this.parts.delegate.userMessage(now, from, message.payload);
        break;
      default:
        this.parts.counters.count('stream-unexpected');
    }
    this.outbox.push({ kind: 'close', id });
  }

  private reply(id: StreamId, message: Uint8Array): void {
    this.outbox.push({ kind: 'write', id, bytes: this.outbox.sealStream(message) });
  }

  private conclude(
    now: Millis,
    id: StreamId,
    stream: Extract<Stream, { kind: 'outbound' }>,
    message: StreamMessage,
  ): void {
    this.outbox.push({ kind: 'close', id });
    const where = formatEndpoint(stream.to);
    if (message.kind === 'error') return stream.done(now, `${where}: remote error: ${message.text}`);
    if (message.kind !== stream.expects)
      return stream.done(now, `${where}: unexpected ${message.kind} message`);
    if (message.kind === 'ack') {
      return stream.done(
        now,
        message.seqNo === stream.seqNo ? undefined : `${where}: acknowledged another ping`,
      );
    }
    if (message.kind !== 'pushPull') return;
    const failure = this.merge(now, message, stream.join);
    stream.done(now, failure === undefined ? undefined : `${where}: ${failure}`);
  }

  /** `join`: we asked, in order to join. What the message says of joining is the asker's word, or an echo of ours. */
  private merge(now: Millis, remote: PushPull, join: boolean): string | undefined {
    const failure = incompatibility(this.parts.config, remote.nodes);
    if (failure !== undefined) {
      this.parts.counters.count('merge-incompatible');
      return failure;
    }
    this.membership.merge(now, remote.nodes);
    if (remote.userState.length > 0) this.parts.delegate.mergeRemoteState(now, remote.userState, join);
    return undefined;
  }

  private localState(join: boolean): PushPull {
    const nodes = this.parts.table.all().map(
      (node): PushPullNode => ({
        name: node.name,
        addr: node.addr,
        port: node.port,
        meta: node.meta,
        incarnation: node.incarnation,
        state: ({ alive: 0, suspect: 1, dead: 2, left: 3 } as const)[node.state],
        vsn: node.vsn,
      }),
    );
    return { join, nodes, userState: this.parts.delegate.localState(join) };
  }

  private exchangeWithRandomPeer(now: Millis): void {
    const { table, config } = this.parts;
    this.nextExchangeAt = now + pushPullIntervalMs(config.profile.pushPullIntervalMs, table.size);
    const [peer] = table.pick(1, (node) => node.state === 'alive' && node.name !== config.name);
    if (peer === undefined) return;
    this.exchange(now, endpointOf(peer), false, (_now, failure) => {
      if (failure !== undefined) this.parts.counters.count('push-pull-failed');
    });
  }
}
