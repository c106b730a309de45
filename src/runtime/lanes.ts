/** Something to be done, which may take in what comes right behind it while it waits. */
export interface Task {
  /** Never rejects. */
  readonly run: () => Promise<void>;
  /** Whether `next` was taken over by this one, so that it need not be done itself. */
  readonly absorb?: (next: Task) => boolean;
}

interface Lane {
  readonly waiting: Task[];
  running: number;
}

/**
 * Does things side by side, within bounds: in one lane at most `perLane` at once, in the order in which they came, and in
 * all lanes together at most `atOnce`. What is more than `waiting` in a lane is not taken.
 */
export class Lanes {
  private readonly bounds: { readonly atOnce: number; readonly perLane: number; readonly waiting: number };
  private readonly lanes = new Map<number, Lane>();
  private running = 0;
  private isStopped = false;

  constructor(bounds: { readonly atOnce: number; readonly perLane: number; readonly waiting: number }) {
    this.bounds = bounds;
  }

  /** False when the lane is full, and the task was dropped. */
  offer(number: number, task: Task): boolean {
    if (this.isStopped) return false;
    const lane = this.lanes.get(number) ?? { waiting: [], running: 0 };
    this.lanes.set(number, lane);
    if (lane.waiting.at(-1)?.absorb?.(task) === true) return true;
    if (lane.waiting.length >= this.bounds.waiting) return false;
    lane.waiting.push(task);
    this.next();
    return true;
  }

  /** Takes nothing more and forgets what waits; what runs goes on. */
  stop(): void {
    this.isStopped = true;
    for (const lane of this.lanes.values()) lane.waiting.length = 0;
  }

  private next(): void {
    for (const [number, lane] of this.lanes) {
      while (this.running < this.bounds.atOnce && lane.running < this.bounds.perLane) {
        const task = lane.waiting.shift();
        if (task === undefined) break;
        this.start(number, lane, task);
      }
    }
  }

  private start(number: number, lane: Lane, task: Task): void {
    this.running++;
    lane.running++;
    void task.run().finally(() => {
      this.running--;
      lane.running--;
      // To the end of the line: one lane must not have all the places again and again.
      this.lanes.delete(number);
      if (lane.waiting.length > 0 || lane.running > 0) this.lanes.set(number, lane);
      this.next();
    });
  }
}
