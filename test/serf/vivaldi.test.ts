import { describe, expect, test } from 'vitest';
import { seededRng } from '../../src/lib/rng.ts';
import type { CoordinateFields } from '../../src/serf/coordinate-codec.ts';
import { encodeCoordinatePayload } from '../../src/serf/coordinate-codec.ts';
import { Coordinates } from '../../src/serf/coordinates.ts';
import { distanceSeconds, ORIGIN, Vivaldi } from '../../src/serf/vivaldi.ts';
import { vector } from '../fixtures/vectors.ts';

const at = (more: Partial<CoordinateFields> = {}, x = 0): CoordinateFields => ({
  ...ORIGIN,
  vec: ORIGIN.vec.map((_, i) => (i === 0 ? x : 0)),
  ...more,
});

describe('a coordinate', () => {
  test('moves figure by figure as the reference does', () => {
    const coordinates = new Coordinates('self', seededRng(1));
    const peer = { ...ORIGIN, vec: ORIGIN.vec.map((_, i) => (i === 2 ? 0.001 : 0)) };
    for (const step of vector('vivaldi_trace').decoded) {
      coordinates.pinged('peer', 10, encodeCoordinatePayload(peer));
      const { vec, error, adjustment, height } = coordinates.of('self')!;
      // -0 and 0 are one place.
      expect({
        Vec: vec.map((value) => value + 0),
        Error: error,
        Adjustment: adjustment,
        Height: height,
      }).toEqual(step);
    }
    expect(coordinates.of('peer')).toEqual(peer);
    expect(coordinates.of('stranger')).toBeUndefined();
  });

  test('finds its distance among others, all on one spot at first', () => {
    // Three in a line, 40 and 60 ms apart.
    const rng = seededRng(7);
    const names = ['a', 'b', 'c'];
    const rtt: Readonly<Record<string, number>> = { ab: 0.04, bc: 0.06, ac: 0.1 };
    const members = names.map(() => new Vivaldi(rng));
    for (let round = 0; round < 500; round++) {
      const [i, j] = [rng.below(3), rng.below(3)];
      const key = [names[i], names[j]].sort().join('');
      if (i !== j) members[i]!.update(members[j]!.current, rtt[key]! * (0.98 + 0.04 * rng.float()));
    }
    for (const [key, seconds] of Object.entries(rtt)) {
      const [a, b] = [...key].map((name) => members[names.indexOf(name)]!.current);
      expect(distanceSeconds(a!, b!) / seconds).toBeCloseTo(1, 0.5);
    }
  });

  test('one slow answer moves nobody', () => {
    const calm = new Coordinates('self', seededRng(1));
    const jolted = new Coordinates('self', seededRng(1));
    const payload = encodeCoordinatePayload(at({}, 0.01));
    for (const ms of [10, 10, 10, 10]) calm.pinged('peer', ms, payload);
    for (const ms of [10, 10, 2000, 10]) jolted.pinged('peer', ms, payload);
    expect(jolted.of('self')).toEqual(calm.of('self'));
  });

  test('a distance is cut to nanoseconds, and a negative sum is not taken', () => {
    expect(distanceSeconds(at(), at({}, 0.1234567891234))).toBe(0.123476789);
    expect(distanceSeconds(at({ adjustment: -1 }), at({}, 0.01))).toBeCloseTo(0.01002, 8);
    expect(distanceSeconds(at({ adjustment: 0.005 }), at({}, 0.01))).toBeCloseTo(0.01502, 8);
  });

  test.each<[string, CoordinateFields, number]>([
    ['too few dimensions', at({ vec: [0, 0] }), 0.01],
    ['too many', at({ vec: new Array<number>(9).fill(0) }), 0.01],
    ['no number', at({ height: Number.NaN }), 0.01],
    ['no end', at({ vec: ORIGIN.vec.map(() => Number.POSITIVE_INFINITY) }), 0.01],
    ['an error below nothing, whose weight would throw us out', at({ error: -1.4999999 }), 0.01],
    ['a height below nothing', at({ height: -1 }), 0.01],
    ['a place beyond all others', at({}, 1e300), 0.01],
    ['a time below nothing', at(), -0.001],
    ['a time that is an outage', at(), 10.1],
    ['no time', at(), Number.NaN],
  ])('with %s teaches nothing', (_what, other, seconds) => {
    const vivaldi = new Vivaldi(seededRng(1));
    expect(vivaldi.update(other, seconds)).toBe(false);
    expect(vivaldi.current).toEqual(ORIGIN);
  });

  test('whatever is taught, stays a coordinate', () => {
    const rng = seededRng(3);
    const vivaldi = new Vivaldi(rng);
    const wild = (size: number): number => (rng.float() - 0.5) * 2 * size;
    for (let i = 0; i < 5000; i++) {
      const other = {
        vec: ORIGIN.vec.map(() => wild(1000)),
        error: rng.float() * 1e308,
        adjustment: wild(1e308),
        height: rng.float() * 1e308,
      };
      vivaldi.update(other, rng.float() * 10);
      const { vec, error, adjustment, height } = vivaldi.current;
      expect([...vec, error, adjustment, height].every(Number.isFinite)).toBe(true);
    }
    expect(vivaldi.resets).toBeGreaterThan(0);
  });

  test('a member that is gone is forgotten', () => {
    const coordinates = new Coordinates('self', seededRng(1));
    coordinates.pinged('peer', 10, encodeCoordinatePayload(at({}, 0.01)));
    coordinates.forget('peer');
    expect(coordinates.of('peer')).toBeUndefined();
    expect(coordinates.of('self')).toBeDefined();
  });
});
