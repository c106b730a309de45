import { DecodeError } from '../lib/errors.ts';
import type { Rng } from '../lib/rng.ts';
import type { Millis } from '../lib/time.ts';
import {
  type CoordinateFields,
  decodeCoordinatePayload,
  encodeCoordinatePayload,
} from './coordinate-codec.ts';
import { Vivaldi } from './vivaldi.ts';

/** Round trips of one member of which the median counts: a single slow one moves nobody. */
const FILTER_SAMPLES = 3;

/** The coordinates of all members as our own probes tell of them (Serf, ping_delegate.go). */
export class Coordinates {
  private readonly self: string;
  private readonly vivaldi: Vivaldi;
  private readonly known = new Map<string, CoordinateFields>();
  private readonly recentSeconds = new Map<string, number[]>();

  constructor(self: string, rng: Rng) {
    this.self = self;
    this.vivaldi = new Vivaldi(rng);
  }

  get resets(): number {
    return this.vivaldi.resets;
  }

  /** Of a member by name, ourselves included; undefined when no probe of ours has told us. */
  of(name: string): CoordinateFields | undefined {
    return name === this.self ? this.vivaldi.current : this.known.get(name);
  }

  /** Payload of our acks. */
  payload(): Uint8Array {
    return encodeCoordinatePayload(this.vivaldi.current);
  }

  /** A member answered a probe. Throws DecodeError for what is no coordinate, or cannot be one. */
  pinged(name: string, rttMs: Millis, payload: Uint8Array): void {
    const other = decodeCoordinatePayload(payload);
    const recent = [...(this.recentSeconds.get(name) ?? []), rttMs / 1000].slice(-FILTER_SAMPLES);
    const median = [...recent].sort((a, b) => a - b)[Math.floor(recent.length / 2)] ?? 0;
    if (!this.vivaldi.update(other, median)) throw new DecodeError('coordinate');
    this.recentSeconds.set(name, recent);
    this.known.set(name, other);
  }

  /** A member is no more. */
  forget(name: string): void {
    this.known.delete(name);
    this.recentSeconds.delete(name);
  }
}
