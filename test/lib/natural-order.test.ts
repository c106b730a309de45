import fc from 'fast-check';
import { expect, test } from 'vitest';
import { naturalOrder } from '../../src/lib/natural-order.ts';

test('names are ordered as people count', () => {
  const names = ['web10', 'web2', 'db1', 'web2a', 'web02', 'web', 'web1-10', 'web1-9'];
  expect(names.sort(naturalOrder)).toEqual([
    'db1',
    'web',
    'web1-9',
    'web1-10',
    'web02',
    'web2',
    'web2a',
    'web10',
  ]);
});

test('it is a total order', () => {
  const name = fc.string({ unit: fc.constantFrom('a', 'b', '0', '1', '2', '-'), maxLength: 6 });
  fc.assert(
    fc.property(name, name, name, (a, b, c) => {
      expect(Math.sign(naturalOrder(a, b))).toBe(-Math.sign(naturalOrder(b, a)) + 0);
      expect(naturalOrder(a, b) === 0).toBe(a === b);
      if (naturalOrder(a, b) <= 0 && naturalOrder(b, c) <= 0)
        expect(naturalOrder(a, c)).toBeLessThanOrEqual(0);
    }),
  );
});
