import { join } from 'node:path';
import { expect, test } from 'vitest';
import { AuditLog } from '../../src/identity/audit.ts';
import { walkAuditChain } from '../../src/identity/audit-verify.ts';
import { NodeAudit } from '../../src/runtime/node-audit.ts';
import { scratchFolder } from '../identity/fixtures.ts';

function auditAt(): {
  audit: NodeAudit;
  clock: { now: number };
  records: () => Readonly<Record<string, unknown>>[];
} {
  const path = join(scratchFolder(), 'audit.jsonl');
  const clock = { now: 1_800_000_000_000 };
  const unixMs = (): number => clock.now;
  const log = AuditLog.open(path, { unixMs });
  const audit = new NodeAudit({ log, onFailure: 'refuse', unixMs, warn: () => {} });
  return { audit, clock, records: () => [...walkAuditChain(path)].map(({ fields }) => fields) };
}

const ALICE = { operator: 'alice', code: 'no-rule' };

test('a flood of refused commands leaves twenty records, and the next says how many were left out', () => {
  const { audit, clock, records } = auditAt();
  for (let n = 0; n < 10_000; n++) audit.refusal(ALICE, { event: 'denied', n });
  expect(records()).toHaveLength(20);
  clock.now += 10_000;
  audit.refusal(ALICE, { event: 'denied', n: 'later' });
  audit.refusal(ALICE, { event: 'denied', n: 'too soon' });
  expect(records().slice(20)).toMatchObject([{ event: 'denied', n: 'later', leftOut: 9980 }]);
  clock.now += 10_000;
  audit.refusal(ALICE, { event: 'denied', n: 'last' });
  expect(records().slice(21)).toMatchObject([{ n: 'last', leftOut: 1 }]);
});

test('one operator or reason does not keep the records of another out, and a start tells what is owed', () => {
  const { audit, clock, records } = auditAt();
  for (let n = 0; n < 100; n++) audit.refusal(ALICE, { event: 'denied' });
  audit.refusal({ ...ALICE, operator: 'bob' }, { event: 'denied', who: 'bob' });
  audit.refusal({ ...ALICE, code: 'deny-rule' }, { event: 'denied', why: 'rule' });
  expect(records().slice(20)).toMatchObject([{ who: 'bob' }, { why: 'rule' }]);
  clock.now += 60_000;
  expect(audit.permit({ event: 'start' })).toBe(true);
  expect(records().slice(22)).toMatchObject([{ event: 'denied-more', leftOut: 80 }, { event: 'start' }]);
});

test('what is owed when the agent stops is written down', () => {
  const { audit, records } = auditAt();
  for (let n = 0; n < 25; n++) audit.refusal(ALICE, { event: 'denied' });
  audit.close();
  audit.close();
  expect(records().slice(20)).toMatchObject([{ event: 'denied-more', leftOut: 5 }]);
});

test('a clock that goes back neither opens the flood gates nor shuts them for good', () => {
  const { audit, clock, records } = auditAt();
  for (let n = 0; n < 21; n++) audit.refusal(ALICE, { event: 'denied' });
  clock.now -= 3_600_000;
  audit.refusal(ALICE, { event: 'denied' });
  expect(records()).toHaveLength(20);
  clock.now += 20_000;
  audit.refusal(ALICE, { event: 'denied' });
  expect(records().slice(20)).toMatchObject([{ event: 'denied', leftOut: 2 }]);
});

const LOAD = { handler: 'load', outcome: 'run' } as const;

/** A log that can be made to fail, and what the people of the node were told. */
function failing(onFailure: 'refuse' | 'run') {
  const path = join(scratchFolder(), 'audit.jsonl');
  const state = { now: 1_800_000_000_000, isFull: false, tries: 0 };
  const unixMs = (): number => state.now;
  const log = AuditLog.open(path, { unixMs });
  const append = log.append.bind(log);
  log.append = (...records) => {
    state.tries++;
    if (state.isFull) throw new Error('ENOSPC');
    append(...records);
  };
  const told: string[] = [];
  const audit = new NodeAudit({ log, onFailure, unixMs, warn: (text) => void told.push(text) });
  const ask = () => audit.permitUnsigned(LOAD, { event: 'unsigned-query' });
  return { audit, state, told, ask, records: () => [...walkAuditChain(path)] };
}

test('what nobody signed is refused while it cannot be recorded, and a flood does not try the disk each time', () => {
  const { audit, state, told, ask, records } = failing('refuse');
  expect(ask()).toBe('recorded');
  state.isFull = true;
  state.tries = 0;
  for (let n = 0; n < 1000; n++) {
    expect(ask()).toBe('refused');
    audit.refusedUnsigned({ ...LOAD, outcome: 'refused' }, { event: 'unsigned-query-refused' });
  }
  expect([state.tries, told]).toEqual([1, ['ENOSPC']]);
  state.now += 1000;
  expect([ask(), state.tries]).toEqual(['refused', 2]);
  // There is room again.
  state.isFull = false;
  expect(ask()).toBe('refused');
  state.now += 1000;
  expect([ask(), records().length]).toEqual(['recorded', 2]);
});

test('what would only be counted is refused as well once the log is known to fail', () => {
  const { audit, state, ask } = failing('refuse');
  for (let n = 0; n < 20; n++) expect(ask()).toBe('recorded');
  expect(ask()).toBe('counted');
  state.isFull = true;
  expect(audit.permit({ event: 'start' })).toBe(false);
  expect(ask()).toBe('refused');
  state.now += 1000;
  expect(ask()).toBe('refused');
});

test('with the other setting it runs unrecorded, and the people of the node are told once a second', () => {
  const { state, told, ask } = failing('run');
  state.isFull = true;
  for (let n = 0; n < 1000; n++) expect(ask()).toBe('counted');
  expect(told).toEqual([
    'ENOSPC',
    'the query is answered although it could not be recorded (--audit-on-failure run)',
  ]);
  state.now -= 3_600_000;
  expect([ask(), told.length]).toEqual(['counted', 4]);
});
