import { BroadcastQueue } from '../memberlist/broadcast-queue.ts';

/**
 * Serf's guard: a queue above this loses its most often sent messages (MaxQueueDepth). Serf looks every 30 s; here it
 * holds at once, because a flood brings more than the memory holds in less.
 */
const QUEUE_MAX = 4096;

export type BroadcastKind = 'intent' | 'query' | 'event';

/** Serf's three broadcast queues, in the order in which they get room in a packet. */
export class Broadcasts {
  private readonly queues: Readonly<Record<BroadcastKind, BroadcastQueue>>;

  /** `bytesMax`: the longest message that gossip can carry. */
  constructor(retransmitMult: number, bytesMax: number) {
    const limits = { retransmitMult, bytesMax, countMax: QUEUE_MAX };
    this.queues = {
      intent: new BroadcastQueue(limits),
      query: new BroadcastQueue(limits),
      event: new BroadcastQueue(limits),
    };
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
}
