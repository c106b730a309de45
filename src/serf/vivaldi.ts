import type { Rng } from '../lib/rng.ts';
import type { CoordinateFields } from './coordinate-codec.ts';

/** Serf's settings (coordinate.DefaultConfig). */
const DIMENSIONS = 8;
const ERROR_MAX = 1.5;
const ERROR_GAIN = 0.25;
const FORCE_GAIN = 0.25;
const HEIGHT_MIN = 1e-5;
const ADJUSTMENT_WINDOW = 20;
const GRAVITY_RHO = 150;
/** Below this a length, a time or an error counts as none. */
const ZERO = 1e-6;
/** A round trip above this is an outage, not a distance. */
const RTT_SECONDS_MAX = 10;
/** Many times further than any member can be. */
const COMPONENT_SECONDS_MAX = 1000;

/** The middle of the space, where everybody starts. */
export const ORIGIN: CoordinateFields = {
  vec: new Array<number>(DIMENSIONS).fill(0),
  error: ERROR_MAX,
  adjustment: 0,
  height: HEIGHT_MIN,
};

/** The round trip between two members as their coordinates tell it, in seconds, cut to nanoseconds as Serf does. */
export function distanceSeconds(a: CoordinateFields, b: CoordinateFields): number {
  const raw = rawDistance(a, b);
  const adjusted = raw + a.adjustment + b.adjustment;
  return Math.trunc((adjusted > 0 ? adjusted : raw) * 1e9) / 1e9;
}

/** Whether a coordinate that came by wire can be reckoned with. One that is far from everything would throw us out too. */
export function isUsableCoordinate(other: CoordinateFields): boolean {
  const { vec, error, height } = other;
  return (
    vec.length === DIMENSIONS &&
    isFiniteCoordinate(other) &&
    error >= 0 &&
    height >= 0 &&
    vec.every((component) => Math.abs(component) <= COMPONENT_SECONDS_MAX)
  );
}

function isFiniteCoordinate({ vec, error, adjustment, height }: CoordinateFields): boolean {
  return [...vec, error, adjustment, height].every(Number.isFinite);
}

/**
 * Where a member is in the network: Vivaldi with height, gravity and adjustment (Dabek and others, "Vivaldi"; Ledlie and
 * others, "Network Coordinates in the Wild"), figure by figure as Serf's coordinate package reckons.
 */
export class Vivaldi {
  private readonly rng: Rng;
  private coordinate = ORIGIN;
  private readonly samples = new Array<number>(ADJUSTMENT_WINDOW).fill(0);
  private nextSample = 0;
  private resetCount = 0;

  constructor(rng: Rng) {
    this.rng = rng;
  }

  get current(): CoordinateFields {
    return this.coordinate;
  }

  /** How often the reckoning went astray and began anew. */
  get resets(): number {
    return this.resetCount;
  }

  /** Learns from one round trip. False, and nothing learnt, for figures that cannot be. */
  update(other: CoordinateFields, rttSeconds: number): boolean {
    if (!isUsableCoordinate(other) || !(rttSeconds >= 0 && rttSeconds <= RTT_SECONDS_MAX)) return false;
    this.pull(other, rttSeconds);
    this.adjust(other, rttSeconds);
    this.gravitate();
    if (!isFiniteCoordinate(this.coordinate)) {
      this.coordinate = ORIGIN;
      this.resetCount++;
    }
    return true;
  }

  private pull(other: CoordinateFields, rttSeconds: number): void {
    const distance = distanceSeconds(this.coordinate, other);
    const rtt = Math.max(rttSeconds, ZERO);
    const wrongness = Math.abs(distance - rtt) / rtt;
    const { error } = this.coordinate;
    const weight = error / Math.max(error + other.error, ZERO);
    const learnt = ERROR_GAIN * weight * wrongness + error * (1 - ERROR_GAIN * weight);
    this.coordinate = { ...this.coordinate, error: Math.min(learnt, ERROR_MAX) };
    this.push(FORCE_GAIN * weight * (rtt - distance), other);
  }

  /** What no place in the space explains, as the mean of what was missing of late. */
  private adjust(other: CoordinateFields, rttSeconds: number): void {
    this.samples[this.nextSample] = rttSeconds - rawDistance(this.coordinate, other);
    this.nextSample = (this.nextSample + 1) % ADJUSTMENT_WINDOW;
    const sum = this.samples.reduce((total, sample) => total + sample, 0);
    this.coordinate = { ...this.coordinate, adjustment: sum / (2 * ADJUSTMENT_WINDOW) };
  }

  /** Keeps the whole cluster from drifting away. */
  private gravitate(): void {
    const distance = distanceSeconds(ORIGIN, this.coordinate);
    this.push(-((distance / GRAVITY_RHO) ** 2), ORIGIN);
  }

  private push(force: number, other: CoordinateFields): void {
    const { coordinate } = this;
    const { unit, length } = this.directionFrom(other.vec);
    const vec = coordinate.vec.map((component, i) => component + (unit[i] ?? 0) * force);
    const { height } = coordinate;
    const lifted = length > ZERO ? ((height + other.height) * force) / length + height : undefined;
    this.coordinate = {
      ...coordinate,
      vec,
      height: lifted === undefined ? height : Math.max(lifted, HEIGHT_MIN),
    };
  }

  /** The unit vector from somewhere to us; any, where we are on the spot. */
  private directionFrom(from: readonly number[]): { unit: readonly number[]; length: number } {
    const away = this.coordinate.vec.map((component, i) => component - (from[i] ?? 0));
    const length = magnitude(away);
    if (length > ZERO) return { unit: scaled(away, 1 / length), length };
    const random = away.map(() => this.rng.float() - 0.5);
    const size = magnitude(random);
    if (size > ZERO) return { unit: scaled(random, 1 / size), length: 0 };
    return { unit: away.map((_, i) => (i === 0 ? 1 : 0)), length: 0 };
  }
}

function rawDistance(a: CoordinateFields, b: CoordinateFields): number {
  return magnitude(a.vec.map((component, i) => component - (b.vec[i] ?? 0))) + a.height + b.height;
}

function magnitude(vec: readonly number[]): number {
  return Math.sqrt(vec.reduce((sum, component) => sum + component * component, 0));
}

function scaled(vec: readonly number[], factor: number): number[] {
  return vec.map((component) => component * factor);
}
