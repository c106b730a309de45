import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { foldNames } from '../../src/lib/node-set.ts';
import { matchesSelector } from '../../src/policy/selector.ts';
import { parseSelector } from '../../src/policy/selector-parser.ts';
import { processorMs } from '../support/cost.ts';

describe('folded names', () => {
  test.each<[readonly string[], string]>([
    [[], ''],
    [['web1'], 'web1'],
    [['web2', 'web1', 'web3'], 'web[1-3]'],
    [['web01', 'web02', 'web08', 'web10'], 'web[01-02,08,10]'],
    [['n9', 'n10', 'n11'], 'n[9-11]'],
    [['n09', 'n10', 'n11'], 'n[09-11]'],
    [['web1', 'web01'], 'web01,web1'],
    [['db1', 'web1', 'web2'], 'db1,web[1-2]'],
    [['r1-n1', 'r1-n2', 'r2-n1'], 'r1-n[1-2],r2-n1'],
    [['a1b', 'a2b', 'a2c'], 'a2c,a[1-2]b'],
    [['web1', 'web1'], 'web1'],
    [['alpha', 'beta'], 'alpha,beta'],
    [['web[1]', 'web,2'], "'web,2','web[1]'"],
  ])('%j -> %s', (names, folded) => {
    expect(foldNames(names)).toBe(folded);
  });

  test('select exactly the names that were folded', () => {
    const name = fc
      .tuple(
        fc.constantFrom('web', 'db-', 'r1-n'),
        fc.nat(120),
        fc.integer({ min: 1, max: 3 }),
        fc.constantFrom('', '.x'),
      )
      .map(([stem, number, width, tail]) => stem + String(number).padStart(width, '0') + tail);
    fc.assert(
      fc.property(fc.uniqueArray(name, { minLength: 1, maxLength: 12 }), name, (names, other) => {
        const selector = parseSelector(foldNames(names));
        for (const one of names) expect(matchesSelector(selector, { name: one, tags: new Map() })).toBe(true);
        expect(matchesSelector(selector, { name: other, tags: new Map() })).toBe(names.includes(other));
      }),
      { numRuns: 1000 },
    );
  });

  test('ten thousand names take no time worth speaking of', () => {
    const names = Array.from({ length: 10_000 }, (_, i) => `node-${i % 2 === 0 ? i : i + 20_000}.example`);
    const folding = (): void => expect(foldNames(names).startsWith('node-[0,2,4,')).toBe(true);
    expect(processorMs(folding)).toBeLessThan(2000);
  });
});
