import { createHash } from 'node:crypto';
import { earliest, type Millis, NEVER } from '../lib/time.ts';
import { NODES_MAX } from '../memberlist/node-table.ts';
import { isTooOld } from './event-buffer.ts';
import { encodeQuery, type SerfMessage } from './messages.ts';

/** Serf tells repeats of queries among the last 512 Lamport times. */
const SLOTS = 512;
/** Ids kept for one Lamport time: honest members collide rarely, a flood must not fill the memory. */
const IDS_PER_SLOT_MAX = 1024;
/** fanout queries remembered by what they say. */
const DIGESTS_MAX = 8192;

export type QueryMessage = Extract<SerfMessage, { kind: 'query' }>;

/** The name under which signed command envelopes travel. */
export const FANOUT_QUERY = 'fanout';

/** A query of our own that still collects answers. */
interface Asked {
  readonly ltime: number;
  readonly id: number;
  readonly deadline: Millis;
  readonly acks: Set<string>;
  readonly responses: Set<string>;
}

/** Tells new queries from repeats, and matches acks and responses to our own queries (Serf, handleQuery and query.go). */
export class QueryBook {
  private readonly slots = new Map<number, { ltime: number; ids: Set<number> }>();
  private readonly digests = new Set<string>();
  private readonly asked = new Map<string, Asked>();
  private minTime = 0;

  /** Queries before this time were asked before us. Signed ones have a time of their own. */
  ignoreBefore(ltime: number): void {
    this.minTime = Math.max(this.minTime, ltime);
  }

  /**
   * Remembers a query; false for a repeat or one too old to know. Signed fanout queries are told apart by what they
   * say, not by (LTime, id): those are chosen by whoever passes a query on, and a hostile member could burn them.
   */
  admit(clock: number, query: QueryMessage): boolean {
    if (query.name === FANOUT_QUERY) return this.admitDigest(query);
    if (query.ltime < this.minTime || isTooOld(clock, query.ltime)) return false;
    const index = query.ltime % SLOTS;
    const slot = this.slots.get(index);
    if (slot === undefined || slot.ltime !== query.ltime) {
      this.slots.set(index, { ltime: query.ltime, ids: new Set([query.id]) });
      return true;
    }
    if (slot.ids.has(query.id) || slot.ids.size >= IDS_PER_SLOT_MAX) return false;
    slot.ids.add(query.id);
    return true;
  }

  ask(ltime: number, id: number, deadline: Millis): void {
    this.asked.set(key(ltime, id), { ltime, id, deadline, acks: new Set(), responses: new Set() });
  }

  /** True for the first ack, or the first response, of each node to a query of ours that still runs. */
  answered(now: Millis, answer: { ltime: number; id: number; from: string; isAck: boolean }): boolean {
    const asked = this.asked.get(key(answer.ltime, answer.id));
    if (asked === undefined || now > asked.deadline) return false;
    const seen = answer.isAck ? asked.acks : asked.responses;
    if (seen.has(answer.from) || seen.size >= NODES_MAX) return false;
    seen.add(answer.from);
    return true;
  }

  forget(ltime: number, id: number): void {
    this.asked.delete(key(ltime, id));
  }

  nextWake(): Millis {
    let next = NEVER;
    for (const asked of this.asked.values()) next = earliest(next, asked.deadline);
    return next;
  }

  /** Ends the queries whose time is over and returns them. */
  expire(now: Millis): { ltime: number; id: number }[] {
    const over = [...this.asked.values()].filter((asked) => asked.deadline <= now);
    for (const asked of over) this.forget(asked.ltime, asked.id);
    return over.map(({ ltime, id }) => ({ ltime, id }));
  }

  private admitDigest(query: QueryMessage): boolean {
    // All that decides whom it reaches and where its answers go counts: a copy with other filters is another query.
    const said = encodeQuery({ ...query, ltime: 0, id: 0, flags: 0, relayFactor: 0 });
    const digest = createHash('sha256').update(said).digest('base64');
    if (this.digests.has(digest)) return false;
    this.digests.add(digest);
    if (this.digests.size > DIGESTS_MAX) {
      for (const oldest of this.digests) {
        this.digests.delete(oldest);
        break;
      }
    }
    return true;
  }
}

function key(ltime: number, id: number): string {
  return `${ltime}:${id}`;
}
