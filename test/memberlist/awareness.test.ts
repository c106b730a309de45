import { expect, test } from 'vitest';
import { Awareness } from '../../src/memberlist/awareness.ts';

test('the score starts at 0 and stays between 0 and one below the multiplier', () => {
  const awareness = new Awareness(8);
  expect(awareness.score).toBe(0);
  awareness.apply(-1);
  expect(awareness.score).toBe(0);
  awareness.apply(3);
  expect(awareness.score).toBe(3);
  awareness.apply(1000);
  expect(awareness.score).toBe(7);
  awareness.apply(-1);
  expect(awareness.score).toBe(6);
});

test('a duration is stretched by score plus one, eight times at most', () => {
  const awareness = new Awareness(8);
  expect(awareness.scale(1000)).toBe(1000);
  awareness.apply(2);
  expect(awareness.scale(1000)).toBe(3000);
  awareness.apply(100);
  expect(awareness.scale(1000)).toBe(8000);
});
