import { expect, test } from 'vitest';
import { checkPolicy, reportText } from '../../src/policy/check.ts';
import { loadPolicy } from '../../src/policy/load.ts';
import { policyText } from './fixtures.ts';
import { QUIET_DAY } from './lint/fixtures.ts';

const SOUND = policyText(
  `  - { id: never, effect: deny, programs: [sh] }
  - { id: look, effect: allow, commands: [{ program: uptime, argv: [] }] }`,
  'examples: { allow: [{ as: alice, cmd: uptime }] }',
);
const check = (text: string) => checkPolicy(text, 'p.yaml', QUIET_DAY);

test('a file without a fault', () => {
  expect(check(SOUND)).toMatchObject({ isSound: true, problems: [] });
  expect(reportText(check(SOUND))).toBe('p.yaml: sound');
});

test('all errors of the shape at once, each with its place', () => {
  const text = SOUND.replace('id: never', 'idd: never')
    .replace('argv: []', 'argv: 5')
    .replace('as: alice', 'az: alice');
  const { isSound, problems } = check(text);
  expect(isSound).toBe(false);
  const said = problems.map(
    ({ level, spot, message }) => `${level} ${spot?.line}:${spot?.column} ${message}`,
  );
  expect(said).toEqual([
    'error 7:5 rule 1: the key "id" is missing',
    'error 7:7 rule 1: unknown key "idd"',
    'error 8:68 rule "look": argv: must be a list, YAML reads it as the number 5',
    'error 9:21 examples.allow: the key "as" is missing',
    expect.stringMatching(/^error 9:\d+ examples.allow: unknown key "az"$/),
  ]);
  expect(reportText(check(text))).toMatch(/p\.yaml: refused: 5 errors$/);
});

test.each([
  ['YAML', SOUND.replace('version: 1', 'version: [1'), /not valid YAML/],
  ['a meaning', SOUND.replace('program: uptime', 'program: uptime, path: /usr/bin/x'), /does not end in/],
  ['an example', SOUND.replace('cmd: uptime', 'cmd: ps'), /should be allowed/],
])('one error of %s', (_, text, message) => {
  const { isSound, problems } = check(text);
  expect(isSound).toBe(false);
  expect(problems).toMatchObject([{ level: 'error', message: expect.stringMatching(message) }]);
  expect(problems[0]?.spot?.line).toBeGreaterThan(0);
});

test('a danger with its line, its rule, a caret and the way out; and taken by a sentence', () => {
  const text = SOUND.replace('uptime, argv: []', 'uptime, argv: [] }, { program: env, argv: []');
  expect(reportText(check(text))).toBe(`p.yaml:8: danger: rule "look": env starts other programs
  ...ram: uptime, argv: [] }, { program: env, argv: [] }] }
                                         ^
  Whoever may run it may run anything. Leave it out, or say why it is needed: dangerous: "..."
p.yaml: refused: 1 danger`);
  expect(() => loadPolicy(text, 'p.yaml')).toThrow('env starts other programs');
  const taken = text.replace('effect: allow', 'effect: allow, dangerous: tests');
  expect(check(taken)).toMatchObject({ isSound: true, problems: [{ level: 'danger', accepted: 'tests' }] });
  expect(reportText(check(taken))).toMatch(
    /^p\.yaml:8: accepted: rule "look"[\s\S]*dangerous: "tests"\n.*sound: 1 danger taken$/,
  );
});

test('what check calls sound is what a node takes', () => {
  for (const words of [
    '',
    'sandbox: none, ',
    'user: root, dangerous: x, ',
    'env: { PAGER: x }, ',
    'user: app, ',
  ]) {
    const text = SOUND.replace('effect: allow, ', `effect: allow, ${words}`);
    let isTaken = true;
    try {
      loadPolicy(text, 'p.yaml');
    } catch {
      isTaken = false;
    }
    expect(check(text).isSound, words).toBe(isTaken);
  }
});
