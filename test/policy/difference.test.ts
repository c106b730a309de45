import { expect, test } from 'vitest';
import { comparePolicies } from '../../src/policy/difference.ts';
import { differenceText } from '../../src/policy/difference-text.ts';
import { compilePolicy } from '../../src/policy/load.ts';
import { someKey } from './fixtures.ts';

const [ALICE, BOB, CAROL] = ['alice', 'bob', 'carol'].map(someKey);
const OLD = `version: 1
environment: test
operators:
  alice: { key: "${ALICE}", groups: [sre] }
  bob: { key: "${BOB}", groups: [dev] }
defaults: { limits: { timeout: 10s } }
rules:
  - { id: never, effect: deny, programs: [sh] }
  - { id: look, effect: allow, operators: ["group:sre", "group:dev"], commands: [{ program: ps, argv: [[ax, aux]] }, { program: uptime, argv: [] }] }
  - { id: more, effect: allow, commands: [{ program: id, argv: [] }] }
examples:
  allow: [{ as: alice, cmd: "ps ax" }, { as: bob, tags: { role: web }, cmd: uptime }]
  deny: [{ as: bob, cmd: "ps auxe" }]
`;
const compare = (now: string, past: string[][] = []) =>
  comparePolicies(compilePolicy(OLD, 'old'), compilePolicy(now, 'new'), past);
const change = (before: string, after: string) => {
  expect(OLD).toContain(before);
  return OLD.replace(before, after);
};

test('the same policy, and one that is only written otherwise, differ in nothing', () => {
  expect(
    compare(OLD, [
      ['ps', 'aux'],
      ['rm', '-r'],
    ]),
  ).toEqual({ verdicts: [], names: [] });
  const other = change(
    '- { id: never, effect: deny, programs: [sh] }',
    '# no shell\n  - { effect: deny, id: "never", programs: [ "sh" ] }',
  );
  expect(compare(other)).toEqual({ verdicts: [], names: [] });
  expect(differenceText(compare(OLD))).toBe('');
});

test('verdicts on the examples of both files', () => {
  const now = change('["group:sre", "group:dev"]', '["group:sre"]').replace(
    ', { as: bob, tags: { role: web }, cmd: uptime }',
    '',
  );
  const { verdicts, names } = compare(now);
  expect(verdicts).toMatchObject([
    {
      from: 'example',
      command: { argv: ['uptime'], operator: 'bob', tags: { role: 'web' } },
      before: { effect: 'allow', rule: 'look' },
      after: { effect: 'deny', code: 'no-rule' },
    },
  ]);
  expect(names).toEqual([{ kind: 'rule', name: 'look', change: 'changed', details: ['operators'] }]);
  expect(differenceText(compare(now))).toBe(`denied now:
  uptime
      allowed by "look" -> denied (no-rule)
      as bob on role=web

in the file:
  ~ rule look: operators`);
});

test('a new example is tried on the old file too', () => {
  const now = change('[[ax, aux]]', '[[ax, aux, "-ef"]]').replace('cmd: "ps ax"', 'cmd: "ps -ef"');
  const text = differenceText(compare(now));
  expect(text).toContain(
    `allowed now:\n  ps '-ef'\n      denied (no-rule) -> allowed by "look"\n      as alice`,
  );
});

test('past commands, for every operator, on the nodes that the examples know', () => {
  const now = change('[[ax, aux]]', '[ax]');
  const { verdicts } = compare(now, [
    ['ps', 'aux'],
    ['ps', 'aux'],
    ['ps', 'ax'],
    ['never', 'heard of'],
  ]);
  expect(verdicts.map(({ from, command }) => [from, command.operator, command.tags])).toEqual([
    ['history', 'alice', {}],
    ['history', 'alice', { role: 'web' }],
    ['history', 'bob', {}],
    ['history', 'bob', { role: 'web' }],
  ]);
  expect(differenceText(compare(now, [['ps', 'aux']]))).toContain('ps aux (of your history)');
});

test.each([
  ['timeout: 10s', 'timeout: 20s', 'limits'],
  ['defaults: {', 'defaults: { sandbox: strict,', 'sandbox'],
  ['defaults: {', 'defaults: { sandbox: { network: host },', 'network'],
  ['defaults: {', 'defaults: { user: app,', 'user'],
  ['id: look, ', 'id: watch, ', 'rule'],
  ['effect: allow, operators', 'effect: allow, readOnly: true, operators', 'readOnly'],
  ['effect: allow, operators', 'effect: allow, cwd: /srv, operators', 'cwd'],
  ['effect: allow, operators', 'effect: allow, env: { A: b }, operators', 'env'],
  ['program: uptime', 'program: uptime, path: /usr/bin/uptime', 'path'],
])('another way of the same verdict: %s -> %s', (before, after, key) => {
  const { verdicts } = compare(change(before, after));
  expect(verdicts.length).toBeGreaterThan(0);
  for (const { differs } of verdicts) expect(differs).toEqual([key]);
});

test('operators, groups and settings that are new, gone or different', () => {
  const now = change(
    `bob: { key: "${BOB}", groups: [dev] }`,
    `carol: { key: "${CAROL}", groups: [dev, { name: sre, notAfter: 2030-12-31 }], notAfter: 2031-01-01 }`,
  )
    .replace('defaults: {', 'defaults: { maxTtl: 2m,')
    .replace('as: bob, tags', 'as: carol, tags')
    .replace('as: bob, cmd', 'as: carol, cmd');
  const said = compare(now).names.map(
    ({ kind, name, change, details }) => `${change} ${kind} ${name} ${details}`,
  );
  expect(said).toEqual([
    'changed setting maxTtl value',
    'removed operator bob ',
    'added operator carol ',
    'changed group sre carol',
    'changed group dev bob,carol',
  ]);
});
