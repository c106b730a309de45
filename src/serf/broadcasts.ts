import { type Millis, NEVER } from '../lib/time.ts';
import { BroadcastQueue } from '../memberlist/broadcast-queue.ts';

/** Serf's guard: a queue above this loses its most often sent messages (MaxQueueDepth). */
const QUEUE_MAX = 4096;
const QUEUE_CHECK_INTERVAL_MS: Millis = 30_000;

export type BroadcastKind = 'intent' | 'query' | 'event';

/** Serf's three broadcast queues, in the order in which they get room in a packet. */
export class Broadcasts {
  private readonly queues: Readonly<Record<BroadcastKind, BroadcastQueue>>;
  private nextCheckAt: Millis;

  constructor(retransmitMult: number, now: Millis) {
    this.queues = {
      intent: new BroadcastQueue(retransmitMult),
      query: new BroadcastQueue(retransmitMult),
      event: new BroadcastQueue(retransmitMult),
    };
    this.nextCheckAt = now + QUEUE_CHECK_INTERVAL_MS;
  }

  get isEmpty(): boolean {
    return this.depth('intent') + this.depth('query') + this.depth('event') === 0;
  }

  depth(kind: BroadcastKind): number {
    return this.queues[kind].length;
  }

  queue(
    kind: BroadcastKind,
    bytes: Uint8Array,
    options: { finished?: () => void; transmits?: number } = {},
  ): void {
    this.queues[kind].queue(bytes, options);
  }

  take(overheadBytes: number, budgetBytes: number, nodes: number): Uint8Array[] {
    const taken: Uint8Array[] = [];
    let left = budgetBytes;
    for (const kind of ['intent', 'query', 'event'] as const) {
      for (const bytes of this.queues[kind].take(overheadBytes, left, nodes)) {
        taken.push(bytes);
        left -= bytes.length + overheadBytes;
      }
    }
    return taken;
  }

  nextWake(): Millis {
    return this.isEmpty ? NEVER : this.nextCheckAt;
  }

  tick(now: Millis): void {
    if (now < this.nextCheckAt) return;
    this.nextCheckAt = now + QUEUE_CHECK_INTERVAL_MS;
    for (const queue of Object.values(this.queues)) queue.prune(QUEUE_MAX);
  }
}
