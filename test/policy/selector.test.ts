import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FanoutError } from '../../src/lib/errors.ts';
import {
  allOf,
  EVERYBODY,
  matchesSelector,
  mayMatchName,
  type SelectorNode,
  selectorText,
} from '../../src/policy/selector.ts';
import { parseSelector } from '../../src/policy/selector-parser.ts';
import { compileValue } from '../../src/policy/value-pattern.ts';
import { processorMs } from '../support/cost.ts';

const web1 = {
  name: 'web-01',
  tags: new Map(Object.entries({ role: 'web', zone: 'eu-1', empty: '', node: 'tagged', 'a b': 'x' })),
};

function errorOf(text: string, options: Parameters<typeof parseSelector>[1] = {}): FanoutError {
  try {
    parseSelector(text, options);
  } catch (error) {
    if (error instanceof FanoutError) return error;
    throw error;
  }
  throw new Error(`"${text}" was read`);
}

describe('a selector', () => {
  test.each<[string, boolean]>([
    ['', true],
    ['role=web', true],
    ['zone=eu-*', true],
    ['role=db', false],
    ['rack=*', false],
    ['rack!=r1', true],
    ['role!=web', false],
    ['role=web and zone=us-*', false],
    ['role=db or zone=eu-1', true],
    ['role=db,web', true],
    ['role=db|role=web', true],
    ['role=web&zone=eu-1', true],
    ['role=web && !zone=us', true],
    ['not (role=db or zone=us)', true],
    ['NOT role=db AND role=web', true],
    ['role=db or role=web and zone=us', false],
    ['(role=db or role=web) and zone=eu-1', true],
    ['node=web-01', true],
    ['web-01', true],
    ['web-*', true],
    ['web-[01-20]', true],
    ['web-[1-20]', false],
    ['web-[02-20],db', false],
    ['db-1,web-01', true],
    ['tag.node=tagged', true],
    ['node=tagged', false],
    ["role='web'", true],
    ['role="web" and zone=\'eu-1\'', true],
    ["empty=''", true],
    ['role=WEB', false],
    ['notes=web', false],
  ])('%j: %s', (text, expected) => {
    expect(matchesSelector(parseSelector(text), web1)).toBe(expected);
  });

  test.each<[string, string]>([
    ['role=web  and   zone=eu', 'role=web and zone=eu'],
    ['a=b & (c=d & e=f)', 'a=b and c=d and e=f'],
    ['a=b | (c=d & e=f)', 'a=b or c=d and e=f'],
    ['(a=b | c=d) & e=f', '(a=b or c=d) and e=f'],
    ['not not a=b', 'a=b'],
    ['!(a=b or c=d)', 'not (a=b or c=d)'],
    ['not a=b', 'a!=b'],
    ['web1', 'node=web1'],
    ['"a b"', "node='a b'"],
    ["x='it''s'", 'x=its'],
    ['x="it\'s"', 'x="it\'s"'],
    ['tag.node=x', 'tag.node=x'],
    ['tag.role=x', 'role=x'],
  ])('%j is written %j', (text, canonical) => {
    expect(selectorText(parseSelector(text))).toBe(canonical);
  });

  const word = fc.string({ minLength: 0, maxLength: 8, unit: fc.constantFrom(...'ab1-.\' "()&|!,=@[*') });
  const value = word.filter((text) => {
    try {
      compileValue(text);
      return true;
    } catch {
      return false;
    }
  });
  const term = fc
    .tuple(
      fc.constantFrom(undefined, 'role', 'node', 'tag.x', 'a-b'),
      fc.array(value, { minLength: 1, maxLength: 2 }),
    )
    .map(
      ([tag, texts]): SelectorNode => ({
        kind: 'term',
        tag,
        patterns: texts.map((text) => ({ text, matches: compileValue(text) })),
      }),
    );
  const { node } = fc.letrec<{ node: SelectorNode }>((tie) => ({
    node: fc.oneof(
      { maxDepth: 3 },
      term,
      fc.record({ kind: fc.constant('not' as const), of: tie('node') }),
      fc.record({
        kind: fc.constantFrom('and' as const, 'or' as const),
        of: fc.array(tie('node'), { minLength: 2, maxLength: 3 }),
      }),
    ),
  }));
  const member = fc.record({
    name: word,
    tags: fc
      .dictionary(fc.constantFrom('role', 'node', 'tag.x', 'a-b'), word)
      .map((tags) => new Map(Object.entries(tags))),
  });

  test('means the same after it was written and read again, and has one text', () => {
    fc.assert(
      fc.property(node, member, (root, who) => {
        const text = selectorText({ root });
        let again: ReturnType<typeof parseSelector>;
        try {
          again = parseSelector(text);
        } catch (error) {
          // More patterns or depth than a node would read.
          expect((error as FanoutError).message).toMatch(/more than|deeper/);
          return;
        }
        expect(matchesSelector(again, who)).toBe(matchesSelector({ root }, who));
        expect(selectorText(parseSelector(selectorText(again)))).toBe(selectorText(again));
      }),
      { numRuns: 3000 },
    );
  });

  test('can be ruled out by the name alone exactly when no tags would do', () => {
    fc.assert(
      fc.property(node, member, (root, who) => {
        if (matchesSelector({ root }, who)) expect(mayMatchName({ root }, who.name)).toBe(true);
      }),
      { numRuns: 2000 },
    );
    expect(mayMatchName(parseSelector('node=web1 and role=x'), 'web2')).toBe(false);
    expect(mayMatchName(parseSelector('not node=web1'), 'web1')).toBe(false);
    expect(mayMatchName(parseSelector('node=web1 or role=x'), 'web2')).toBe(true);
  });

  test('joined with others selects whom all select', () => {
    const both = allOf(parseSelector('a=b or c=d'), EVERYBODY, parseSelector('e=f and g=h'));
    expect(selectorText(both)).toBe('(a=b or c=d) and e=f and g=h');
    expect(allOf()).toEqual(EVERYBODY);
  });
});

describe('numbers in names', () => {
  test.each<[string, readonly string[], readonly string[]]>([
    ['web[01-20]', ['web01', 'web20'], ['web1', 'web021', 'web21', 'web00', 'web']],
    ['web[1-3,9]', ['web1', 'web3', 'web9'], ['web4', 'web01', 'web']],
    ['r[1-2]-n[8-11]', ['r1-n8', 'r2-n11'], ['r3-n8', 'r1-n12', 'r1-n08']],
    ['n[12]', ['n12'], ['n1', 'n2']],
    ['n[0-9]', ['n0', 'n9'], ['n10', 'n']],
    ['n[1-999999999999999]', ['n1', 'n123456789012345'], ['n0', 'n1234567890123456']],
    ['n[098-102]', ['n098', 'n100', 'n102'], ['n98', 'n97']],
    ['a.b[1-2]', ['a.b1'], ['aXb1']],
    ['n[!a]', ['nb'], ['na', 'n']],
  ])('%s', (pattern, matching, others) => {
    const matches = compileValue(pattern);
    for (const name of matching) expect(matches(name), name).toBe(true);
    for (const name of others) expect(matches(name), name).toBe(false);
  });

  test.each(['n[3-1]', 'n[1,,2]', 'n[-]', 'n[1-2][1-2][1-2][1-2][1-2]', 'n[001-02]'])(
    '%s is refused',
    (pattern) => {
      expect(() => compileValue(pattern)).toThrow(FanoutError);
    },
  );
});

describe('a text that cannot be read', () => {
  test.each<[string, string]>([
    ['role=web zone=eu', 'two conditions side by side'],
    ['role=', 'has no value'],
    ['=web', 'a condition is missing'],
    ['role=web and', 'a condition is missing'],
    ['and role=web', 'a condition is missing'],
    ['(role=web', 'that nothing closes'],
    ['role=web)', 'that nothing opens'],
    ["role='web", 'a quote that is not closed'],
    ['role=web,', 'nothing behind the comma'],
    ['role=[w', 'bracket'],
    ['role=*a*b*c*', 'wildcards'],
    ['a b=c', 'two conditions'],
    ['role=\u202eweb', 'U+202E'],
    ['@canary', 'no meaning here'],
  ])('%j: says what is wrong and how to mend it', (text, problem) => {
    const error = errorOf(text);
    expect(error.code).toBe('USAGE');
    expect(error.message).toContain(problem);
    expect(error.message).toContain('^');
    expect(error.hint ?? '').not.toBe('');
  });

  test('never costs a node more than a moment, whatever it is', () => {
    const hostile = [
      '('.repeat(20_000),
      'not '.repeat(8000),
      'a=b and '.repeat(4000),
      `a=${'x,'.repeat(16_000)}`,
      `n=${'[1-9]'.repeat(6000)}`,
      '*'.repeat(30_000),
      `a=${"'".repeat(29_999)}`,
      `a=[${'1,'.repeat(15_000)}`,
      Array.from({ length: 400 }, (_, i) => `n${i}*`).join(','),
      'x'.repeat(40_000),
    ];
    for (const text of hostile) {
      const cost = processorMs(() => expect(() => parseSelector(text)).toThrow(FanoutError));
      // Far above what it takes, far below what would hurt an agent.
      expect(cost, text.slice(0, 20)).toBeLessThan(500);
    }
  });

  test('is anything, and only ever a FanoutError', () => {
    fc.assert(
      fc.property(
        fc.string({ maxLength: 40, unit: fc.constantFrom(...'ab=!()[]&|,\'" *?1-@andornt.') }),
        (text) => {
          try {
            matchesSelector(parseSelector(text), web1);
          } catch (error) {
            expect(error).toBeInstanceOf(FanoutError);
          }
        },
      ),
      { numRuns: 5000 },
    );
  });

  test('names a thousand nodes one by one', () => {
    const names = Array.from({ length: 1000 }, (_, i) => `db-${i}`);
    const selector = parseSelector(`node=${[...names, 'web-01'].join(',')}`);
    expect(matchesSelector(selector, web1)).toBe(true);
    expect(parseSelector(selectorText(selector))).toMatchObject({ root: { kind: 'term' } });
  });
});

describe('saved selections', () => {
  const saved = (name: string): string | undefined =>
    ({ web: 'role=web', both: '@web and zone=eu-1', round: '@there', there: '@round or a=b', none: '' })[
      name
    ];
  const options = { saved, savedNames: ['web', 'both'] };

  test('stand for their text, which never travels under their name', () => {
    expect(selectorText(parseSelector('@both or a=b', options))).toBe('role=web and zone=eu-1 or a=b');
    expect(selectorText(parseSelector('not @both', options))).toBe('not (role=web and zone=eu-1)');
  });

  test('that are unknown, empty or contain themselves are refused', () => {
    expect(errorOf('@wep', options).hint).toContain('web');
    expect(errorOf('@round', options).message).toContain('contains itself');
    expect(errorOf('@none', options).message).toContain('is empty');
  });

  test('cannot go on inside each other without end, nor double', () => {
    const next = (name: string): number => Number(name.slice(1)) + 1;
    expect(errorOf('@a0', { saved: (name) => `@a${next(name)}` }).message).toContain('inside each other');
    const doubling = (name: string): string => (next(name) > 20 ? 'x' : `@a${next(name)} or @a${next(name)}`);
    expect(errorOf('@a0', { saved: doubling }).message).toContain('more than 2048');
  });
});
