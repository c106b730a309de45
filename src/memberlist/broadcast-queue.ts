import { retransmitLimit } from './formulas.ts';

interface Broadcast {
  readonly bytes: Uint8Array;
  readonly name: string | undefined;
  readonly serial: number;
  readonly finished: (() => void) | undefined;
  transmits: number;
}

export interface QueueLimits {
  readonly retransmitMult: number;
  /** What an empty packet has room for. A longer message would wait for ever. */
  readonly bytesMax: number;
  /** Above this the most often sent are dropped: messages can come faster than gossip carries them away. */
  readonly countMax: number;
}

/**
 * memberlist's TransmitLimitedQueue: messages wait here to be piggy-backed, each on at most
 * RetransmitMult * ceil(log10(n + 1)) packets. The least-sent go first; within one count the largest that still fits,
 * newest first among equals.
 */
export class BroadcastQueue {
  private readonly limits: QueueLimits;
  /** tiers[t] holds what was sent t times, ordered by falling length, then falling serial. */
  private readonly tiers: Broadcast[][] = [];
  private readonly named = new Map<string, Broadcast>();
  private serial = 0;
  private count = 0;

  constructor(limits: QueueLimits) {
    this.limits = limits;
  }

  get length(): number {
    return this.count;
  }

  /**
   * Queues a message. A named one replaces the queued one of the same name (news about a node makes older news
   * worthless). `finished` is called once, when the message was sent often enough, was replaced or will not be sent.
   */
  queue(bytes: Uint8Array, options: { name?: string; finished?: () => void; transmits?: number } = {}): void {
    const { name, finished, transmits = 0 } = options;
    if (name !== undefined) {
      const old = this.named.get(name);
      if (old !== undefined) this.remove(old);
    }
    if (bytes.length > this.limits.bytesMax) return finished?.();
    const broadcast: Broadcast = { bytes: owned(bytes), name, serial: this.serial++, finished, transmits };
    this.insert(broadcast);
    if (name !== undefined) this.named.set(name, broadcast);
    this.prune();
  }

  /** Takes what fits into `budgetBytes`, where each message costs `overheadBytes` more than its length. */
  take(overheadBytes: number, budgetBytes: number, nodes: number): Uint8Array[] {
    if (this.count === 0) return [];
    const limit = retransmitLimit(this.limits.retransmitMult, nodes);
    const taken: Broadcast[] = [];
    let left = budgetBytes;
    for (const tier of this.tiers) {
      let at = firstWithin(tier, left - overheadBytes);
      while (at < tier.length) {
        const broadcast = tier[at] as Broadcast;
        left -= broadcast.bytes.length + overheadBytes;
        taken.push(broadcast);
        at = Math.max(at + 1, firstWithin(tier, left - overheadBytes));
      }
    }
    for (const broadcast of taken) this.sent(broadcast, limit);
    return taken.map((broadcast) => broadcast.bytes);
  }

  private prune(): void {
    const max = this.limits.countMax;
    for (let t = this.tiers.length - 1; t >= 0 && this.count > max; t--) {
      const tier = this.tiers[t] as Broadcast[];
      for (let last = tier.at(-1); last !== undefined && this.count > max; last = tier.at(-1))
        this.remove(last);
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

/** A message that came in a packet is a view: kept as it is, it would keep the whole packet. */
function owned(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes);
}

/** The first of a tier, and so the longest, that has at most `bytes`. */
function firstWithin(tier: readonly Broadcast[], bytes: number): number {
  let low = 0;
  let high = tier.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((tier[middle] as Broadcast).bytes.length > bytes) low = middle + 1;
    else high = middle;
  }
  return low;
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
