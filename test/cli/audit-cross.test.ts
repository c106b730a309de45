import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { cross } from '../../src/cli/audit.ts';
import { type AuditFields, AuditLog } from '../../src/identity/audit.ts';
import { scratchFolder } from '../identity/fixtures.ts';

const ID = 'ab'.repeat(16);
const KEY = 'SHA256:alice';
const ARGV = ['ps', 'ax'];
const COUNTS = {
  code: 0,
  signal: null,
  cause: 'exit',
  stdoutBytes: 3,
  stderrBytes: 0,
  output: '05'.repeat(32),
};
const RUN = { event: 'run', id: ID, key: KEY, argv: ARGV };
const RUN_END = { event: 'run-end', id: ID, exit: 0 };
const TARGET = {
  event: 'target',
  id: ID,
  node: 'web1',
  state: 'exited',
  rule: 'look',
  nodeKey: 'K1',
  ...COUNTS,
};
const BY = { id: ID, node: 'web1', operator: 'alice', key: KEY, argv: ARGV };
const START = { event: 'start', ...BY, rule: 'look' };
const END = { event: 'end', ...BY, ...COUNTS };
const DENIED = { event: 'denied', ...BY, code: 'no-rule', rule: '', reason: 'no' };
const UNKNOWN = { code: undefined, cause: undefined, output: undefined, rule: undefined, nodeKey: undefined };
/** What the asker has of a node that was refused, or never answered. */
const withState = (state: string) => ({ ...TARGET, ...UNKNOWN, state });

let folder: string;
let unixMs: number;

beforeEach(() => {
  folder = scratchFolder();
  unixMs = 1_800_000_000_000;
});

function logOf(name: string, records: readonly AuditFields[], maxBytes = 2 ** 20): string {
  const path = join(folder, name);
  const log = AuditLog.open(path, { unixMs: () => unixMs++, maxBytes, filesKept: 1 });
  for (const record of records) log.append(record);
  log.close();
  return path;
}

/** Compares the two logs as `fanout audit cross web1=FILE` does. */
async function compared(
  asker: readonly AuditFields[],
  node: readonly AuditFields[],
  maxBytes?: number,
): Promise<{ code: number; stdout: string; stderr: string }> {
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    const spy = vi.spyOn(process[name], 'write').mockImplementation((text) => {
      said[name] += String(text);
      return true;
    });
    onTestFinished(() => spy.mockRestore());
  }
  const n = ++unixMs;
  const own = logOf(`own${n}`, asker);
  const code = await cross([`web1=${logOf(`web${n}`, node, maxBytes)}`], { log: own });
  return { code, ...said };
}

const AGREE = { code: 0, stdout: 'web1: 1 agree, 0 differ, 0 of other operators\n', stderr: '' };

test('two logs that tell the same agree, and the exit status is 0', async () => {
  expect(await compared([RUN, TARGET, RUN_END], [START, END])).toEqual(AGREE);
});

test('a refusal that both have agrees, and what the asker lost sight of says nothing against the node', async () => {
  expect(await compared([RUN, { ...withState('denied'), rule: '' }, RUN_END], [DENIED])).toEqual(AGREE);
  for (const state of ['lost', 'timed-out', 'cancelled', 'untrusted']) {
    expect(await compared([RUN, withState(state), RUN_END], [START, END])).toEqual(AGREE);
  }
  // The asker was killed before it could write down how it ended.
  expect(await compared([RUN], [START, END])).toEqual(AGREE);
  expect(await compared([RUN, withState('unreachable'), RUN_END], [])).toMatchObject({ code: 0, stderr: '' });
});

/** What the asker has, what the node has, and what is to be said of it. */
const DIFFERENCES: readonly (readonly [string, readonly AuditFields[], readonly AuditFields[], string])[] = [
  [
    'command',
    [RUN, TARGET],
    [{ ...START, argv: ['id'] }, END],
    'command: you have ["ps","ax"], the node has ["id"]',
  ],
  ['exit code', [RUN, TARGET], [START, { ...END, code: 1 }], 'exit code: you have 0, the node has 1'],
  [
    'signal',
    [RUN, TARGET],
    [START, { ...END, signal: 'SIGKILL' }],
    'signal: you have none, the node has SIGKILL',
  ],
  [
    'cause',
    [RUN, TARGET],
    [START, { ...END, cause: 'timeout' }],
    'cause: you have exit, the node has timeout',
  ],
  [
    'bytes of stdout',
    [RUN, TARGET],
    [START, { ...END, stdoutBytes: 4 }],
    'bytes of stdout: you have 3, the node has 4',
  ],
  [
    'bytes of stderr',
    [RUN, TARGET],
    [START, { ...END, stderrBytes: 9 }],
    'bytes of stderr: you have 0, the node has 9',
  ],
  [
    'output',
    [RUN, TARGET],
    [START, { ...END, output: '06'.repeat(32) }],
    `hash of the output: you have ${'05'.repeat(32)}, the node has ${'06'.repeat(32)}`,
  ],
  ['rule', [RUN, TARGET], [{ ...START, rule: 'all' }, END], 'rule: you have look, the node has all'],
  [
    'rule of a refusal',
    [RUN, { ...withState('denied'), rule: 'never' }],
    [DENIED],
    'rule: you have never, the node has none',
  ],
  ['denied, but run', [RUN, withState('denied')], [START, END], 'you have "denied", the node has run it'],
  [
    'silent, but run',
    [RUN, withState('unreachable')],
    [START, END],
    'you have "unreachable", the node has run it',
  ],
  [
    'failed, but run',
    [RUN, withState('failed')],
    [START, END],
    'you have "failed", the node has run it to its end',
  ],
  [
    'denied, but failed',
    [RUN, withState('denied')],
    [{ event: 'failed', ...BY, reason: 'gone' }],
    'you have "denied", the node has "failed"',
  ],
  ['failed, but denied', [RUN, withState('failed')], [DENIED], 'you have "failed", the node has "denied"'],
  [
    'a question, but run',
    [{ ...RUN, event: 'plan' }, RUN_END],
    [START, END],
    'you had only asked about it, the node has run it',
  ],
  [
    'no line of the target',
    [RUN, RUN_END],
    [START, END],
    'only the node has it: your log does not say how it ended',
  ],
  [
    'no run',
    [{ ...RUN, id: 'cd'.repeat(16) }],
    [START, END],
    'only the node has it, signed with your key: ["ps","ax"]',
  ],
  [
    'no record on the node',
    [RUN, TARGET],
    [],
    'only your log has it: the node had ended it under its signature',
  ],
  ['no refusal on the node', [RUN, withState('denied')], [], 'only your log has it: the node had refused it'],
  [
    'no start',
    [RUN, TARGET],
    [END],
    'it ended under the signature of the node, which has no record of its start',
  ],
  ['no end', [RUN, TARGET], [START], 'it ended under the signature of the node, which has no record of that'],
  [
    'a head that is gone',
    [RUN, { ...TARGET, head: { seq: 7, hash: 'a'.repeat(64) } }],
    [START, END],
    "the node's log ends before record 7, which it had then",
  ],
  [
    'another head',
    [RUN, { ...TARGET, head: { seq: 2, hash: 'a'.repeat(64) } }],
    [START, END],
    "record 2 of the node's log is not what it was then",
  ],
];

for (const [name, asker, node, said] of DIFFERENCES) {
  test(`named, with exit status 7: ${name}`, async () => {
    const { code, stdout, stderr } = await compared(asker, node);
    const id = name === 'no run' ? ID : String(asker[0]?.id);
    expect(stderr).toBe(`fanout: web1: run ${id.slice(0, 8)}: ${said}\n`);
    expect([code, stdout]).toEqual([7, expect.stringContaining(' 1 differ, ')]);
  });
}

test('a log whose chain is broken is named too, whichever of the two it is', async () => {
  const node = logOf('broken', [START, END]);
  appendFileSync(node, '{}\n');
  const own = logOf('own', [RUN, TARGET, RUN_END]);
  const said = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  const out = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  onTestFinished(() => {
    said.mockRestore();
    out.mockRestore();
  });
  expect(await cross([`web1=${node}`], { log: own })).toBe(7);
  expect(await cross([`web1=${logOf('good', [START, END])}`], { log: node })).toBe(7);
  expect(said.mock.calls.every(([text]) => String(text).includes('broken:3: '))).toBe(true);
});

test('runs of others, and what is too old or was only counted, are no differences', async () => {
  const other = { ...START, key: 'SHA256:bob', id: 'ef'.repeat(16) };
  expect((await compared([RUN, TARGET, RUN_END], [START, END, other])).stdout).toBe(
    'web1: 1 agree, 0 differ, 1 of other operators\n',
  );
  const flood = Array.from({ length: 20 }, (_, n) => ({
    ...DENIED,
    id: String(n).padStart(32, '0'),
    key: 'bob',
  }));
  expect(await compared([RUN, withState('denied'), RUN_END], flood)).toEqual({
    code: 0,
    stdout: 'web1: 0 agree, 0 differ, 20 of other operators, 1 cannot be compared\n',
    stderr: '',
  });
  // The oldest file of the node is gone, and with it the record.
  const old = [RUN, { ...TARGET, head: { seq: 1, hash: 'a'.repeat(64) } }, RUN_END];
  const many = Array.from({ length: 9 }, (_, n) => ({ ...other, id: String(n).padStart(32, '1') }));
  expect((await compared(old, many, 1)).stdout).toContain('1 cannot be compared');
});

test('a machine that was set up anew has another log, which owes nothing to what the one before had', async () => {
  const before = 'cd'.repeat(16);
  const head = { seq: 5, hash: 'a'.repeat(64) };
  const first = [
    { ...RUN, id: before },
    { ...TARGET, id: before, head },
    { ...RUN_END, id: before },
  ];
  const now = { ...TARGET, nodeKey: 'K2' };
  expect(await compared([...first, RUN, now, RUN_END], [START, END])).toEqual({
    code: 0,
    stdout: 'web1: 1 agree, 0 differ, 0 of other operators, 1 cannot be compared\n',
    stderr: '',
  });
  // With the same key it is the same log, and records of it are gone.
  const gone = await compared([...first, RUN, TARGET, RUN_END], [START, END]);
  expect([gone.code, gone.stderr]).toEqual([7, expect.stringContaining('only your log has it')]);
});
