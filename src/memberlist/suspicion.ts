import type { Millis } from '../lib/time.ts';

/**
 * Lifeguard's suspicion timer (section "Local Health Aware Suspicion"; memberlist, suspicion.go): starts at `max` and is
 * driven down towards `min` as more distinct members confirm. The accuser who started it never counts as a confirmation.
 */
export class Suspicion {
  private readonly startedAt: Millis;
  private readonly wanted: number;
  private readonly min: Millis;
  private readonly max: Millis;
  private readonly accusers: Set<string>;
  private confirmations = 0;
  private due: Millis;

  constructor(start: { now: Millis; from: string; wanted: number; min: Millis; max: Millis }) {
    this.startedAt = start.now;
    this.wanted = start.wanted;
    this.min = start.min;
    this.max = start.max;
    this.accusers = new Set([start.from]);
    this.due = start.now + (start.wanted < 1 ? start.min : start.max);
  }

  /** When the suspect is to be declared dead. */
  get deadline(): Millis {
    return this.due;
  }

  /** Counts one accuser; true when it was a new one and more were wanted, so that the accusation is worth spreading. */
  confirm(from: string): boolean {
    if (this.confirmations >= this.wanted || this.accusers.has(from)) return false;
    this.accusers.add(from);
    this.confirmations++;
    const fraction = Math.log(this.confirmations + 1) / Math.log(this.wanted + 1);
    const timeout = Math.floor(this.max - fraction * (this.max - this.min));
    this.due = this.startedAt + Math.max(this.min, timeout);
    return true;
  }
}
