import { Coalescer } from '../serf/coalescer.ts';
import type { SerfEvent } from '../serf/events.ts';
import type { Engine } from './engine.ts';

/** Gives a coalescer its clock, and its listeners what comes of it. */
export class CoalescedEvents {
  private readonly coalescer = new Coalescer();
  private readonly engine: Pick<Engine, 'now'>;
  private readonly listeners = new Set<(event: SerfEvent) => void>();
  private timer: NodeJS.Timeout | undefined;
  private isOver = false;

  constructor(engine: Pick<Engine, 'now'>) {
    this.engine = engine;
  }

  on(listener: (event: SerfEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  event(event: SerfEvent): void {
    this.tell(this.coalescer.event(this.engine.now(), event));
    this.sleep();
  }

  stop(): void {
    this.isOver = true;
    clearTimeout(this.timer);
  }

  private tell(events: readonly SerfEvent[]): void {
    for (const event of events) for (const listener of this.listeners) listener(event);
  }

  private sleep(): void {
    const wakeAt = this.coalescer.nextWake();
    if (this.timer !== undefined || wakeAt === Number.POSITIVE_INFINITY || this.isOver) return;
    this.timer = setTimeout(
      () => {
        this.timer = undefined;
        this.tell(this.coalescer.tick(this.engine.now()));
        this.sleep();
      },
      Math.max(0, Math.ceil(wakeAt - this.engine.now())),
    );
  }
}
