import { expect, test } from 'vitest';
import { NEVER } from '../../src/lib/time.ts';
import { Departure } from '../../src/serf/departure.ts';
import { SERF_TIMINGS } from '../../src/serf/serf-config.ts';

test('who stays has nothing to wait for', () => {
  const departure = new Departure(SERF_TIMINGS.broadcastTimeoutMs);
  expect(departure.isUnderWay).toBe(false);
  expect(departure.nextWake).toBe(NEVER);
  departure.spread('intent');
  departure.spread('farewell');
  expect(departure.tick(1e9)).toBeUndefined();
  expect(departure.nextWake).toBe(NEVER);
});

test('the intent is spread, then the farewell, then a second passes in which probes are answered', () => {
  const departure = new Departure(SERF_TIMINGS.broadcastTimeoutMs);
  departure.begin(100);
  expect(departure.isUnderWay).toBe(true);
  expect(departure.tick(200)).toBeUndefined();
  departure.spread('intent');
  expect(departure.nextWake).toBeLessThanOrEqual(300);
  expect(departure.tick(300)).toBe('send-farewell');
  expect(departure.tick(400)).toBeUndefined();
  departure.spread('farewell');
  expect(departure.tick(500)).toBeUndefined();
  expect(departure.nextWake).toBe(1500);
  expect(departure.tick(1499)).toBeUndefined();
  expect(departure.tick(1500)).toBe('report-gone');
  expect(departure.nextWake).toBe(NEVER);
  expect(departure.tick(9999)).toBeUndefined();
  expect(departure.isUnderWay).toBe(true);
});

test('neither broadcast is waited for longer than five seconds', () => {
  const departure = new Departure(SERF_TIMINGS.broadcastTimeoutMs);
  departure.begin(0);
  expect(departure.nextWake).toBe(5000);
  expect(departure.tick(4999)).toBeUndefined();
  expect(departure.tick(5000)).toBe('send-farewell');
  expect(departure.nextWake).toBe(10_000);
  expect(departure.tick(10_000)).toBeUndefined();
  expect(departure.tick(11_000)).toBe('report-gone');
});

test('news of the wrong phase does not hurry it', () => {
  const departure = new Departure(SERF_TIMINGS.broadcastTimeoutMs);
  departure.begin(0);
  departure.spread('farewell');
  expect(departure.nextWake).toBe(5000);
  departure.spread('intent');
  departure.tick(1);
  departure.spread('intent');
  expect(departure.nextWake).toBe(5001);
});
