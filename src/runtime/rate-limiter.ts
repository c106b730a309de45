import type { Millis } from '../lib/time.ts';
import type { Limits } from '../policy/policy.ts';

type Rate = NonNullable<Limits['rate']>;

interface Bucket {
  /** Starts that are left. */
  tokens: number;
  filledAt: Millis;
  rate: Rate;
}

/** More rules than any policy has. What is full again is forgotten first. */
const BUCKETS_MAX = 4096;

/**
 * Starts of rules with a `rate`: a bucket each that holds `count` and fills evenly in `perMs`. It goes by the rule's name,
 * so that a policy that is read again starts nothing anew.
 */
export class RateLimiter {
  private readonly now: () => Millis;
  private readonly buckets = new Map<string, Bucket>();

  constructor(now: () => Millis) {
    this.now = now;
  }

  /** Rules that are remembered. */
  get size(): number {
    return this.buckets.size;
  }

  /** How long a start of this rule has to wait, 0 when it could be now. Takes nothing. */
  waitMs(rule: string, rate: Rate | undefined): Millis {
    if (rate === undefined) return 0;
    const { tokens } = this.filled(rule, rate);
    return tokens >= 1 ? 0 : Math.ceil(((1 - tokens) * rate.perMs) / rate.count);
  }

  /** A start of this rule, which `waitMs` has allowed. */
  take(rule: string, rate: Rate | undefined): void {
    if (rate === undefined) return;
    const bucket = this.filled(rule, rate);
    bucket.tokens = Math.max(0, bucket.tokens - 1);
    this.buckets.set(rule, bucket);
    if (this.buckets.size > BUCKETS_MAX) this.forgetFull();
  }

  private filled(rule: string, rate: Rate): Bucket {
    const now = this.now();
    const bucket = this.buckets.get(rule);
    if (bucket === undefined) return { tokens: rate.count, filledAt: now, rate };
    const { count, perMs } = bucket.rate;
    const tokens = bucket.tokens + ((now - bucket.filledAt) * count) / perMs;
    // By the old rate until now, and by the new one from now on.
    bucket.tokens = Math.min(tokens, count, rate.count);
    bucket.filledAt = now;
    bucket.rate = rate;
    return bucket;
  }

  private forgetFull(): void {
    for (const [rule, { rate }] of this.buckets) {
      if (this.filled(rule, rate).tokens >= rate.count) this.buckets.delete(rule);
    }
  }
}
