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
