import { expect, test } from 'vitest';
import { Suspicion } from '../../src/memberlist/suspicion.ts';

const START = { now: 1000, from: 'accuser', wanted: 2, min: 4000, max: 24_000 };

test('no, one and two confirmations give 24 s, 11.381 s and 4 s', () => {
  const suspicion = new Suspicion(START);
  expect(suspicion.deadline).toBe(1000 + 24_000);
  expect(suspicion.confirm('second')).toBe(true);
  expect(suspicion.deadline).toBe(1000 + 11_381);
  expect(suspicion.confirm('third')).toBe(true);
  expect(suspicion.deadline).toBe(1000 + 4000);
});

test('the first accuser and repeats never count, and nobody counts once enough have', () => {
  const suspicion = new Suspicion(START);
  expect(suspicion.confirm('accuser')).toBe(false);
  expect(suspicion.confirm('second')).toBe(true);
  expect(suspicion.confirm('second')).toBe(false);
  expect(suspicion.deadline).toBe(1000 + 11_381);
  expect(suspicion.confirm('third')).toBe(true);
  expect(suspicion.confirm('fourth')).toBe(false);
  expect(suspicion.deadline).toBe(1000 + 4000);
});

test.each([0, -1])('when %i confirmations are wanted the minimum is the time', (wanted) => {
  const suspicion = new Suspicion({ ...START, wanted });
  expect(suspicion.deadline).toBe(1000 + 4000);
  expect(suspicion.confirm('second')).toBe(false);
  expect(suspicion.deadline).toBe(1000 + 4000);
});
