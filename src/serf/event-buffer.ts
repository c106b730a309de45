import { equalBytes } from '../lib/bytes.ts';

/** Serf keeps the user events of the last 512 Lamport times, to tell repeats and to hand them to who joins. */
const SLOTS = 512;

export interface BufferedEvent {
  readonly name: string;
  readonly payload: Uint8Array | null;
}

/** One Lamport time and the events that carry it. */
export interface EventSlot {
  readonly ltime: number;
  readonly events: readonly BufferedEvent[];
}

/** Tells new user events from repeats (Serf, handleUserEvent). */
export class EventBuffer {
  private readonly slots = new Map<number, { ltime: number; events: BufferedEvent[] }>();
  private minTime = 0;

  /** Events before this time were there before us and are not delivered. */
  ignoreBefore(ltime: number): void {
    this.minTime = Math.max(this.minTime, ltime);
  }

  /** Remembers an event; false for a repeat, for one too old to know, or for one from before our time. */
  admit(clock: number, ltime: number, event: BufferedEvent): boolean {
    if (ltime < this.minTime || isTooOld(clock, ltime)) return false;
    const index = ltime % SLOTS;
    const slot = this.slots.get(index);
    if (slot === undefined || slot.ltime !== ltime) {
      this.slots.set(index, { ltime, events: [event] });
      return true;
    }
    if (slot.events.some((known) => known.name === event.name && samePayload(known.payload, event.payload))) {
      return false;
    }
    slot.events.push(event);
    return true;
  }

  /** What a push/pull tells of: the used slots. */
  snapshot(): EventSlot[] {
    return [...this.slots.values()];
  }
}

/** Too old to tell whether it is a repeat. */
export function isTooOld(clock: number, ltime: number): boolean {
  return clock > SLOTS && ltime < clock - SLOTS;
}

function samePayload(a: Uint8Array | null, b: Uint8Array | null): boolean {
  return (a === null || a.length === 0) && (b === null || b.length === 0)
    ? true
    : a !== null && b !== null && equalBytes(a, b);
}
