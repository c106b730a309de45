import { assert } from '../lib/assert.ts';
import { NEVER } from '../lib/time.ts';

/** Commands remembered at once: about 8 MB, and 500 commands per second at a time to live of 90 s. */
const CAPACITY = 50_000;

/**
 * The ids of commands that were accepted, each for as long as its signature could still be valid. Remember an
 * id only after its signature held, so that a forger can neither fill the cache nor burn somebody's id.
 */
export class ReplayCache {
  private readonly capacity: number;
  private readonly until = new Map<string, number>();
  private firstUntil = NEVER;

  constructor(capacity: number = CAPACITY) {
    assert(capacity > 0, 'a replay cache holds something');
    this.capacity = capacity;
  }

  seen(idHex: string): boolean {
    return this.until.has(idHex);
  }

  /**
   * Whether there is room for no further id. Refuse commands then: forgetting one early would let it run
   * again.
   */
  get full(): boolean {
    return this.until.size >= this.capacity;
  }

  get size(): number {
    return this.until.size;
  }

  /** Keeps an id at least until that moment of the wall clock; the later one when it is already kept. */
  remember(idHex: string, untilUnixMs: number): void {
    const known = this.until.get(idHex);
    assert(known !== undefined || !this.full, 'a full replay cache is asked to remember more');
    this.until.set(idHex, Math.max(known ?? untilUnixMs, untilUnixMs));
    this.firstUntil = Math.min(this.firstUntil, untilUnixMs);
  }

  /** Forgets the ids whose time is over. Cheap when there are none. */
  sweep(nowUnixMs: number): void {
    if (nowUnixMs <= this.firstUntil) return;
    this.firstUntil = NEVER;
    for (const [id, until] of this.until) {
      if (until < nowUnixMs) this.until.delete(id);
      else this.firstUntil = Math.min(this.firstUntil, until);
    }
  }
}
