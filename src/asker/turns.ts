import type { Millis } from '../lib/time.ts';

/** Work on answers in one turn of the event loop. After it timers, keys and other sockets get theirs. */
const TURN_MS: Millis = 8;

/**
 * Spreads work over turns of the event loop, in order. When a thousand nodes speak at once, the loop hands over all that they
 * said before it looks at anything else, and a key would wait for all of it.
 */
export class Turns {
  private readonly now: () => Millis;
  private waiting: (() => void)[] = [];
  private startedAt: Millis | undefined;

  constructor(now: () => Millis) {
    this.now = now;
  }

  /** Does it now, when nothing waits and this turn has time; else later. True when it was done. */
  run(work: () => void): boolean {
    if (this.waiting.length > 0 || !this.hasTime()) {
      this.waiting.push(work);
      return false;
    }
    work();
    return true;
  }

  private hasTime(): boolean {
    if (this.startedAt === undefined) {
      this.startedAt = this.now();
      setImmediate(() => this.next());
    }
    return this.now() - this.startedAt < TURN_MS;
  }

  private next(): void {
    this.startedAt = undefined;
    const { waiting } = this;
    let done = 0;
    while (done < waiting.length && this.hasTime()) waiting[done++]?.();
    // Work may have added more, behind the rest.
    this.waiting = waiting.slice(done);
  }
}
