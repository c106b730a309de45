import { describe, expect, test } from 'vitest';
import type { Surroundings } from '../../src/policy/policy.ts';
import { commandVerdict, confirmVerdict, type RunVerdict } from '../../src/runtime/verdict.ts';
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

describe("a line of the node's owner", () => {
  const surroundings: Surroundings = {
    user: undefined,
    groups: [],
    cwd: undefined,
    env: new Map(),
    sandboxes: ['standard'],
    network: 'none',
    allowances: { read: [], write: [], sockets: [] },
    limits: {
      timeoutMs: 1000,
      outputBytes: 1000,
      concurrency: 1,
      cpuMs: undefined,
      memoryBytes: undefined,
      tasks: undefined,
      rate: undefined,
    },
  };
  const { limits, allowances } = surroundings;
  const script = { path: '/bin/sh', line: 'true', variables: {}, input: new Uint8Array() };
  const verdict = (asked: Partial<Surroundings>, suspectSince = (): string | undefined => undefined) =>
    commandVerdict(
      {
        decision: {
          effect: 'allow',
          rule: 'r',
          readOnly: false,
          program: 'query:x',
          path: undefined,
          pathChecks: [],
          isDenied: () => false,
          surroundings: { ...surroundings, ...asked },
          approvedBy: [],
          dangerous: undefined,
        },
        argv: ['query:x'],
        timeoutMs: 1000,
      },
      {
        sandboxes: [],
        limits: [],
        groupHome: {},
        running: () => 0,
        waitMs: () => 0,
        suspectSince,
        hidePaths: [],
      },
      { handlers: new Map(), script: () => script },
    );

  test('runs as the agent, where its rule asks for nothing else', () => {
    expect(verdict({})).toMatchObject({ kind: 'run', spec: { script, sandbox: 'none' } });
  });

  test('is refused, and is no error, where something about it cannot be found out', () => {
    const broken = verdict({}, () => {
      throw new Error('the disk is gone');
    });
    expect(broken).toMatchObject({ kind: 'failed', reason: expect.stringContaining('the disk is gone') });
  });

  test.each<[string, Partial<Surroundings>]>([
    ['groups', { groups: ['adm'] }],
    ['a folder', { cwd: '/srv' }],
    ['variables', { env: new Map([['A', 'b']]) }],
    ['opened paths', { allowances: { ...allowances, write: ['/srv'] } }],
    ['a bound of memory', { limits: { ...limits, memoryBytes: 2 ** 26 } }],
    ['a bound of processor time', { limits: { ...limits, cpuMs: 1000 } }],
    ['a bound of tasks', { limits: { ...limits, tasks: 8 } }],
  ])('is refused where its rule asks for %s, which nobody would hear', (_what, asked) => {
    expect(verdict(asked)).toMatchObject({ kind: 'failed', hint: expect.stringContaining('Leave') });
  });
});
