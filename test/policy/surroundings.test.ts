import { expect, test } from 'vitest';
import type { AllowRule } from '../../src/policy/policy.ts';
import { policyOf } from './fixtures.ts';

/** What a rule with these keys gives its commands. */
function surroundingsOf(keys: string, defaults = ''): AllowRule['surroundings'] {
  const rule = policyOf(
    `  - id: a\n    effect: allow\n${keys.replace(/^/gm, '    ')}\n    commands: [{ program: id }]`,
    defaults === '' ? '' : `defaults: ${defaults}`,
  ).rules[0];
  if (rule?.effect !== 'allow') throw new Error('the rule allows');
  return rule.surroundings;
}

test('a rule says what it opens, whose rights it has and what it may use', () => {
  const keys = `user: app
groups: [systemd-journal, adm]
cwd: /srv/app
env: { APP_ENV: test, EMPTY: "" }
sandbox: { profile: [strict, standard], network: host, read: [/srv/a], write: [/srv/app/tmp], sockets: [/run/x.sock] }
limits: { timeout: 90s, output: 4MiB, cpu: 10s, memory: 256MiB, tasks: 64, concurrency: 1, rate: 4/min }`;
  expect(surroundingsOf(keys)).toEqual({
    user: 'app',
    groups: ['systemd-journal', 'adm'],
    cwd: '/srv/app',
    env: new Map([
      ['APP_ENV', 'test'],
      ['EMPTY', ''],
    ]),
    sandboxes: ['strict', 'standard'],
    network: 'host',
    allowances: { read: ['/srv/a'], write: ['/srv/app/tmp'], sockets: ['/run/x.sock'] },
    limits: {
      timeoutMs: 90_000,
      outputBytes: 4 * 2 ** 20,
      cpuMs: 10_000,
      memoryBytes: 256 * 2 ** 20,
      tasks: 64,
      concurrency: 1,
      rate: { count: 4, perMs: 60_000 },
    },
  });
});

test('what a rule leaves out comes from the defaults, part by part', () => {
  const defaults =
    '{ sandbox: { profile: strict, network: host, read: [/srv] }, limits: { tasks: 8, cpu: 1s } }';
  expect(surroundingsOf('sandbox: standard\nlimits: { cpu: 2s }', defaults)).toMatchObject({
    sandboxes: ['standard'],
    network: 'host',
    allowances: { read: ['/srv'] },
    limits: { tasks: 8, cpuMs: 2000 },
  });
  expect(surroundingsOf('sandbox: { network: none, read: [] }', defaults)).toMatchObject({
    sandboxes: ['strict'],
    network: 'none',
    allowances: { read: [] },
  });
});

test.each([
  ['limits: { rate: fast }', 'is not a rate'],
  ['limits: { rate: 0/min }', 'is not a rate'],
  ['limits: { memory: 1KiB }', 'is too little'],
  ['limits: { tasks: 1 }', 'must be a whole number from 4'],
  ['limits: { cpu: 500ms }', 'must be whole seconds'],
  ['env: { LD_PRELOAD: /tmp/x.so }', '"LD_PRELOAD" is not a policy\'s to set'],
  ['env: { PATH: /tmp }', '"PATH" is not a policy\'s to set'],
  ['env: { FANOUT_JOB: x }', "is not a policy's to set"],
  ['env: { "A=B": x }', 'is not a name that a variable can have'],
  ['env: { A: 1 }', 'must be text'],
  ['cwd: srv', 'is not an absolute path'],
  ['cwd: /srv/../root', 'has a . or .. in it'],
  ['groups: ["a b"]', 'is not a user name'],
  ['approvals: { need: 0, from: [alice] }', 'must be a whole number from 1'],
  ['approvals: { need: 1, from: [] }', 'nobody could approve'],
  ['approvals: { need: 1, from: [mallory] }', 'there is no operator "mallory"'],
  ['approvals: { need: 1 }', 'the key "from" is missing'],
])('%s is refused: %s', (keys, problem) => {
  expect(() => surroundingsOf(keys)).toThrow(problem);
});
