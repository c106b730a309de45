import type { Socket } from 'node:net';
import type { Endpoint } from '../lib/net-address.ts';
import type { Millis } from '../lib/time.ts';
import type { QueryKey, QueryRequest } from '../serf/events.ts';
import type { Member } from '../serf/member.ts';
import type { QueryMessage } from '../serf/query-book.ts';
import type { StreamPurpose } from './fanout-stream.ts';

/**
 * What fanout needs of the cluster that it is in, whoever does the gossip: the embedded Serf core, or a real Serf agent that
 * is reached by its RPC. Acks come as events of the agent.
 */
export interface Engine {
  readonly members: {
    all(): Iterable<Member>;
    get(name: string): Member | undefined;
  };
  readonly localTags: ReadonlyMap<string, string>;
  /** Where the streams of the others reach us. */
  readonly address: { readonly addr: Uint8Array; readonly port: number };
  /** How a member was found when it was last probed. */
  peer(name: string): { readonly rttMs: Millis | undefined; readonly isSuspect: boolean };
  now(): Millis;
  /** Whether a query stays within Serf's limit of 1024 bytes. */
  fits(request: QueryRequest): boolean;
  /** Starts a query. Throws DecodeError when it cannot be sent. */
  ask(request: QueryRequest): QueryKey;
  /** Sends a running query once more, to some members. */
  repeat(key: QueryKey, request: QueryRequest, targets: readonly string[]): void;
  end(key: QueryKey): void;
  /** Answers a query. Throws DecodeError when the answer is over Serf's limit of 1024 bytes. */
  respond(query: QueryMessage, payload: Uint8Array): void;
  /** Opens a stream of fanout's own and says what it is for. Rejects with the system's reason. */
  openStream(to: Endpoint, purpose: StreamPurpose, timeoutMs: Millis): Promise<Socket>;
  /** Counts what was dropped, by name; shown by `fanout info`. */
  count(name: string): void;
}

/**
 * The tag by which a member beside a real Serf agent says at which port its streams come in. A member without it takes them
 * at its gossip port.
 */
export const STREAM_PORT_TAG = 'fanout_port';
