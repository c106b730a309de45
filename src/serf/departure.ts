import { type Millis, NEVER } from '../lib/time.ts';

const PROPAGATE_DELAY_MS: Millis = 1000;

/**
 * The order of a graceful leave (Serf, Leave): first the leave intent, then memberlist's own farewell, each until it was
 * spread or a timeout, then a pause in which probes are still answered. In another order the others see a failure.
 */
export class Departure {
  private phase: 'staying' | 'intent' | 'farewell' | 'pause' | 'gone' = 'staying';
  private until: Millis = NEVER;
  private readonly timeoutMs: Millis;

  /** `timeoutMs`: how long to wait for each of the two messages to be spread. */
  constructor(timeoutMs: Millis) {
    this.timeoutMs = timeoutMs;
  }

  get isUnderWay(): boolean {
    return this.phase !== 'staying';
  }

  get nextWake(): Millis {
    return this.until;
  }

  begin(now: Millis): void {
    this.phase = 'intent';
    this.until = now + this.timeoutMs;
  }

  /** What was sent has been spread: the next tick goes on. */
  spread(phase: 'intent' | 'farewell'): void {
    if (this.phase === phase) this.until = 0;
  }

  /** Moves on when it is time; tells what to do now. */
  tick(now: Millis): 'send-farewell' | 'report-gone' | undefined {
    if (now < this.until) return undefined;
    switch (this.phase) {
      case 'intent':
        this.phase = 'farewell';
        this.until = now + this.timeoutMs;
        return 'send-farewell';
      case 'farewell':
        this.phase = 'pause';
        this.until = now + PROPAGATE_DELAY_MS;
        return undefined;
      case 'pause':
        this.phase = 'gone';
        this.until = NEVER;
        return 'report-gone';
      default:
        return undefined;
    }
  }
}
