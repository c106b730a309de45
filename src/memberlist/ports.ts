import type { Endpoint } from '../lib/net-address.ts';
import type { Millis } from '../lib/time.ts';
import type { NodeEntry } from './node-table.ts';

/** Identifies one TCP stream between the core and whoever owns the sockets. */
export type StreamId = number;

/** What the core wants done. The owner of the sockets carries the outputs out in order. */
export type Output =
  | { readonly kind: 'datagram'; readonly to: Endpoint; readonly bytes: Uint8Array }
  /** Open a stream, write `bytes`, and report data, close or failure until `timeoutMs` has passed. */
  | {
      readonly kind: 'dial';
      readonly id: StreamId;
      readonly to: Endpoint;
      readonly bytes: Uint8Array;
      readonly timeoutMs: Millis;
    }
  | { readonly kind: 'write'; readonly id: StreamId; readonly bytes: Uint8Array }
  /** Nothing more is wanted of the stream: flush what was written and close. */
  | { readonly kind: 'close'; readonly id: StreamId }
  /** The stream is not memberlist's: from now on it belongs to the fanout stream handler. */
  | {
      readonly kind: 'handover';
      readonly id: StreamId;
      readonly body: Uint8Array;
      readonly rest: Uint8Array;
    };

/** What the layer above (Serf) does for memberlist; memberlist's Delegate interfaces in one. */
export interface Delegate {
  /** Meta data of the local node, at most 512 bytes. */
  nodeMeta(): Uint8Array;
  /** A user message arrived, by packet or by stream. */
  userMessage(now: Millis, from: Endpoint, payload: Uint8Array): void;
  /** User messages to piggy-back: each costs `overheadBytes` plus its length. */
  takeBroadcasts(overheadBytes: number, budgetBytes: number): Uint8Array[];
  hasBroadcasts(): boolean;
  localState(join: boolean): Uint8Array;
  /** `join`: the exchange was ours, to join through that node. */
  mergeRemoteState(now: Millis, state: Uint8Array, join: boolean): void;
  joined(now: Millis, node: NodeEntry): void;
  left(now: Millis, node: NodeEntry): void;
  updated(now: Millis, node: NodeEntry): void;
  /** Somebody claims the name of `existing` from another address. */
  conflict(
    now: Millis,
    existing: NodeEntry,
    other: { readonly addr: Uint8Array; readonly port: number },
  ): void;
  /** Payload of our acks (Serf's network coordinate), or null for none. */
  ackPayload(): Uint8Array | null;
  /** A direct probe was acknowledged in time. */
  pinged(node: NodeEntry, rttMs: Millis, payload: Uint8Array | null): void;
}

/** Why input was dropped or what went wrong, counted by name. Shown by `fanout info`. */
export class Counters {
  private readonly counts = new Map<string, number>();

  count(name: string): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
  }

  get(name: string): number {
    return this.counts.get(name) ?? 0;
  }

  entries(): [string, number][] {
    return [...this.counts].sort(([a], [b]) => (a < b ? -1 : 1));
  }
}
