import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { QueryAudit } from '../../src/agent/query-audit.ts';
import { AuditLog } from '../../src/identity/audit.ts';
import { walkAuditChain } from '../../src/identity/audit-verify.ts';
import { NodeAudit } from '../../src/runtime/node-audit.ts';
import type { QueryMessage } from '../../src/serf/query-book.ts';
import { scratchFolder } from '../identity/fixtures.ts';

const UNREADABLE = Uint8Array.of(0xff, 0xfe);
const OK = { code: 0, signal: null, cause: 'exit' };

function query(changes: Partial<QueryMessage> = {}): QueryMessage {
  return {
    kind: 'query',
    ltime: 7,
    id: 99,
    addr: Uint8Array.of(127, 0, 0, 1),
    port: 1,
    sourceNode: 'desk',
    filters: [],
    flags: 0,
    relayFactor: 0,
    timeoutNs: 1,
    name: 'load',
    payload: Buffer.from('path=/var'),
    ...changes,
  };
}

function auditAt() {
  const path = join(scratchFolder(), 'audit.jsonl');
  const clock = { now: 1_800_000_000_000 };
  const unixMs = (): number => clock.now;
  const log = AuditLog.open(path, { unixMs });
  const records = new NodeAudit({ log, onFailure: 'refuse', unixMs, warn: () => {} });
  const audit = new QueryAudit({ node: 'web1', policy: () => undefined, records });
  const fields = (): Readonly<Record<string, unknown>>[] =>
    [...walkAuditChain(path)].map(({ fields: all }) => all);
  return { path, clock, records, audit, fields };
}

test('what ran is recorded before it starts and when it has ended, and what was refused once', () => {
  const { audit, fields } = auditAt();
  const ended = audit.begin(query(), 'load');
  expect(fields()).toHaveLength(1);
  ended?.({ code: null, signal: 'SIGKILL', cause: 'timeout' });
  audit.refused(query({ name: 'other', payload: UNREADABLE, sourceNode: 'x' }), 'load', 'nobody may');
  const about = { request: '7:99', node: 'web1', handler: 'load' };
  const asked = { ...about, query: 'load' };
  expect(fields()).toMatchObject([
    {
      event: 'unsigned-query',
      ...asked,
      from: 'desk',
      payload: 'path=/var',
      payloadBytes: 9,
      rule: '--allow-unsigned-queries',
    },
    { event: 'unsigned-query-end', ...asked, code: null, signal: 'SIGKILL', cause: 'timeout' },
    {
      event: 'unsigned-query-refused',
      ...about,
      query: 'other',
      from: 'x',
      payloadBytes: 2,
      reason: 'nobody may',
    },
  ]);
  expect(fields()[2]).not.toHaveProperty('payload');
  // Records of commands are found by their id: a stranger must not be able to write one.
  for (const record of fields()) expect(record).not.toHaveProperty('id');
});

test('a flood leaves a bounded log, whatever names it makes up, and how many were left out is told', () => {
  const { audit, records, path, fields } = auditAt();
  for (let n = 0; n < 5000; n++) {
    audit.begin(query({ name: `n${n}`, id: n }), 'sh -c load')?.(OK);
    audit.refused(query({ name: `n${n}`, sourceNode: `s${n}` }), 'sh -c load', `reason ${n}`);
  }
  expect(fields()).toHaveLength(60);
  records.close();
  expect(fields().slice(60)).toMatchObject([
    { event: 'unsigned-query-more', handler: 'sh -c load', outcome: 'run', leftOut: 4980 },
    { event: 'unsigned-query-more', handler: 'sh -c load', outcome: 'refused', leftOut: 4980 },
  ]);
  expect(readFileSync(path).length).toBeLessThan(64 * 1024);
});

test('the first that is recorded after a flood says how many were left out before it', () => {
  const { audit, clock, fields } = auditAt();
  for (let n = 0; n < 30; n++) audit.begin(query(), 'load')?.(OK);
  clock.now += 10_000;
  audit.begin(query({ id: 5 }), 'load')?.(OK);
  expect(fields().slice(40)).toMatchObject([
    { event: 'unsigned-query', request: '7:5', leftOut: 10 },
    { event: 'unsigned-query-end', request: '7:5' },
  ]);
});

test('the longest and oddest texts of a stranger fit into a line', () => {
  const { audit, fields } = auditAt();
  const long = '\u0001\ud83d'.repeat(100_000);
  const evil = query({ name: long, sourceNode: long, payload: Buffer.from('"'.repeat(300_000)) });
  audit.begin(evil, long)?.({ code: null, signal: null, cause: 'failed', reason: long });
  audit.refused(evil, long, long);
  expect(fields().map(({ event }) => event)).toEqual([
    'unsigned-query',
    'unsigned-query-end',
    'unsigned-query-refused',
  ]);
  expect(JSON.stringify(fields()).length).toBeLessThan(30_000);
});
