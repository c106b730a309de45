import { randomInt } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { fuzz } from './fuzz.ts';

const CASES = 50_000;

describe('decide agrees with a second, independent reading of the rules', () => {
  // `npm run fuzz` runs as many cases as one likes, on all processors.
  test.each([
    ['the same as ever', 7],
    ['new ones', randomInt(2 ** 31)],
  ])(`on ${CASES} random cases: %s (seed %i)`, (_what, seed) => {
    const { mix, paths, disagreements, first } = fuzz(seed, CASES);
    console.log(`seed ${seed}: ${JSON.stringify(mix)}, ${paths} paths`);
    expect(first, `fuzz(${seed}, ${CASES})`).toBeUndefined();
    expect(disagreements).toBe(0);
    // Agreement about nothing but refusals would prove little.
    expect(mix.allow).toBeGreaterThan(CASES / 7);
    for (const kind of ['deny', 'none', 'approvals', 'expired', 'unknown', 'unfit']) {
      expect(mix[kind], kind).toBeGreaterThan(CASES / 200);
    }
    expect(paths).toBeGreaterThan(CASES / 100);
  });
});
