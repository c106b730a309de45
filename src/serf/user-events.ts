import { utf8 } from '../lib/bytes.ts';
import { DecodeError } from '../lib/errors.ts';
import type { Millis } from '../lib/time.ts';
import { EventBuffer, type EventSlot } from './event-buffer.ts';
import type { SerfEvent } from './events.ts';
import { LamportClock } from './lamport-clock.ts';
import { encodeUserEvent, type UserEvent } from './messages.ts';
import type { Spreader } from './spreader.ts';

/** Serf's limit, of name and payload and of the message that holds them: what is above is refused at the source. */
const USER_EVENT_BYTES_MAX = 512;

/** Serf's user events: firing, spreading, telling repeats from news (Serf, UserEvent and handleUserEvent). */
export class UserEvents {
  readonly clock = new LamportClock();
  private readonly buffer = new EventBuffer();
  private readonly spreader: Spreader;
  private readonly emit: (event: SerfEvent) => void;

  constructor(spreader: Spreader, emit: (event: SerfEvent) => void) {
    this.spreader = spreader;
    this.emit = emit;
  }

  /** Throws DecodeError('event-size') when it is over Serf's limit of 512 bytes. */
  fire(now: Millis, name: string, payload: Uint8Array, coalesce: boolean): void {
    const ltime = this.clock.time;
    if (utf8(name).length + payload.length > USER_EVENT_BYTES_MAX) {
      throw new DecodeError(
        'event-size',
        `user event exceeds configured limit of ${USER_EVENT_BYTES_MAX} bytes before encoding`,
      );
    }
    const bytes = encodeUserEvent({ ltime, name, payload, cc: coalesce });
    if (bytes.length > USER_EVENT_BYTES_MAX) {
      throw new DecodeError(
        'event-size',
        `encoded user event exceeds configured limit of ${USER_EVENT_BYTES_MAX} bytes after encoding`,
      );
    }
    this.clock.take();
    this.buffer.admit(ltime, ltime, { name, payload });
    this.emit({ kind: 'user', ltime, name, payload, coalesce });
    this.spreader.push(now, 'event', bytes);
  }

  /** Tells of an event that came, when it is news; true then. */
  admit({ ltime, name, payload, cc }: UserEvent): boolean {
    this.clock.witness(ltime);
    if (!this.buffer.admit(this.clock.time, ltime, { name, payload })) return false;
    this.emit({ kind: 'user', ltime, name, payload, coalesce: cc });
    return true;
  }

  /** Events before this time were there before us and are not told of. */
  ignoreBefore(ltime: number): void {
    this.buffer.ignoreBefore(ltime);
  }

  /** What a push/pull tells of. */
  snapshot(): EventSlot[] {
    return this.buffer.snapshot();
  }
}
