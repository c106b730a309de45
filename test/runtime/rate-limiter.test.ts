import { expect, test } from 'vitest';
import { RateLimiter } from '../../src/runtime/rate-limiter.ts';

const FOUR_A_MINUTE = { count: 4, perMs: 60_000 };

function limiter() {
  const clock = { ms: 0 };
  const rates = new RateLimiter(() => clock.ms);
  const start = (rule: string, rate = FOUR_A_MINUTE): boolean => {
    if (rates.waitMs(rule, rate) > 0) return false;
    rates.take(rule, rate);
    return true;
  };
  const starts = (rule: string, tries: number, rate = FOUR_A_MINUTE): number =>
    Array.from({ length: tries }, () => start(rule, rate)).filter(Boolean).length;
  return { clock, rates, start, starts };
}

test('a rule starts as often as it says, and then it is told how long to wait', () => {
  const { clock, rates, start, starts } = limiter();
  expect(starts('a', 10)).toBe(4);
  expect(rates.waitMs('a', FOUR_A_MINUTE)).toBe(15_000);
  clock.ms = 14_999;
  expect(rates.waitMs('a', FOUR_A_MINUTE)).toBe(1);
  expect(start('a')).toBe(false);
  clock.ms = 15_000;
  expect(start('a')).toBe(true);
  expect(start('a')).toBe(false);
});

test('never more than the count at once, however long nothing was started', () => {
  const { clock, starts } = limiter();
  clock.ms = 86_400_000;
  expect(starts('a', 10)).toBe(4);
});

test('in any stretch of time no more than the count and what came in meanwhile', () => {
  const { clock, starts } = limiter();
  let started = 0;
  for (; clock.ms <= 600_000; clock.ms += 700) started += starts('a', 3);
  // The last look is at 599.9 s.
  expect(started).toBe(4 + 39);
});

test('asking takes nothing', () => {
  const { rates, starts } = limiter();
  for (let i = 0; i < 100; i++) expect(rates.waitMs('a', FOUR_A_MINUTE)).toBe(0);
  expect(starts('a', 10)).toBe(4);
});

test('each rule has its own, and one without a rate none', () => {
  const { rates, starts } = limiter();
  starts('a', 10);
  expect(starts('b', 10)).toBe(4);
  for (let i = 0; i < 100; i++) rates.take('c', undefined);
  expect(rates.waitMs('c', undefined)).toBe(0);
});

test('a policy with another rate gives nothing back, and a larger count fills up in its own time', () => {
  const { clock, rates, starts } = limiter();
  starts('a', 4);
  const hundred = { count: 100, perMs: 60_000 };
  expect(rates.waitMs('a', hundred)).toBe(600);
  clock.ms = 6000;
  // Until now by the old rate: the limiter did not hear of the new one at the moment of the reload, but at the question.
  expect(starts('a', 200, hundred)).toBe(10);
  expect(starts('a', 10, { count: 1, perMs: 60_000 })).toBe(0);
});

test('rules that come and go do not fill the memory, and those that are used up are not forgotten', () => {
  const { clock, rates, start } = limiter();
  start('kept', { count: 1, perMs: 3_600_000 });
  for (let i = 0; i < 20_000; i++) {
    clock.ms += 10;
    start(`rule-${i}`, { count: 1, perMs: 1000 });
  }
  expect(rates.size).toBeLessThan(5000);
  expect(start('kept', { count: 1, perMs: 3_600_000 })).toBe(false);
});
