import type { Millis } from '../lib/time.ts';
import type { Memberlist } from '../memberlist/memberlist.ts';
import type { BroadcastKind, Broadcasts } from './broadcasts.ts';

/** Direct forwards of queries and events in one second. Above it gossip alone spreads them: eager push must not be an amplifier. */
const EAGER_PER_SECOND_MAX = 500;
/** Transmissions that stay for gossip, which repairs what the eager packets missed. */
const GOSSIP_RESERVE = 3;

/**
 * Spreads queries and events by eager push: at first sight a message goes at once to k random members, out of the same
 * retransmit budget, and gossip does the rest. With k near ln N + 4 almost every member has it after log_k N hops
 * instead of log N gossip rounds (Kermarrec and others, "Probabilistic reliable dissemination": ln N + c reaches all
 * with probability exp(-exp(-c))).
 */
export class Spreader {
  readonly broadcasts: Broadcasts;
  private readonly memberlist: () => Memberlist;
  private window: { since: Millis; sent: number };

  constructor(broadcasts: Broadcasts, memberlist: () => Memberlist, now: Millis) {
    this.broadcasts = broadcasts;
    this.memberlist = memberlist;
    this.window = { since: now, sent: 0 };
  }

  /** Leaves the message to gossip. */
  gossip(kind: BroadcastKind, bytes: Uint8Array, finished?: () => void): void {
    this.broadcasts.queue(kind, bytes, finished === undefined ? {} : { finished });
  }

  /** Sends the message at once to some members and leaves the rest to gossip. */
  push(now: Millis, kind: BroadcastKind, bytes: Uint8Array): void {
    if (now - this.window.since >= 1000) this.window = { since: now, sent: 0 };
    const memberlist = this.memberlist();
    const ideal = Math.ceil(Math.log(memberlist.table.size + 1)) + 4;
    const budget = memberlist.retransmitLimit() - GOSSIP_RESERVE;
    const count = Math.max(0, Math.min(ideal, budget, EAGER_PER_SECOND_MAX - this.window.sent));
    const sent = count === 0 ? 0 : memberlist.pushUser(bytes, count);
    this.window.sent += sent;
    this.broadcasts.queue(kind, bytes, { transmits: sent });
  }
}
