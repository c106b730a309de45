import { retransmitLimit } from './formulas.ts';

interface Broadcast {
  readonly bytes: Uint8Array;
  readonly name: string | undefined;
  readonly serial: number;
  readonly finished: (() => void) | undefined;
  transmits: number;
}

/**
 * memberlist's TransmitLimitedQueue: messages wait here to be piggy-backed, each on at most
 * RetransmitMult * ceil(log10(n + 1)) packets. The least-sent go first; within one count the largest that still fits,
 * newest first among equals.
 */
export class BroadcastQueue {
  private readonly retransmitMult: number;
  /** tiers[t] holds what was sent t times, ordered by falling length, then falling serial. */
  private readonly tiers: Broadcast[][] = [];
  private readonly named = new Map<string, Broadcast>();
  private serial = 0;
  private count = 0;

  constructor(retransmitMult: number) {
    this.retransmitMult = retransmitMult;
  }

  get length(): number {
    return this.count;
  }

  /**
   * Queues a message. A named one replaces the queued one of the same name (news about a node makes older news
   * worthless). `finished` is called once, when the message was sent often enough or was replaced.
   */
  queue(bytes: Uint8Array, options: { name?: string; finished?: () => void; transmits?: number } = {}): void {
    const { name, finished, transmits = 0 } = options;
    if (name !== undefined) {
      const old = this.named.get(name);
      if (old !== undefined) this.remove(old);
    }
    const broadcast: Broadcast = { bytes, name, serial: this.serial++, finished, transmits };
    this.insert(broadcast);
    if (name !== undefined) this.named.set(name, broadcast);
  }

  /** Takes what fits into `budgetBytes`, where each message costs `overheadBytes` more than its length. */
  take(overheadBytes: number, budgetBytes: number, nodes: number): Uint8Array[] {
    if (this.count === 0) return [];
    const limit = retransmitLimit(this.retransmitMult, nodes);
    const taken: Broadcast[] = [];
    let left = budgetBytes;
    for (const tier of this.tiers) {
      for (const broadcast of tier) {
        const cost = broadcast.bytes.length + overheadBytes;
        if (cost > left) continue;
        left -= cost;
        taken.push(broadcast);
      }
    }
    for (const broadcast of taken) this.sent(broadcast, limit);
    return taken.map((broadcast) => broadcast.bytes);
  }

  /** Keeps at most `max` messages, dropping the most often sent (Serf's guard against a queue that grows without end). */
  prune(max: number): void {
    for (let t = this.tiers.length - 1; t >= 0 && this.count > max; t--) {
      for (const broadcast of [...(this.tiers[t] ?? [])].reverse()) {
        if (this.count <= max) return;
        this.remove(broadcast);
      }
    }
  }

  private sent(broadcast: Broadcast, limit: number): void {
    if (broadcast.transmits + 1 >= limit) {
      this.remove(broadcast);
      return;
    }
    this.detach(broadcast);
    broadcast.transmits++;
    this.insert(broadcast);
  }

  private remove(broadcast: Broadcast): void {
    this.detach(broadcast);
    if (broadcast.name !== undefined) this.named.delete(broadcast.name);
    broadcast.finished?.();
  }

  private insert(broadcast: Broadcast): void {
    while (this.tiers.length <= broadcast.transmits) this.tiers.push([]);
    const tier = this.tiers[broadcast.transmits] as Broadcast[];
    tier.splice(position(tier, broadcast), 0, broadcast);
    this.count++;
  }

  private detach(broadcast: Broadcast): void {
    const tier = this.tiers[broadcast.transmits] as Broadcast[];
    tier.splice(position(tier, broadcast), 1);
    this.count--;
  }
}

/** Where a broadcast stands, or would stand, in its tier. */
function position(tier: readonly Broadcast[], broadcast: Broadcast): number {
  let low = 0;
  let high = tier.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const other = tier[middle] as Broadcast;
    const before =
      other.bytes.length !== broadcast.bytes.length
        ? other.bytes.length > broadcast.bytes.length
        : other.serial > broadcast.serial;
    if (before) low = middle + 1;
    else high = middle;
  }
  return low;
}
