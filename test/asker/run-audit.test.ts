import { chmodSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { loadKnownHeads, operatorLogPath } from '../../src/asker/operator-log.ts';
import { RunAudit, type RunFacts } from '../../src/asker/run-audit.ts';
import { loadSettings } from '../../src/asker/settings.ts';
import { type CheckedRecord, walkAuditChain } from '../../src/identity/audit-verify.ts';
import type { NodeFrame } from '../../src/identity/sealed.ts';
import { type RunEvent, reduceRun, startRun } from '../../src/run/model.ts';
import { scratchFolder } from '../identity/fixtures.ts';

const before = process.env.XDG_STATE_HOME;
let state: string;

beforeEach(() => {
  state = scratchFolder();
  process.env.XDG_STATE_HOME = state;
});
afterEach(() => {
  if (before === undefined) delete process.env.XDG_STATE_HOME;
  else process.env.XDG_STATE_HOME = before;
});

const FACTS: RunFacts = {
  id: 'ab'.repeat(16),
  argv: ['ps', 'ax'],
  selector: 'role=web',
  targets: ['web1', 'web2'],
  cluster: '',
  environment: 'test',
  key: 'SHA256:alice',
  agent: 'desk',
  timeoutMs: 30_000,
  plan: false,
};

function endWith(auditHead: { seq: number; hash: string } | null): Extract<NodeFrame, { kind: 'end' }> {
  const counts = { durationMs: 1, stdoutBytes: 3, stderrBytes: 0 };
  const proof = { outputHash: new Uint8Array(32).fill(5), signature: new Uint8Array(64) };
  return { kind: 'end', code: 0, signal: null, cause: 'exit', ...counts, ...proof, auditHead };
}

function records(): CheckedRecord['fields'][] {
  return [...walkAuditChain(operatorLogPath())].map(({ fields }) => fields);
}

const KEY = `SHA256:${'k'.repeat(43)}`;
const NEW_KEY = `SHA256:${'n'.repeat(43)}`;

/** Runs on web1 alone, which ends with this head; gives what the operator is told about its log. */
async function runOn(auditHead: { seq: number; hash: string } | null, key = KEY): Promise<string> {
  const audit = await RunAudit.begin({ ...FACTS, targets: ['web1'] }, 'refuse');
  let run = startRun(['web1'], 30_000, 0);
  const apply = (event: RunEvent): void => {
    run = reduceRun(run, event, 1);
    audit.event(run, event);
  };
  const accepted = { rule: 'r', program: '/bin/ps', sandbox: 'none', firstSeen: false, readOnly: true };
  apply({ kind: 'accepted', node: 'web1', ...accepted, limitMs: 1000 });
  apply({ kind: 'started', node: 'web1' });
  const auditProblem = audit.ended('web1', key, endWith(auditHead));
  const { kind: _, outputHash: __, signature: ___, auditHead: ____, ...facts2 } = endWith(auditHead);
  apply({ kind: 'ended', node: 'web1', ...facts2, auditProblem });
  await audit.end(run, 5);
  expect(audit.problem).toBe('');
  return run.targets.get('web1')?.auditProblem ?? 'gone';
}

test('a node that shows an older head, another one, or none is told on, until that is accepted', async () => {
  const hash = 'a'.repeat(64);
  expect(await runOn({ seq: 812, hash })).toBe('');
  expect(await runOn({ seq: 40, hash })).toBe(
    'its audit log was rewritten or lost: it had record 812, now 40',
  );
  expect(await runOn({ seq: 812, hash: 'b'.repeat(64) })).toContain('rewritten or lost');
  expect(await runOn(null)).toContain('no record of this command');
  expect(records().filter(({ event, auditProblem }) => event === 'target' && auditProblem)).toHaveLength(3);
  expect(loadKnownHeads().accept('test', 'web1')).toBe(true);
  expect(await runOn({ seq: 40, hash })).toBe('');
  expect(await runOn({ seq: 42, hash })).toBe('');
});

test('a node that was set up anew, with a key of its own, begins a log of its own', async () => {
  const hash = 'a'.repeat(64);
  expect(await runOn({ seq: 812, hash })).toBe('');
  expect(await runOn({ seq: 2, hash }, NEW_KEY)).toBe('');
  expect(await runOn({ seq: 2, hash: 'b'.repeat(64) }, NEW_KEY)).toContain('it had record 2, now 2');
  const keys = records().filter(({ event }) => event === 'target');
  expect(keys.map(({ nodeKey }) => nodeKey)).toEqual([KEY, NEW_KEY, NEW_KEY]);
});

test('targets with the longest and oddest names fit into the log, all of them', async () => {
  const targets = Array.from({ length: 3000 }, (_, n) => `${n}${'\u0001'.repeat(250)}`);
  const argv = ['echo', '"'.repeat(32_000)];
  await RunAudit.begin({ ...FACTS, argv, targets }, 'refuse');
  const [first, ...rest] = records();
  expect(first).toMatchObject({ event: 'run', count: 3000, argv });
  expect([first, ...rest].flatMap((fields) => fields?.targets)).toEqual(targets);
});

test('of a plan only the counts are kept, and what was refused by the agent is marked so', async () => {
  const plan = await RunAudit.begin({ ...FACTS, plan: true }, 'refuse');
  let run = startRun(FACTS.targets, 1000, 0);
  run = reduceRun(run, { kind: 'timeout' }, 1);
  await plan.end(run, 1000);
  await (await RunAudit.begin(FACTS, 'refuse')).notSent('the agent says: no');
  expect(records()).toMatchObject([
    { event: 'plan', count: 2 },
    { event: 'run-end', counts: { silent: 2 }, exit: 4 },
    { event: 'run' },
    { event: 'not-sent', reason: 'the agent says: no' },
  ]);
});

test('a folder that others can write refuses the run, or warns, as the settings say', async () => {
  const folder = join(state, 'fanout');
  mkdirSync(folder, { mode: 0o700 });
  chmodSync(folder, 0o777);
  await expect(RunAudit.begin(FACTS, 'refuse')).rejects.toThrow('nothing was sent, because it could not be');
  const warned = await RunAudit.begin(FACTS, 'warn');
  expect(warned.problem).toContain('this run is not in your audit log');
  chmodSync(folder, 0o700);
  const missing = await loadSettings(join(state, 'none.yaml'));
  expect(missing).toEqual({ audit: { onFailure: 'refuse' } });
  expect(() => readFileSync(operatorLogPath())).toThrow('ENOENT');
});
