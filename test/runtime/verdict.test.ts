import { describe, expect, test } from 'vitest';
import { confirmVerdict, type RunVerdict } from '../../src/runtime/verdict.ts';
import { specOf } from './command-helper.ts';

const user = { name: 'app', uid: 1000, gid: 1000, groups: [4] };
const accepted: RunVerdict = {
  kind: 'run',
  spec: specOf(['true'], {
    user,
    network: 'none',
    cwd: '/srv',
    env: { A: 'b' },
    allowances: { read: ['/srv/a'], write: ['/srv/b'], sockets: ['/run/x.sock'] },
    hidePaths: ['/var/lib/fanout'],
  }),
  rule: 'basics',
  readOnly: true,
  limitMs: 30_000,
};
const { spec } = accepted;

test('what would run as it was accepted runs, with the limits of now', () => {
  const budget = { cpuMs: 1000, memoryBytes: 2 ** 24, tasks: 8 };
  const now = {
    ...accepted,
    // Made anew, as each verdict is: what counts is what is in it.
    spec: { ...structuredClone(spec), timeoutMs: 1000, outputBytesMax: 10, budget },
    limitMs: 5000,
    rate: { count: 1, perMs: 1000 },
  };
  expect(confirmVerdict(accepted, now)).toBe(now);
});

test('a refusal of now is the answer', () => {
  const failed = { kind: 'failed', reason: 'no sandbox', hint: '' } as const;
  expect(confirmVerdict(accepted, failed)).toBe(failed);
});

describe('a command is denied that would now run', () => {
  test.each<[string, Partial<RunVerdict>]>([
    ['by another rule', { rule: 'other' }],
    ['by a rule that changes something', { readOnly: false }],
    ['as another program', { spec: { ...spec, path: '/usr/local/bin/true' } }],
    ['with other arguments, as a handler that was changed would', { spec: { ...spec, argv: ['true', 'x'] } }],
    ['in another sandbox', { spec: { ...spec, sandbox: 'strict' } }],
    ['with a network', { spec: { ...spec, network: 'host' } }],
    ['as somebody else', { spec: { ...spec, user: { ...user, name: 'web', uid: 1001 } } }],
    ['under a name that is another account now', { spec: { ...spec, user: { ...user, uid: 1001 } } }],
    ['with another group', { spec: { ...spec, user: { ...user, groups: [4, 27] } } }],
    ['somewhere else', { spec: { ...spec, cwd: '/srv/a' } }],
    ['with another variable', { spec: { ...spec, env: { A: 'c' } } }],
    ['with one variable more', { spec: { ...spec, env: { A: 'b', C: '' } } }],
    ['where more can be read', { spec: { ...spec, allowances: { ...spec.allowances!, read: [] } } }],
    [
      'where more can be written',
      { spec: { ...spec, allowances: { ...spec.allowances!, write: ['/srv'] } } },
    ],
    ['with other sockets', { spec: { ...spec, allowances: { ...spec.allowances!, sockets: [] } } }],
    ['with nothing hidden', { spec: { ...spec, hidePaths: [] } }],
  ])('%s: its asker was told otherwise', (_how, changes) => {
    expect(confirmVerdict(accepted, { ...accepted, ...changes })).toMatchObject({
      kind: 'denied',
      code: 'changed',
    });
  });
});
