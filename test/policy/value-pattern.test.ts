import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compileGlob } from '../../src/policy/glob.ts';
import { checkValue, compileValue } from '../../src/policy/value-pattern.ts';

const matches = (pattern: string, value: string): boolean => {
  return compileValue(pattern)(value);
};

describe('numbers in brackets', () => {
  test.each<[string, string, boolean]>([
    ['web[01-20]', 'web01', true],
    ['web[01-20]', 'web20', true],
    ['web[01-20]', 'web21', false],
    ['web[01-20]', 'web1', false],
    ['web[01-20]', 'web001', false],
    ['web[01-20]', 'web', false],
    ['web[01-20]', 'web01x', false],
    ['web[1-20]', 'web5', true],
    ['web[1-20]', 'web05', false],
    ['web[1-20]', 'web0', false],
    ['web[0-20]', 'web0', true],
    ['web[0-20]', 'web00', false],
    ['web[00-20]', 'web00', true],
    ['web[08-120]', 'web08', true],
    ['web[08-120]', 'web8', false],
    ['web[08-120]', 'web100', true],
    ['web[08-120]', 'web0100', false],
    ['web[1-5,9]', 'web9', true],
    ['web[1-5,9]', 'web7', false],
    ['web[12]', 'web12', true],
    ['web[12]', 'web1', false],
    ['web[007]', 'web007', true],
    ['web[007]', 'web7', false],
    ['[0-9]', '7', true],
    ['[0-9]', '10', false],
    ['web[1-999999999]', 'web123456789', true],
    ['web[1-999999999999999]', 'web999999999999999', true],
    ['web[1-999999999999999]', 'web1000000000000000', false],
    ['r[1-4]n[01-12]', 'r3n07', true],
    ['r[1-4]n[01-12]', 'r5n07', false],
    ['[1-2][0-9]', '15', true],
    ['[1-2][0-9]', '35', false],
    ['[1-20][5]', '155', true],
    ['web[1-2]0', 'web20', true],
    ['web[1-20]*', 'web7.example.com', true],
    ['web[1-20]*', 'web21', true],
    ['web[3-20]*', 'web21', false],
    ['*[1-5].eu', 'a-b-3.eu', true],
    ['*[1-5].eu', 'a-b-6.eu', false],
    ['*[1-5]', '-x3', false],
    ['-*[1-5]', '-x3', true],
    ['*[1-5]', 'a\u00013', false],
    ['?[1-5]', 'a3', true],
    ['?[1-5]', '3', false],
    ['[a-c][1-5]', 'b3', true],
    ['[!a-c][1-5]', 'b3', false],
    ['[!a-c]x[1-5]', 'dx3', true],
    ['a.b[1-2]', 'axb1', false],
    ['a[1-2]**', 'a1/b', true],
    ['[1]*', '', false],
  ])('%s on %j: %s', (pattern, value, expected) => {
    expect(matches(pattern, value)).toBe(expected);
  });

  test('are the numbers that the list spells out', () => {
    const padded = (value: number, width: number): string => String(value).padStart(width, '0');
    fc.assert(
      fc.property(
        fc.nat(120),
        fc.nat(120),
        fc.integer({ min: 1, max: 4 }),
        fc.nat(300),
        fc.nat(4),
        (a, b, width, n, w) => {
          const [low, high] = [Math.min(a, b), Math.max(a, b)];
          const [first, last] = [padded(low, width), padded(high, width)];
          fc.pre(first.length === last.length || width === 1);
          const expanded = new Set<string>();
          for (let each = low; each <= high; each++)
            expanded.add(`w${padded(each, first.startsWith('0') ? first.length : 1)}`);
          const value = `w${padded(n, w)}`;
          expect(matches(`w[${first}-${last}]`, value)).toBe(expanded.has(value));
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('beside wildcards leave these what they are', () => {
    const parts = fc.array(fc.constantFrom('a', 'b', '-', '/', '.', '*', '?', '[ab]', '[!a]', '[a-c]'), {
      minLength: 1,
      maxLength: 6,
    });
    const values = fc.array(fc.constantFrom('a', 'b', 'c', '-', '/', '.', '1'), { maxLength: 7 });
    let both = 0;
    fc.assert(
      fc.property(parts, values, (pieces, letters) => {
        fc.pre(pieces.filter((piece) => piece === '*').length <= 2);
        const [pattern, value] = [pieces.join(''), letters.join('')];
        // A number that has to be there is all that distinguishes the two.
        const expected = compileGlob(`${pattern}7`)(`${value}7`);
        if (expected) both++;
        expect(matches(`${pattern}[7]`, `${value}7`)).toBe(expected);
      }),
      { numRuns: 3000 },
    );
    expect(both).toBeGreaterThan(50);
  });
});

test('a pattern costs what its lists hold, and wildcards are counted beside', () => {
  expect(checkValue('web1')).toEqual({ values: 1, isGlob: false });
  expect(checkValue('web*')).toEqual({ values: 1, isGlob: true });
  expect(checkValue('web[1-9]')).toEqual({ values: 9, isGlob: false });
  expect(checkValue('web[1,2,4-999]r[1-2]*')).toEqual({ values: 20, isGlob: true });
});
