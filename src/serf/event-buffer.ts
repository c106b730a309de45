import { equalBytes, utf8 } from '../lib/bytes.ts';

/** Serf keeps the user events of the last 512 Lamport times, to tell repeats and to hand them to who joins. */
const SLOTS = 512;

/** Serf's hard limit for an event's name and payload (UserEventSizeLimit). */
const EVENT_BYTES_MAX = 9 * 1024;
/** Events kept for one Lamport time: at most one of each member, where all of a large cluster fire at once. */
const EVENTS_PER_SLOT_MAX = 1024;
/** All that is kept, and so all that each push/pull carries: four times what 512 events of Serf's usual limit take. */
const BUFFER_BYTES_MAX = 1024 * 1024;
/** What an event costs beside its name and payload. */
const EVENT_OVERHEAD_BYTES = 64;

export interface BufferedEvent {
  readonly name: string;
  readonly payload: Uint8Array | null;
}

/** One Lamport time and the events that carry it. */
export interface EventSlot {
  readonly ltime: number;
  readonly events: readonly BufferedEvent[];
}

interface Slot {
  readonly ltime: number;
  readonly events: BufferedEvent[];
  bytes: number;
}

/** Tells new user events from repeats (Serf, handleUserEvent). */
export class EventBuffer {
  private readonly slots = new Map<number, Slot>();
  private minTime = 0;
  private bytes = 0;

  /** Events before this time were there before us and are not delivered. */
  ignoreBefore(ltime: number): void {
    this.minTime = Math.max(this.minTime, ltime);
  }

  /**
   * Remembers an event; false for a repeat, for one too old to know, for one from before our time, and for one too
   * many: an event that is not remembered must not be delivered or passed on, or it would go round for ever.
   */
  admit(clock: number, ltime: number, event: BufferedEvent): boolean {
    if (ltime < this.minTime || isTooOld(clock, ltime)) return false;
    const bytes = utf8(event.name).length + (event.payload?.length ?? 0);
    if (bytes > EVENT_BYTES_MAX) return false;
    const known = this.slots.get(ltime % SLOTS);
    if (known !== undefined && known.ltime !== ltime) this.drop(known);
    else if (known !== undefined && !hasRoomFor(known, event)) return false;
    const cost = bytes + EVENT_OVERHEAD_BYTES;
    if (!this.makeRoom(cost, ltime)) return false;
    const slot = this.slots.get(ltime % SLOTS) ?? { ltime, events: [], bytes: 0 };
    slot.events.push(event);
    slot.bytes += cost;
    this.bytes += cost;
    this.slots.set(ltime % SLOTS, slot);
    return true;
  }

  /** What a push/pull tells of: the used slots. */
  snapshot(): EventSlot[] {
    return [...this.slots.values()].map(({ ltime, events }) => ({ ltime, events }));
  }

  /** The oldest events make room. They cannot be told from repeats any more, so their time is over. */
  private makeRoom(bytes: number, ltime: number): boolean {
    while (this.bytes + bytes > BUFFER_BYTES_MAX) {
      let oldest: Slot | undefined;
      for (const slot of this.slots.values()) {
        if (oldest === undefined || slot.ltime < oldest.ltime) oldest = slot;
      }
      if (oldest === undefined || oldest.ltime >= ltime) return false;
      this.drop(oldest);
      this.ignoreBefore(oldest.ltime + 1);
    }
    return true;
  }

  private drop(slot: Slot): void {
    this.slots.delete(slot.ltime % SLOTS);
    this.bytes -= slot.bytes;
  }
}

function hasRoomFor(slot: Slot, event: BufferedEvent): boolean {
  if (slot.events.length >= EVENTS_PER_SLOT_MAX) return false;
  return !slot.events.some((known) => known.name === event.name && samePayload(known.payload, event.payload));
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
