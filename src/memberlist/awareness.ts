import type { Millis } from '../lib/time.ts';

/**
 * Lifeguard's local health multiplier: how little this node should trust its own view of time. 0 is healthy; each
 * point stretches the probe interval by one more. memberlist caps it at max - 1 (awareness.go), where the paper says max.
 */
export class Awareness {
  private readonly max: number;
  private current = 0;

  constructor(max: number) {
    this.max = max;
  }

  get score(): number {
    return this.current;
  }

  apply(delta: number): void {
    this.current = Math.min(this.max - 1, Math.max(0, this.current + delta));
  }

  scale(duration: Millis): Millis {
    return duration * (this.current + 1);
  }
}
