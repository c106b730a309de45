import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Log } from '../../src/agent/log.ts';
import { startRetryJoin } from '../../src/agent/retry-join.ts';

const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Tries that succeed at a given one; returns when each was made, in seconds, and how it ended. */
function retry(options: { succeedsAt?: number; maxAttempts?: number; addresses?: readonly string[] }): {
  tries: number[];
  gaveUp: () => boolean;
  stop: () => void;
} {
  const tries: number[] = [];
  let hasGivenUp = false;
  const start = Date.now();
  const stop = startRetryJoin({
    config: {
      addresses: options.addresses ?? ['a', 'b'],
      intervalMs: 5000,
      maxAttempts: options.maxAttempts ?? 0,
    },
    join: async (addresses) => {
      expect(addresses).toEqual(['a', 'b']);
      tries.push((Date.now() - start) / 1000);
      return tries.length === options.succeedsAt
        ? { joined: 1, failures: [] }
        : { joined: 0, failures: ['no'] };
    },
    log: silent,
    gaveUp: () => {
      hasGivenUp = true;
    },
  });
  return { tries, gaveUp: () => hasGivenUp, stop };
}

test('the first try is made at once, and the last is the one that reaches somebody', async () => {
  const { tries, gaveUp } = retry({ succeedsAt: 3 });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(tries).toEqual([0, 5, 10]);
  expect(gaveUp()).toBe(false);
});

test('as Serf, it gives up after one try more than the number', async () => {
  const { tries, gaveUp } = retry({ maxAttempts: 2 });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(tries).toEqual([0, 5, 10]);
  expect(gaveUp()).toBe(true);
});

test('without a number it goes on, until it is stopped', async () => {
  const { tries, stop, gaveUp } = retry({});
  await vi.advanceTimersByTimeAsync(500_000);
  expect(tries).toHaveLength(101);
  stop();
  await vi.advanceTimersByTimeAsync(500_000);
  expect(tries).toHaveLength(101);
  expect(gaveUp()).toBe(false);
});

test('without an address there is nothing to try', async () => {
  const { tries } = retry({ addresses: [] });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(tries).toEqual([]);
});
