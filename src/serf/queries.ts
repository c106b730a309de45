import { DecodeError } from '../lib/errors.ts';
import type { Rng } from '../lib/rng.ts';
import type { Millis } from '../lib/time.ts';
import type { Memberlist } from '../memberlist/memberlist.ts';
import { endpointOf, protocolMax } from '../memberlist/node-table.ts';
import type { QueryKey, QueryRequest, SerfEvent } from './events.ts';
import { decodeFilter } from './filters.ts';
import { answerKeyQuery, type KeyOperation, keyOperationOf, OPEN_KEYS } from './key-queries.ts';
import { LamportClock } from './lamport-clock.ts';
import type { MemberTable } from './member-table.ts';
import {
  encodeConflictResponse,
  encodeQuery,
  encodeQueryResponse,
  encodeRelay,
  type SerfMessage,
} from './messages.ts';
import { CONFLICT_QUERY } from './name-vote.ts';
import { FANOUT_QUERY, QueryBook, type QueryMessage } from './query-book.ts';
import type { SerfConfig } from './serf-config.ts';
import type { Spreader } from './spreader.ts';

/** Serf's limit for queries, answers and relayed answers. */
const QUERY_BYTES_MAX = 1024;
const FLAG_ACK = 1;
const FLAG_NO_BROADCAST = 2;
/** Copies of one answer that go through helpers, whatever a query asks for: answers must not be an amplifier. */
const RELAY_COPIES_MAX = 10;
/** memberlist's protocol from which on a node understands relays. */
const PMAX_WITH_RELAY = 5;
/** A timeout that comes by wire is believed up to here. */
const TIMEOUT_MS_MAX: Millis = 3_600_000;

interface QueriesParts {
  readonly config: SerfConfig;
  readonly rng: Rng;
  readonly members: MemberTable;
  readonly spreader: Spreader;
  readonly memberlist: () => Memberlist;
  readonly localTags: () => ReadonlyMap<string, string>;
  readonly emit: (event: SerfEvent) => void;
}

/** Serf's queries: asking, spreading, filtering, acknowledging, answering, collecting (Serf, query.go and handleQuery). */
export class Queries {
  readonly clock = new LamportClock();
  private readonly parts: QueriesParts;
  private readonly book = new QueryBook();

  constructor(parts: QueriesParts) {
    this.parts = parts;
  }

  /** Queries before this time were asked before us and are not heard again. */
  ignoreBefore(ltime: number): void {
    this.book.ignoreBefore(ltime);
  }

  nextWake(): Millis {
    return this.book.nextWake();
  }

  tick(now: Millis): void {
    for (const key of this.book.expire(now)) this.parts.emit({ kind: 'query-done', key });
  }

  /** Whether a query stays within Serf's limit of 1024 bytes, whatever its Lamport time and id will be. */
  fits(request: QueryRequest): boolean {
    const longest = { ltime: Number.MAX_SAFE_INTEGER, id: 0x7fffffff };
    return encodeQuery(this.message(longest, request, FLAG_NO_BROADCAST)).length <= QUERY_BYTES_MAX;
  }

  /** Starts a query. Throws DecodeError('query-size') when it is over Serf's limit of 1024 bytes. */
  ask(now: Millis, request: QueryRequest): QueryKey {
    const key = { ltime: this.clock.time, id: this.parts.rng.u32() & 0x7fffffff };
    const query = this.message(key, request, 0);
    const bytes = encodeQuery(query);
    if (bytes.length > QUERY_BYTES_MAX) {
      throw new DecodeError('query-size', `query exceeds limit of ${QUERY_BYTES_MAX} bytes`);
    }
    this.book.ask(key.ltime, key.id, now + request.timeoutMs);
    this.sendDirect(request.targets, bytes);
    this.received(now, query, bytes, '');
    return key;
  }

  /** Sends a running query once more to some members; fanout agents that know it already acknowledge it again. */
  repeat(key: QueryKey, request: QueryRequest, targets: readonly string[]): void {
    this.sendDirect(targets, encodeQuery(this.message(key, request, FLAG_NO_BROADCAST)));
  }

  end(key: QueryKey): void {
    this.book.forget(key.ltime, key.id);
  }

  /** Answers a query, straight to who asked. Throws DecodeError('response-size') above Serf's 1024 bytes. */
  respond(query: QueryMessage, payload: Uint8Array): void {
    const bytes = this.response(query, payload);
    if (bytes.length > QUERY_BYTES_MAX) {
      throw new DecodeError('response-size', `response exceeds limit of ${QUERY_BYTES_MAX} bytes`);
    }
    this.send(query, bytes);
  }

  private response({ ltime, id }: QueryMessage, payload: Uint8Array): Uint8Array {
    return encodeQueryResponse({ ltime, id, from: this.parts.config.name, flags: 0, payload });
  }

  /** `from` is the address that handed the query to us, '' for our own. */
  received(now: Millis, query: QueryMessage, bytes: Uint8Array, from: string): void {
    this.clock.witness(query.ltime);
    const isRepeat = (query.flags & FLAG_NO_BROADCAST) !== 0;
    if (!this.book.admit(this.clock.time, query)) {
      // An asker that heard nothing sends its query again: what it missed may have been our ack.
      if (isRepeat && query.name === FANOUT_QUERY && this.isForUs(query)) this.acknowledge(query);
      return;
    }
    if (!isRepeat) this.spread(now, query, bytes);
    if (!this.isForUs(query)) return;
    this.acknowledge(query);
    if (query.name.startsWith('_serf_')) {
      this.parts.emit({ kind: 'internal-query', ltime: query.ltime });
      return this.handleInternal(now, query, from);
    }
    const timeoutMs = Math.min(Math.max(0, query.timeoutNs / 1e6), TIMEOUT_MS_MAX);
    this.parts.emit({ kind: 'query', query, from, deadline: now + timeoutMs });
  }

  answered(now: Millis, message: Extract<SerfMessage, { kind: 'queryResponse' }>): void {
    const { ltime, id, from, payload } = message;
    const isAck = (message.flags & FLAG_ACK) !== 0;
    if (!this.book.answered(now, { ltime, id, from, isAck })) return;
    const key = { ltime, id };
    this.parts.emit(isAck ? { kind: 'ack', key, from } : { kind: 'response', key, from, payload });
  }

  private handleInternal(now: Millis, query: QueryMessage, from: string): void {
    const operation = keyOperationOf(query.name);
    if (operation !== undefined) return this.handleKeys(query, operation, from);
    if (query.name !== CONFLICT_QUERY || query.payload === null) return;
    const name = new TextDecoder().decode(query.payload);
    const { config, members } = this.parts;
    if (name === config.name) return;
    if (config.proofs?.hasKey(name) === true) return this.voteByKey(now, query, name);
    this.respond(query, encodeConflictResponse(members.get(name) ?? null));
  }

  /** The vote of who has met the owner of a name before: for who proves to be that, wherever it is, and for nobody else. */
  private voteByKey(now: Millis, query: QueryMessage, name: string): void {
    const { addr, port } = query;
    const memberlist = this.parts.memberlist();
    const { vsn } = memberlist.config;
    memberlist.challenge(now, { name, addr, port }, (isProven) => {
      if (!isProven) this.parts.emit({ kind: 'unproven-name', name, at: endpointOf(query) });
      // Who asks looks at the address alone.
      const owner = { name, addr, port, vsn, tags: new Map(), status: 'alive' } as const;
      this.respond(query, encodeConflictResponse(isProven ? owner : null));
    });
  }

  private handleKeys(query: QueryMessage, operation: KeyOperation, from: string): void {
    const { keyring, keyGuard = OPEN_KEYS } = this.parts.config;
    const fits = (payload: Uint8Array): boolean => this.response(query, payload).length <= QUERY_BYTES_MAX;
    this.respond(query, answerKeyQuery({ operation, payload: query.payload, from }, keyring, keyGuard, fits));
  }

  /** All filters must hold; one that cannot be understood does not (Serf, shouldProcessQuery). */
  private isForUs(query: QueryMessage): boolean {
    const { config, localTags } = this.parts;
    try {
      return query.filters.every((bytes) => {
        const filter = decodeFilter(bytes);
        if (filter.kind === 'nodes') return filter.names.includes(config.name);
        return config.matches(filter.expr, localTags().get(filter.tag) ?? '');
      });
    } catch (error) {
      if (error instanceof DecodeError) return false;
      throw error;
    }
  }

  private acknowledge(query: QueryMessage): void {
    if ((query.flags & FLAG_ACK) === 0) return;
    const { ltime, id } = query;
    const from = this.parts.config.name;
    this.send(query, encodeQueryResponse({ ltime, id, from, flags: FLAG_ACK, payload: null }));
  }

  /** Straight to who asked, and through as many helpers as the query wants. */
  private send(query: QueryMessage, bytes: Uint8Array): void {
    const memberlist = this.parts.memberlist();
    memberlist.sendUser(endpointOf(query), bytes);
    if (query.relayFactor === 0 || this.parts.members.size < query.relayFactor + 1) return;
    const destAddr = { ip: query.addr, port: query.port, zone: '' };
    const relay = encodeRelay({ destAddr, destName: query.sourceNode, inner: bytes });
    if (relay.length > QUERY_BYTES_MAX) return;
    const copies = Math.min(query.relayFactor, RELAY_COPIES_MAX);
    memberlist.pushUser(
      relay,
      copies,
      (node) => node.state === 'alive' && protocolMax(node) >= PMAX_WITH_RELAY,
    );
  }

  private message(key: QueryKey, request: QueryRequest, flags: number): QueryMessage {
    const { name, addr, port } = this.parts.config;
    return {
      kind: 'query',
      ...key,
      addr,
      port,
      sourceNode: name,
      filters: [...request.filters],
      flags: flags | (request.wantsAcks ? FLAG_ACK : 0),
      relayFactor: request.relayFactor,
      timeoutNs: request.timeoutMs * 1e6,
      name: request.name,
      payload: request.payload,
    };
  }

  private sendDirect(targets: readonly string[], bytes: Uint8Array): void {
    for (const name of targets) {
      const member = this.parts.members.get(name);
      if (member === undefined || name === this.parts.config.name) continue;
      this.parts.memberlist().sendUser(endpointOf(member), bytes);
    }
  }

  /** fanout's own queries went straight to their targets, so gossip is enough as repair; others are pushed eagerly. */
  private spread(now: Millis, query: QueryMessage, bytes: Uint8Array): void {
    if (query.name === FANOUT_QUERY) this.parts.spreader.gossip('query', bytes);
    else this.parts.spreader.push(now, 'query', bytes);
  }
}
