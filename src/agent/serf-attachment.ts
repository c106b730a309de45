import { randomInt } from 'node:crypto';
import type { Socket } from 'node:net';
import { DecodeError, FanoutError } from '../lib/errors.ts';
import type { Endpoint } from '../lib/net-address.ts';
import type { Millis } from '../lib/time.ts';
import type { Keyring } from '../memberlist/keyring.ts';
import { Counters } from '../memberlist/ports.ts';
import { sealStream } from '../memberlist/stream.ts';
import { connectTcp } from '../net/tcp.ts';
import type { RpcClient } from '../rpc/client.ts';
import type { MemberRecord } from '../rpc/members.ts';
import type { EventRecord } from '../rpc/views.ts';
import type { QueryKey, QueryRequest, SerfEvent } from '../serf/events.ts';
import { encodeNodeFilter } from '../serf/filters.ts';
import type { Member, MemberEventKind } from '../serf/member.ts';
import { encodeQuery } from '../serf/messages.ts';
import type { QueryMessage } from '../serf/query-book.ts';
import { type Engine, STREAM_PORT_TAG } from './engine.ts';
import { encodePurpose, type StreamPurpose } from './fanout-stream.ts';
import type { Log } from './log.ts';

/** Serf's limit for a whole query. */
const QUERY_BYTES_MAX = 1024;
/** Serf's RPC does not say how long a query may be answered. Its own agent refuses what comes too late. */
const ANSWER_WITHIN_MS: Millis = 60_000;
const RETRY_MS: Millis = 1000;
const REPEAT_EVERY_MS: Millis = 1000;
/** Names in one repeat, all together. */
const REPEAT_NAMES_LENGTH_MAX = 200;

export interface AttachmentParts {
  /** The name of the Serf agent, which is this node's. */
  readonly name: string;
  /** Where our streams come in, where it is not at the address of the Serf agent. */
  readonly addr: Uint8Array | undefined;
  readonly connect: () => Promise<RpcClient>;
  readonly keyring: () => Keyring | undefined;
  readonly nonce: () => Uint8Array;
  /** Tags that we set on the Serf agent, the port of our streams aside. */
  readonly tags: ReadonlyMap<string, string>;
  readonly streamPort: number;
  readonly event: (event: SerfEvent) => void;
  readonly log: Log;
}

/** A cluster as a real Serf agent shows it: its members and events come by its RPC, and our queries go out by it. */
export class SerfAttachment implements Engine {
  readonly counters = new Counters();
  readonly members: Engine['members'];
  /** Whether the gossip is, as the Serf agent says. */
  isEncrypted = false;
  private readonly parts: AttachmentParts;
  private readonly table = new Map<string, Member>();
  private readonly queryIds = new WeakMap<QueryMessage, number>();
  private tags: ReadonlyMap<string, string>;
  private client: RpcClient | undefined;
  private timer: NodeJS.Timeout | undefined;
  /** The last time that we came to the Serf agent. */
  private attaching: Promise<void> = Promise.resolve();
  private lastKey = 0;
  private repeatedAt: Millis = 0;
  private isClosed = false;

  private constructor(parts: AttachmentParts) {
    this.parts = parts;
    this.tags = parts.tags;
    this.members = { all: () => this.table.values(), get: (name) => this.table.get(name) };
  }

  /** Throws FanoutError when there is no such agent, or it refuses us. */
  static async start(parts: AttachmentParts): Promise<SerfAttachment> {
    const attachment = new SerfAttachment(parts);
    await attachment.attach();
    return attachment;
  }

  get localTags(): ReadonlyMap<string, string> {
    return this.table.get(this.parts.name)?.tags ?? this.tags;
  }

  get address(): Engine['address'] {
    const own = this.table.get(this.parts.name);
    return { addr: this.parts.addr ?? own?.addr ?? new Uint8Array(4), port: this.parts.streamPort };
  }

  peer(): ReturnType<Engine['peer']> {
    // It is the Serf agent that probes.
    return { rttMs: undefined, isSuspect: false };
  }

  now(): Millis {
    return performance.now();
  }

  fits(request: QueryRequest): boolean {
    const { name, payload, filters, timeoutMs } = request;
    const longest = encodeQuery({
      ltime: Number.MAX_SAFE_INTEGER,
      id: 0x7fffffff,
      addr: new Uint8Array(16),
      port: 65_535,
      sourceNode: this.parts.name,
      filters,
      flags: 1,
      relayFactor: 0,
      timeoutNs: timeoutMs * 1e6,
      name,
      payload,
    });
    return longest.length <= QUERY_BYTES_MAX;
  }

  ask(request: QueryRequest): QueryKey {
    const key = { ltime: 0, id: ++this.lastKey };
    this.send(key, request, request.filters.length > 0 ? request.targets : []);
    return key;
  }

  /**
   * Serf has no repeat: it is another query, which the whole cluster hears of and whose acks count for the first. So it
   * comes seldom, and only for as many members as can be named in it. What was run already is not run again.
   */
  repeat(key: QueryKey, request: QueryRequest, targets: readonly string[]): void {
    if (this.client === undefined || this.now() - this.repeatedAt < REPEAT_EVERY_MS) return;
    const names = someOf(targets);
    const filters = [encodeNodeFilter(names)];
    if (!this.fits({ ...request, filters })) return;
    this.repeatedAt = this.now();
    this.send(key, request, names);
  }

  end(): void {
    // Serf ends its queries by their time alone.
  }

  respond(query: QueryMessage, payload: Uint8Array): void {
    const id = this.queryIds.get(query);
    if (id === undefined || this.client === undefined) return;
    this.client.respond(id, payload).catch((error: Error) => {
      this.count('response-refused');
      this.parts.log.warn(`Failed to respond to query '${query.name}': ${error.message}`);
    });
  }

  async openStream(to: Endpoint, purpose: StreamPurpose, timeoutMs: Millis): Promise<Socket> {
    const socket = await connectTcp(to, timeoutMs);
    const { keyring, nonce } = this.parts;
    socket.write(sealStream(encodePurpose(purpose), { compress: false, keyring: keyring(), nonce }));
    return socket;
  }

  count(name: string): void {
    this.counters.count(name);
  }

  /** Other tags on the Serf agent; those of ours that are no longer among them are deleted. Rejects with FanoutError. */
  async setTags(tags: ReadonlyMap<string, string>): Promise<void> {
    const gone = [...this.tags.keys()].filter((name) => !tags.has(name));
    this.tags = tags;
    await this.client?.tags(this.allTags(), gone);
  }

  /** Lets go of the Serf agent, which stays a member without our port. */
  async close(): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.timer);
    // What sets our tags at this moment must be over before they are taken back.
    await this.attaching.catch(() => {});
    // An agent that is gone has no tags to take back.
    await this.client?.tags(new Map(), [STREAM_PORT_TAG]).catch(() => {});
    this.client?.close();
  }

  private allTags(): ReadonlyMap<string, string> {
    return new Map([...this.tags, [STREAM_PORT_TAG, String(this.parts.streamPort)]]);
  }

  private async attach(): Promise<void> {
    const client = await this.parts.connect();
    try {
      const stats = await client.stats();
      const name = stats.get('agent')?.get('name') ?? '';
      if (name !== this.parts.name) {
        throw new FanoutError('CONFIG', `the Serf agent calls itself "${name}", not "${this.parts.name}"`, {
          hint: 'Name the same with --node, or leave it out.',
        });
      }
      // First the stream and then the list: in the other order a change in between would go unheard.
      await client.stream('*', (record) => this.heard(record));
      const members = await client.members();
      this.table.clear();
      for (const member of members) this.table.set(member.name, memberOf(member));
      // Who closed us meanwhile must not find our port announced again.
      if (this.isClosed) return client.close();
      await client.tags(this.allTags());
      this.isEncrypted = stats.get('serf')?.get('encrypted') === 'true';
    } catch (error) {
      client.close();
      throw error;
    }
    this.client = client;
    void client.closed.then(() => this.lost());
  }

  private lost(): void {
    this.client = undefined;
    if (this.isClosed) return;
    this.parts.log.warn('the Serf agent is gone; this agent waits for it to come back');
    this.retry();
  }

  private retry(): void {
    this.timer = setTimeout(() => {
      this.attaching = this.attach();
      this.attaching.then(
        () => this.parts.log.info('the Serf agent is back'),
        (error: Error) => {
          this.parts.log.debug(`still without the Serf agent: ${error.message}`);
          if (!this.isClosed) this.retry();
        },
      );
    }, RETRY_MS);
  }

  private send(key: QueryKey, request: QueryRequest, filterNodes: readonly string[]): void {
    const { client } = this;
    if (client === undefined) throw new DecodeError('serf-gone', 'the Serf agent of this node is not there');
    const { name, payload, wantsAcks, relayFactor, timeoutMs } = request;
    client
      .query(
        {
          filterNodes,
          filterTags: new Map(),
          requestAck: wantsAcks,
          relayFactor,
          timeoutNs: timeoutMs * 1e6,
          name,
          payload,
        },
        (record) => {
          if (record.kind === 'ack') this.parts.event({ kind: 'ack', key, from: record.from });
        },
      )
      .catch((error: Error) => {
        this.count('query-refused');
        this.parts.log.warn(`the Serf agent does not ask: ${error.message}`);
      });
  }

  private heard(record: EventRecord): void {
    const { event } = this.parts;
    if ('members' in record) return this.changed(record.event, record.members);
    const { ltime, name, payload } = record;
    if (record.event === 'user') {
      return event({ kind: 'user', ltime, name, payload, coalesce: record.coalesce });
    }
    const query: QueryMessage = {
      kind: 'query',
      ltime,
      id: record.id,
      addr: new Uint8Array(4),
      port: 0,
      sourceNode: '',
      filters: [],
      flags: 0,
      relayFactor: 0,
      timeoutNs: ANSWER_WITHIN_MS * 1e6,
      name,
      payload,
    };
    this.queryIds.set(query, record.id);
    event({ kind: 'query', query, from: '', deadline: this.now() + ANSWER_WITHIN_MS });
  }

  private changed(kind: string, members: readonly MemberRecord[]): void {
    if (!isMemberEvent(kind)) return;
    for (const record of members) {
      const member = memberOf(record);
      if (kind === 'member-reap') this.table.delete(member.name);
      else this.table.set(member.name, member);
      this.parts.event({ kind: 'member', event: kind, member });
    }
  }
}

function isMemberEvent(kind: string): kind is MemberEventKind {
  return ['member-join', 'member-leave', 'member-failed', 'member-update', 'member-reap'].includes(kind);
}

/** Some of the names, others each time, so that all have their turn. */
function someOf(names: readonly string[]): string[] {
  const from = randomInt(names.length);
  const some: string[] = [];
  let length = 0;
  for (const name of [...names.slice(from), ...names.slice(0, from)]) {
    length += name.length;
    if (some.length > 0 && length > REPEAT_NAMES_LENGTH_MAX) break;
    some.push(name);
  }
  return some;
}

function memberOf(record: MemberRecord): Member {
  return { ...record, statusLTime: 0, goneAt: 0 };
}
