import { describe, expect, test } from 'vitest';
import { FanoutError } from '../../src/lib/errors.ts';
import { matchesSelector, parseTagSelector } from '../../src/policy/selector.ts';

const web1 = { name: 'web-1', tags: new Map(Object.entries({ role: 'web', zone: 'eu-1', empty: '' })) };

type Tags = readonly (readonly [string, string])[];

describe('a selector', () => {
  test.each<[string, Tags, readonly string[], boolean]>([
    ['an empty one selects everybody', [], [], true],
    ['a tag that matches', [['role', 'web']], [], true],
    ['a glob that matches', [['zone', 'eu-*']], [], true],
    ['a tag with another value', [['role', 'db']], [], false],
    ['a tag that the member lacks', [['rack', '*']], [], false],
    [
      'two tags: both',
      [
        ['role', 'web'],
        ['zone', 'us-*'],
      ],
      [],
      false,
    ],
    [
      'the same tag twice: either',
      [
        ['role', 'db'],
        ['role', 'we*'],
      ],
      [],
      true,
    ],
    [
      'the same tag twice and another: either, and the other',
      [
        ['role', 'db'],
        ['zone', 'us'],
        ['role', 'web'],
      ],
      [],
      false,
    ],
    ['a node name', [], ['web-1'], true],
    ['one of several names', [], ['db-1', 'web-?'], true],
    ['no such name', [], ['db-*'], false],
    ['names and tags: both', [['role', 'db']], ['web-1'], false],
    ['case counts', [['role', 'WEB']], [], false],
    ['an empty value is matched by an empty pattern', [['empty', '']], [], true],
    ['a pattern that cannot be used selects nobody', [['role', '[w']], [], false],
    ['a pattern with too many wildcards selects nobody', [['role', '*w*e*b*']], [], false],
  ])('%s', (_, tags, nodes, expected) => {
    expect(matchesSelector({ tags, nodes }, web1)).toBe(expected);
  });

  test('may name a thousand nodes, but not with a thousand wildcards', () => {
    const names = Array.from({ length: 1000 }, (_, index) => `db-${index}`);
    expect(matchesSelector({ tags: [], nodes: [...names, 'web-1'] }, web1)).toBe(true);
    expect(matchesSelector({ tags: [], nodes: [...names.map((name) => `${name}*`), 'web-1'] }, web1)).toBe(
      false,
    );
  });
});

describe('a tag selector on the command line', () => {
  test('is split at its first equals sign', () => {
    expect(parseTagSelector('role=web*')).toEqual(['role', 'web*']);
    expect(parseTagSelector('a=b=c')).toEqual(['a', 'b=c']);
    expect(parseTagSelector('a=')).toEqual(['a', '']);
  });

  test.each(['role', '=web', '', 'role=[w', 'role=*a*b*c*'])('%j is refused with a hint', (text) => {
    let error: unknown;
    try {
      parseTagSelector(text);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(FanoutError);
    expect(error).toMatchObject({ code: 'USAGE', hint: expect.stringMatching(/./) });
  });
});
