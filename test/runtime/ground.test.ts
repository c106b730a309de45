import { expect, test } from 'vitest';
import type { Surroundings } from '../../src/policy/policy.ts';
import { type Abilities, groundFor } from '../../src/runtime/ground.ts';
import { testWhere } from '../support/applies.ts';
import { IS_ROOT } from './command-helper.ts';

const surroundings: Surroundings = {
  user: undefined,
  groups: [],
  cwd: undefined,
  env: new Map([['APP', 'x']]),
  sandboxes: ['strict', 'standard'],
  network: 'none',
  allowances: { read: ['/usr'], write: [], sockets: [] },
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
const limited = (some: Partial<Surroundings['limits']>): Surroundings => ({
  ...surroundings,
  limits: { ...surroundings.limits, ...some },
});

/** A machine with bubblewrap, but without control groups; it cannot make the strict sandbox. */
const plain: Abilities & { hidePaths: readonly string[] } = {
  sandboxes: [
    { profile: 'strict', available: false, reason: 'no /usr', fix: 'mount it' },
    { profile: 'standard', available: true, reason: '', fix: '' },
    { profile: 'none', available: true, reason: '', fix: '' },
  ],
  limits: [
    { limit: 'cpu', available: true, isForAll: false, reason: 'of each process', fix: '' },
    { limit: 'memory', available: false, isForAll: false, reason: 'no groups', fix: 'Delegate=yes' },
    { limit: 'tasks', available: true, isForAll: false, reason: 'by account', fix: 'Delegate=yes' },
  ],
  groupHome: {},
  hidePaths: ['/var/lib/agent'],
};
const ground = (asked: Surroundings, machine = plain) => groundFor('r', asked, machine);

test('a rule gets the first of its sandboxes that can be had, and all that it asks for', () => {
  expect(ground(limited({ cpuMs: 1000, tasks: 8 }))).toMatchObject({
    sandbox: 'standard',
    env: { APP: 'x' },
    allowances: { read: ['/usr'] },
    budget: { cpuMs: 1000, tasks: 8 },
    hidePaths: ['/var/lib/agent'],
  });
});

test('where memory cannot be bounded, a rule that bounds it is refused, with the way out', () => {
  expect(ground(limited({ memoryBytes: 2 ** 26 }))).toEqual({
    reason: 'rule "r" limits memory, and this node cannot hold a command to it (no groups); nothing was run',
    hint: 'Delegate=yes',
  });
});

testWhere(IS_ROOT)('the processes of root are counted by groups or not at all', () => {
  const asRoot = {
    ...limited({ tasks: 8 }),
    user: 'root',
    sandboxes: ['none'],
    allowances: { read: [], write: [], sockets: [] },
  } as const;
  expect(ground(asRoot)).toMatchObject({ reason: expect.stringContaining('limits tasks') });
  const limits = [{ limit: 'tasks', available: true, isForAll: true, reason: 'groups', fix: '' }] as const;
  expect(ground(asRoot, { ...plain, limits })).toMatchObject({ budget: { tasks: 8 } });
});

test.each<[string, Partial<Surroundings>, string]>([
  ['a sandbox', { sandboxes: ['strict'] }, 'needs a sandbox that this node cannot give ("strict": no /usr)'],
  ['a group', { groups: ['no-such-group'] }, 'group'],
  ['a user', { user: 'no-such-user' }, 'no-such-user'],
  ['a path', { allowances: { ...surroundings.allowances, write: ['/var/lib/agent/keys'] } }, 'own files'],
  ['a folder', { cwd: '/usr/no-such-folder' }, 'it does not exist'],
])('%s that is not here is a refusal', (_what, asked, reason) => {
  expect(ground({ ...surroundings, ...asked })).toMatchObject({ reason: expect.stringContaining(reason) });
});
