import { DecodeError } from '../lib/errors.ts';
import type { Millis } from '../lib/time.ts';
import type { QueryMessage } from '../serf/query-book.ts';
import type { Engine } from './engine.ts';

/** Queries that one connection can still answer; of more, the oldest are forgotten. */
const QUERIES_MAX = 1024;

/** The queries that one connection was told of and may answer, by the numbers that it knows them by. */
export class StreamedQueries {
  private readonly engine: Engine;
  private readonly pending = new Map<
    number,
    { query: QueryMessage; deadline: Millis; isAnswered: boolean }
  >();
  private lastId = 0;

  constructor(engine: Engine) {
    this.engine = engine;
  }

  /** The number by which a query can be answered until its deadline. */
  add(query: QueryMessage, deadline: Millis): number {
    if (this.pending.size >= QUERIES_MAX) this.makeRoom();
    const id = ++this.lastId;
    this.pending.set(id, { query, deadline, isAnswered: false });
    return id;
  }

  /** Answers a query. Returns what went wrong, in Serf's words; '' for nothing. */
  respond(id: number, payload: Uint8Array): string {
    const pending = this.pending.get(id);
    if (pending === undefined || this.engine.now() > pending.deadline)
      return 'No pending queries matching ID';
    if (pending.isAnswered) return 'response already sent';
    try {
      this.engine.respond(pending.query, payload);
    } catch (error) {
      if (error instanceof DecodeError) return error.message;
      throw error;
    }
    pending.isAnswered = true;
    return '';
  }

  private makeRoom(): void {
    const now = this.engine.now();
    for (const [id, { deadline }] of this.pending) if (now > deadline) this.pending.delete(id);
    const [oldest] = this.pending.keys();
    if (this.pending.size >= QUERIES_MAX && oldest !== undefined) this.pending.delete(oldest);
  }
}
