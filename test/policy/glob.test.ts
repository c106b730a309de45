import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FanoutError } from '../../src/lib/errors.ts';
import { compileDenyGlob, compileGlob, compilePathGlob, pathProblem } from '../../src/policy/glob.ts';
import { processorMs } from '../support/cost.ts';

describe('an allowing glob', () => {
  test.each([
    ['app-*.service', 'app-web.service', true],
    ['app-*.service', 'app-.service', true],
    ['app-*.service', 'app-web.service ', false],
    ['app-*.service', 'xapp-web.service', false],
    ['app-*.service', 'App-web.service', false],
    ['*', 'anything at all', true],
    ['*', 'a/b/../c', true],
    ['*', '.hidden', true],
    ['*', '..', true],
    ['**', 'a/b', true],
    ['http://*', 'http://h/a/b', true],
    ['*.log', 'a/b.log', true],
    ['a?c', 'a/c', true],
    ['a?c', 'a😀c', true],
    ['a?c', 'ac', false],
    ['[a-c]x', 'bx', true],
    ['[a-c]x', 'Bx', false],
    ['[!a-c]x', 'dx', true],
    ['[!a-c]x', '/x', true],
    // Options must not slip in through a wildcard.
    ['*', '-rf', false],
    ['*', '', false],
    ['*.service', '-x.service', false],
    ['?x', '-x', false],
    ['[!a]x', '-x', false],
    ['-[0-9]*', '-1h', true],
    ['-*', '-rf', true],
    // What minimatch would make of these without its switches.
    ['!a*', 'b', false],
    ['!a*', '!ab', true],
    ['#a*', '#ab', true],
    ['{a,b}*', 'ax', false],
    ['{a,b}*', '{a,b}x', true],
    ['+(a)*', 'aax', false],
    ['@(a|b)*', '@(a|b)x', true],
    ['a//*', 'a/b', false],
    ['a/../*', 'b', false],
    // Without a wildcard it is a comparison of bytes.
    ['a\\b', 'a\\b', true],
    ['a\\b', 'ab', false],
    ['a', 'a/', false],
    ['', '', true],
    ['-ef', '-ef', true],
    ['{{.Names}}', '{{.Names}}', true],
    // Control characters would break the stand-ins.
    ['*', 'a\nb', false],
    ['a?b', 'a\u0001b', false],
  ])('%j on %j: %s', (pattern, value, expected) => {
    expect(compileGlob(pattern)(value)).toBe(expected);
  });
});

describe('a denying glob', () => {
  test.each([
    ['*', '', true],
    ['*', '-rf', true],
    ['*', '..', true],
    ['**', '..', true],
    ['*secret*', '/srv/SECRET/x', true],
    ['*/srv/prod*', '--file=/srv/prod-1/x', true],
    ['*/srv/prod*', '/SRV/Prod', true],
    ['--vacuum*', '--vacuum-time=1s', true],
    ['SH', 'sh', true],
    ['sh', 'bash', false],
    ['python*', 'Python3.11', true],
    ['[a-c]x', 'BX', true],
    ['*x*', 'a\nx', true],
  ])('%j on %j: %s', (pattern, value, expected) => {
    expect(compileDenyGlob(pattern)(value)).toBe(expected);
  });
});

describe('a path glob', () => {
  test.each([
    ['/srv/**', '/srv/a', true],
    ['/srv/**', '/srv/a/b/.c', true],
    ['/srv/**', '/srv', false],
    ['/srv/**', '/srv/', false],
    ['/srv/**', '/srvx/a', false],
    ['/srv/**', '/srv/../etc/shadow', false],
    ['/srv/**', '/srv/a/../b', false],
    ['/srv/**', '/srv/./a', false],
    ['/srv/**', '/srv//a', false],
    ['/srv/**', '/srv/a/', false],
    ['/srv/**', '//srv/a', false],
    ['/srv/**', 'srv/a', false],
    ['/srv/**', '', false],
    ['/srv/**', '-/srv/a', false],
    ['/srv/**', '/srv/...', true],
    ['/srv/**', '/srv/a\nb', false],
    ['/srv/*', '/srv/a', true],
    ['/srv/*', '/srv/a/b', false],
    ['/srv/*/log', '/srv/a/log', true],
    ['/srv/**/log', '/srv/log', true],
    ['/srv/**/log', '/srv/a/b/log', true],
    ['/srv/*.log', '/srv/a.log', true],
    ['/srv/*.log', '/srv/a/b.log', false],
    ['/srv/a?b', '/srv/a/b', false],
    ['/srv/[!x]', '/srv/a', true],
    ['/SRV/**', '/srv/a', false],
    ['/etc/hosts', '/etc/hosts', true],
    ['/etc/hosts', '/etc/hosts/', false],
    ['/', '/', true],
  ])('%j on %j: %s', (pattern, value, expected) => {
    expect(compilePathGlob(pattern)(value)).toBe(expected);
  });
});

describe('a pattern that nobody can judge is refused', () => {
  test.each([
    ['a*b*c*d*e', 'more than 3 wildcards'],
    ['a***', 'more than 3 wildcards'],
    [`*${'a'.repeat(256)}`, '257 characters, at most 256'],
    ['a\u001b*', 'control character U+001B'],
    ['a\u202eb', 'invisible character'],
    ['a\\*', 'backslash beside wildcards'],
    ['[a', 'no set of characters'],
    ['a]*', 'no set of characters'],
    ['[]', 'no set of characters'],
    ['[!]*', 'no set of characters'],
    ['[+-9]', 'no set of characters'],
    ['[a-Z]', 'no set of characters'],
    ['[/]', 'no set of characters'],
    ['[^a]', 'no set of characters'],
    ['[[:alpha:]]', 'no set of characters'],
  ])('%j: %s', (pattern, problem) => {
    for (const compile of [compileGlob, compileDenyGlob]) {
      expect(() => compile(pattern)).toThrow(FanoutError);
      expect(() => compile(pattern)).toThrow(problem);
    }
  });

  test.each([
    ['srv/*', 'not an absolute path'],
    ['/srv/', 'ends with a slash'],
    ['/srv//x', 'double slash'],
    ['/srv/../x', '. or ..'],
    ['/srv/x**', '** next to other characters'],
    ['', 'not an absolute path'],
  ])('path %j: %s', (pattern, problem) => {
    expect(() => compilePathGlob(pattern)).toThrow(problem);
  });
});

test('no pattern with a wildcard lets an option or an empty argument through', () => {
  const pattern = fc.string({ unit: fc.constantFrom(...'ab*?/.[]!{}'), minLength: 1, maxLength: 8 });
  const value = fc.string({ unit: fc.constantFrom(...'ab-/.'), maxLength: 8 });
  fc.assert(
    fc.property(pattern, value, (text, rest) => {
      let matches: (value: string) => boolean;
      try {
        matches = compileGlob(text);
      } catch {
        return;
      }
      expect(matches(`-${rest}`)).toBe(false);
      expect(matches('')).toBe(false);
    }),
    { numRuns: 3000, seed: 3 },
  );
});

test('whatever an allowing glob matches, the same denying glob matches too', () => {
  const text = fc.string({ unit: fc.constantFrom(...'abAB*?/.-'), maxLength: 6 });
  fc.assert(
    fc.property(text, text, (pattern, value) => {
      fc.pre((pattern.match(/\*+/g) ?? []).every((run) => run.length < 3));
      fc.pre((pattern.match(/\*+/g) ?? []).length <= 3);
      if (compileGlob(pattern)(value)) expect(compileDenyGlob(pattern)(value)).toBe(true);
    }),
    { numRuns: 3000, seed: 4 },
  );
});

test('the worst pattern on the longest argument takes no time', () => {
  const values = ['x'.repeat(4096), 'x'.repeat(2000) + 'y'.repeat(2000), `/${'x/'.repeat(2000)}x`];
  for (const pattern of ['*x*y*z', '*x*x*x', '?*?*?*z', '[x]*[x]*[x]*y']) {
    for (const compile of [compileGlob, compileDenyGlob]) {
      const matches = compile(pattern);
      // Backtracking would take seconds to hours here.
      expect(processorMs(() => values.map(matches))).toBeLessThan(500);
    }
  }
  const matches = compilePathGlob('/**/x/**/x/**');
  expect(processorMs(() => values.map((value) => matches(`${value}/y`)))).toBeLessThan(500);
});

test('a path has one canonical spelling, and every other is named', () => {
  expect(pathProblem('/')).toBeUndefined();
  expect(pathProblem('/a/b..c/.d')).toBeUndefined();
  expect(pathProblem('a')).toBe('is not an absolute path');
  expect(pathProblem('/a/')).toBe('ends with a slash');
  expect(pathProblem('//')).toBe('ends with a slash');
  expect(pathProblem('/a//b')).toBe('has a double slash');
  expect(pathProblem('/a/./b')).toBe('has a . or .. in it');
  expect(pathProblem('/.')).toBe('has a . or .. in it');
  expect(pathProblem('/a/..')).toBe('has a . or .. in it');
});
