import type { Endpoint } from '../lib/net-address.ts';
import type { Millis } from '../lib/time.ts';
import type { Member, MemberEventKind } from './member.ts';
import type { QueryMessage } from './query-book.ts';

export interface QueryRequest {
  readonly name: string;
  readonly payload: Uint8Array;
  readonly filters: readonly Uint8Array[];
  readonly wantsAcks: boolean;
  readonly relayFactor: number;
  readonly timeoutMs: Millis;
  /** Members that get the query at once, straight; empty: whom eager push chooses. */
  readonly targets: readonly string[];
}

export interface QueryKey {
  readonly ltime: number;
  readonly id: number;
}

/** What the agent hears from Serf. */
export type SerfEvent =
  | {
      readonly kind: 'member';
      readonly event: MemberEventKind;
      readonly member: Member;
      /** To whom the same happened in short order, where events are coalesced. */
      readonly others?: readonly Member[];
    }
  | {
      readonly kind: 'user';
      readonly ltime: number;
      readonly name: string;
      readonly payload: Uint8Array | null;
      readonly coalesce: boolean;
    }
  | {
      readonly kind: 'query';
      readonly query: QueryMessage;
      /** The address that handed it to us, which need not be the asker's; '' for a query of our own. */
      readonly from: string;
      readonly deadline: Millis;
    }
  /** A query of Serf's own, which is nobody's to answer but Serf's. */
  | { readonly kind: 'internal-query'; readonly ltime: number }
  | { readonly kind: 'ack'; readonly key: QueryKey; readonly from: string }
  | {
      readonly kind: 'response';
      readonly key: QueryKey;
      readonly from: string;
      readonly payload: Uint8Array | null;
    }
  | { readonly kind: 'query-done'; readonly key: QueryKey }
  | { readonly kind: 'conflict'; readonly name: string; readonly mine: Endpoint; readonly theirs: Endpoint }
  /** Somebody asked for our vote for a name, and does not prove to be whom we know by it. */
  | { readonly kind: 'unproven-name'; readonly name: string; readonly at: Endpoint }
  | { readonly kind: 'left' };
