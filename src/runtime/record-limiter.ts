/** Records of one kind that are written at once, and then one in so much time. */
const BURST = 20;
const REFILL_MS = 10_000;
/** Kinds at a time: operators, reasons and handlers all come from the owner of the node, so there are few. */
const KINDS_MAX = 4096;

interface Bucket<Kind> {
  readonly kind: Kind;
  tokens: number;
  filledAt: number;
  leftOut: number;
}

/**
 * Keeps a flood of things that cost their sender nothing from filling the disk: of each kind so many are recorded, the rest
 * is counted. A kind must hold nothing that a sender can choose.
 */
export class RecordLimiter<Kind extends Readonly<Record<string, string>>> {
  private readonly buckets = new Map<string, Bucket<Kind>>();

  /** How many were left out before this one; undefined when this one is left out as well. */
  admit(kind: Kind, nowMs: number): number | undefined {
    const bucket = this.bucketOf(kind, nowMs);
    if (bucket.tokens < 1) {
      bucket.leftOut++;
      return undefined;
    }
    return take(bucket);
  }

  /** Kinds of which some were left out and could be told now; with `all`, those that could not as well. */
  due(nowMs: number, all = false): { readonly kind: Kind; readonly leftOut: number }[] {
    const told: { kind: Kind; leftOut: number }[] = [];
    for (const [key, bucket] of this.buckets) {
      fill(bucket, nowMs);
      if (bucket.leftOut > 0 && (all || bucket.tokens >= 1)) {
        told.push({ kind: bucket.kind, leftOut: take(bucket) });
      } else if (bucket.tokens === BURST) {
        this.buckets.delete(key);
      }
    }
    return told;
  }

  private bucketOf(kind: Kind, nowMs: number): Bucket<Kind> {
    const key = JSON.stringify(kind);
    const known = this.buckets.get(key);
    if (known !== undefined) {
      fill(known, nowMs);
      return known;
    }
    const made = { kind, tokens: BURST, filledAt: nowMs, leftOut: 0 };
    // Above the bound the newest kinds share nothing, and each is recorded: better too much than silence.
    if (this.buckets.size < KINDS_MAX) this.buckets.set(key, made);
    return made;
  }
}

function fill(bucket: Bucket<unknown>, nowMs: number): void {
  // A clock that went back must not stop the refill for as long as it went.
  const gained = Math.floor(Math.max(0, nowMs - bucket.filledAt) / REFILL_MS);
  if (nowMs < bucket.filledAt) bucket.filledAt = nowMs;
  if (gained === 0) return;
  bucket.tokens = Math.min(BURST, bucket.tokens + gained);
  bucket.filledAt += gained * REFILL_MS;
}

function take(bucket: Bucket<unknown>): number {
  const { leftOut } = bucket;
  bucket.tokens = Math.max(0, bucket.tokens - 1);
  bucket.leftOut = 0;
  return leftOut;
}
