import { createHash } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { AuditLog } from '../../src/identity/audit.ts';
import { type AuditVerdict, verifyAuditChain } from '../../src/identity/audit-verify.ts';
import { decodeEnvelope, signCommand, verifyEnvelope } from '../../src/identity/envelope.ts';
import { ReplayCache } from '../../src/identity/replay-cache.ts';
import { toHex } from '../../src/lib/bytes.ts';
import { bodyOf, fanoutErrorOf, scratchFolder, signerOf } from './fixtures.ts';

const START = Date.parse('2026-03-01T10:00:00.000Z');

/** A clock that moves by one second each time it is read. */
function ticking(from: number = START): () => number {
  let now = from;
  return () => {
    now += 1000;
    return now;
  };
}

function idOf(n: number): string {
  return n.toString(16).padStart(32, '0');
}

function logOf(
  count: number,
  path: string = join(scratchFolder(), 'audit.jsonl'),
): { path: string; log: AuditLog } {
  const log = AuditLog.open(path, { unixMs: ticking() });
  for (let n = 1; n <= count; n++) log.append({ event: 'start', id: idOf(n), argv: ['ps', 'ax'] });
  return { path, log };
}

function linesOf(path: string): string[] {
  return readFileSync(path, 'utf8').trimEnd().split('\n');
}

function brokenAt(verdict: AuditVerdict): number {
  if (verdict.ok) throw new Error('the chain holds');
  return verdict.line;
}

test('each line has its number, its time and the SHA-256 of the line before', () => {
  const { path, log } = logOf(3);
  const lines = linesOf(path);
  expect(JSON.parse(lines[1]!)).toEqual({
    seq: 2,
    prev: createHash('sha256').update(lines[0]!).digest('hex'),
    time: '2026-03-01T10:00:02.000Z',
    event: 'start',
    id: idOf(2),
    argv: ['ps', 'ax'],
  });
  expect(JSON.parse(lines[0]!).prev).toBe('0'.repeat(64));
  expect(log.head).toEqual({ seq: 3, hash: createHash('sha256').update(lines[2]!).digest('hex') });
  expect(verifyAuditChain(path)).toEqual({
    ok: true,
    records: 3,
    head: log.head,
    tornBytes: 0,
    firstSeq: 1,
    files: 1,
  });
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

test('the chain goes on after the log was closed and opened again', () => {
  const { path, log } = logOf(3);
  log.close();
  const again = AuditLog.open(path, { unixMs: ticking(START + 60_000) });
  expect(again.head).toEqual(log.head);
  expect(again.lastUnixMs).toBe(START + 3000);
  again.append({ event: 'end', code: 0 });
  expect(verifyAuditChain(path)).toMatchObject({ ok: true, records: 4 });
});

test('an empty and a missing log are a good start', () => {
  const path = join(scratchFolder(), 'audit.jsonl');
  const log = AuditLog.open(path, { unixMs: ticking() });
  expect([log.head.seq, log.lastUnixMs, log.recentRequestIds(0).size]).toEqual([0, 0, 0]);
  expect(verifyAuditChain(path)).toMatchObject({ ok: true, records: 0 });
  expect(fanoutErrorOf(() => verifyAuditChain(`${path}.none`)).code).toBe('INTEGRITY');
  expect(fanoutErrorOf(() => AuditLog.open(join(path, 'x'), { unixMs: ticking() })).code).toBe('INTEGRITY');
  const lost = join(scratchFolder(), 'none', 'audit.jsonl');
  expect(fanoutErrorOf(() => AuditLog.open(lost, { unixMs: ticking() })).message).toContain('no folder');
});

test('any changed byte of any line is found; in the last line by a head that was kept', () => {
  const { path, log } = logOf(6);
  const bytes = readFileSync(path);
  for (let offset = 0; offset < bytes.length - 1; offset += 3) {
    const changed = Buffer.from(bytes);
    changed[offset]! ^= 1;
    writeFileSync(path, changed);
    expect(verifyAuditChain(path, log.head).ok).toBe(false);
  }
});

test('a line that was removed, moved, doubled or put in is found where it is', () => {
  const { path, log } = logOf(6);
  const lines = linesOf(path);
  const write = (changed: string[]): void => writeFileSync(path, `${changed.join('\n')}\n`);
  for (let at = 0; at < lines.length - 1; at++) {
    write(lines.toSpliced(at, 1));
    expect(brokenAt(verifyAuditChain(path))).toBe(at + 1);
    write(lines.toSpliced(at, 2, lines[at + 1]!, lines[at]!));
    expect(brokenAt(verifyAuditChain(path))).toBe(at + 1);
    write(lines.toSpliced(at, 0, lines[at]!));
    expect(brokenAt(verifyAuditChain(path))).toBe(at + 2);
    write(lines.with(at, lines[at]!.replace('"ps"', '"id"')));
    expect(brokenAt(verifyAuditChain(path))).toBe(at + 2);
  }
  write(lines.toSpliced(3, 0, ''));
  expect(brokenAt(verifyAuditChain(path))).toBe(4);
  write(lines.slice(0, 4));
  expect(verifyAuditChain(path)).toMatchObject({ ok: true, records: 4 });
  expect(verifyAuditChain(path, log.head)).toMatchObject({ ok: false, line: 5 });
});

test('a log that was written anew is found by a head that was kept', () => {
  const { log } = logOf(4);
  const path = join(scratchFolder(), 'audit.jsonl');
  const anew = AuditLog.open(path, { unixMs: ticking() });
  for (let n = 0; n < 9; n++) anew.append({ event: 'denied' });
  expect(verifyAuditChain(path)).toMatchObject({ ok: true, records: 9 });
  expect(verifyAuditChain(path, log.head)).toMatchObject({ ok: false, line: 4 });
});

test('a well-chained line whose time goes back is found', () => {
  const path = join(scratchFolder(), 'audit.jsonl');
  const first = JSON.stringify({ seq: 1, prev: '0'.repeat(64), time: '2026-03-01T10:00:00.000Z' });
  const prev = createHash('sha256').update(first).digest('hex');
  const second = (time: string): string => `${first}\n${JSON.stringify({ seq: 2, prev, time })}\n`;
  writeFileSync(path, second('2026-03-01T10:00:00.000Z'));
  expect(verifyAuditChain(path)).toMatchObject({ ok: true, records: 2 });
  writeFileSync(path, second('2026-03-01T09:59:59.999Z'));
  expect(verifyAuditChain(path)).toMatchObject({ ok: false, line: 2 });
});

test('a torn last line is set aside and noted, and the chain goes on', () => {
  const { path, log } = logOf(3);
  log.close();
  const whole = readFileSync(path);
  const torn = linesOf(path)[2]!.length + 1;
  for (let cut = 1; cut < torn; cut += 7) {
    writeFileSync(path, whole.subarray(0, whole.length - cut));
    if (existsSync(`${path}.torn`)) unlinkSync(`${path}.torn`);
    expect(verifyAuditChain(path)).toMatchObject({ ok: true, records: 2, tornBytes: torn - cut });
    const again = AuditLog.open(path, { unixMs: ticking(START + 60_000) });
    expect(readFileSync(`${path}.torn`)).toEqual(
      Buffer.concat([whole.subarray(whole.length - torn, whole.length - cut), Buffer.from('\n')]),
    );
    expect(JSON.parse(linesOf(path)[2]!)).toMatchObject({ seq: 3, event: 'torn-line', bytes: torn - cut });
    again.append({ event: 'start', id: idOf(9) });
    expect(verifyAuditChain(path)).toMatchObject({ ok: true, records: 4, tornBytes: 0 });
    expect([...again.recentRequestIds(0)]).toEqual([idOf(9), idOf(2), idOf(1)]);
    again.close();
  }
});

test('a log of nothing but a torn line starts anew', () => {
  const path = join(scratchFolder(), 'audit.jsonl');
  writeFileSync(path, '{"seq":1,"pre', { mode: 0o600 });
  const log = AuditLog.open(path, { unixMs: ticking() });
  expect(log.head.seq).toBe(1);
  expect(verifyAuditChain(path)).toMatchObject({ ok: true, records: 1 });
});

test('a last line that is whole but no record is damage, not a crash, and is refused', () => {
  const { path, log } = logOf(2);
  log.close();
  for (const line of [
    'garbage',
    '{}',
    '[]',
    '{"seq":0}',
    '{"seq":3,"prev":"00","time":"x"}',
    '\0\0\0',
    'null',
  ]) {
    const before = readFileSync(path);
    appendFileSync(path, `${line}\n`);
    const error = fanoutErrorOf(() => AuditLog.open(path, { unixMs: ticking() }));
    expect(error.code).toBe('INTEGRITY');
    expect(error.hint).toContain(`mv ${path}`);
    writeFileSync(path, before);
  }
});

test('the ids of all records since a moment are found, from the end of a long log', () => {
  const { path, log } = logOf(2000);
  const since = START + 1500 * 1000;
  const ids = log.recentRequestIds(since);
  expect(ids.size).toBe(501);
  expect([ids.has(idOf(1499)), ids.has(idOf(1500)), ids.has(idOf(2000))]).toEqual([false, true, true]);
  expect(log.recentRequestIds(0).size).toBe(2000);
  expect(log.recentRequestIds(START + 9_999_000).size).toBe(0);
  log.close();
  expect(AuditLog.open(path, { unixMs: ticking(START + 9_000_000) }).recentRequestIds(since)).toEqual(ids);
});

test('long lines are read back whole', () => {
  const path = join(scratchFolder(), 'audit.jsonl');
  const log = AuditLog.open(path, { unixMs: ticking() });
  const argv = ['echo', '"'.repeat(32_000)];
  for (let n = 0; n < 5; n++) log.append({ event: 'start', id: idOf(n), argv });
  expect(log.recentRequestIds(0).size).toBe(5);
  expect(verifyAuditChain(path)).toMatchObject({ ok: true, records: 5 });
});

test('recent ids are not taken from a log whose recent part was changed', () => {
  const { path, log } = logOf(50);
  log.close();
  const lines = linesOf(path);
  const opened = (changed: string[]): AuditLog => {
    writeFileSync(path, `${changed.join('\n')}\n`);
    return AuditLog.open(path, { unixMs: ticking() });
  };
  const hidden = opened(lines.with(40, lines[40]!.replace(idOf(41), idOf(99))));
  expect(fanoutErrorOf(() => hidden.recentRequestIds(0)).message).toContain('number 41');
  expect(fanoutErrorOf(() => opened(lines.toSpliced(40, 1)).recentRequestIds(0)).code).toBe('INTEGRITY');
  expect(fanoutErrorOf(() => opened(lines.slice(20)).recentRequestIds(0)).message).toContain('removed');
  expect(opened(lines).recentRequestIds(0).size).toBe(50);
});

test('a command that ran before a restart is still refused after it', () => {
  const alice = signerOf('alice');
  const body = bodyOf(alice.publicKey, { issuedAt: START / 1000, ttlSeconds: 60 });
  const envelope = decodeEnvelope(signCommand(body, alice.sign));
  expect(verifyEnvelope(envelope, alice.publicKey)).toBe(true);
  const id = toHex(envelope.body.id);
  const path = join(scratchFolder(), 'audit.jsonl');
  const before = AuditLog.open(path, { unixMs: ticking() });
  before.append({ event: 'start', id });
  // The agent dies here, in the middle of writing the next record.
  appendFileSync(path, '{"seq":2,"prev":"');
  const after = AuditLog.open(path, { unixMs: ticking(START + 5000) });
  const cache = new ReplayCache();
  for (const known of after.recentRequestIds(START - 120_000)) cache.remember(known, START + 120_000);
  expect(cache.seen(id)).toBe(true);
  expect(cache.size).toBe(1);
});

test('when the clock goes back, times do not, and the record says what the clock showed', () => {
  const path = join(scratchFolder(), 'audit.jsonl');
  let now = START;
  const log = AuditLog.open(path, { unixMs: () => now });
  log.append({ event: 'start', id: idOf(1) });
  now = START - 3_600_000;
  log.append({ event: 'start', id: idOf(2) });
  expect(JSON.parse(linesOf(path)[1]!)).toMatchObject({
    time: '2026-03-01T10:00:00.000Z',
    clock: '2026-03-01T09:00:00.000Z',
  });
  expect(log.lastUnixMs).toBe(START);
  expect(log.recentRequestIds(START).size).toBe(2);
  expect(verifyAuditChain(path).ok).toBe(true);
});

test('a log that somebody else wrote to, cut or deleted takes no further record', () => {
  const appended = logOf(2);
  appendFileSync(appended.path, 'x\n');
  expect(fanoutErrorOf(() => appended.log.append({ event: 'start' })).message).toContain(
    'somebody else wrote',
  );
  const cut = logOf(2);
  truncateSync(cut.path, 10);
  expect(fanoutErrorOf(() => cut.log.append({ event: 'start' })).code).toBe('AGENT_ERROR');
  const deleted = logOf(2);
  unlinkSync(deleted.path);
  expect(fanoutErrorOf(() => deleted.log.append({ event: 'start' })).message).toContain('deleted');
  expect(fanoutErrorOf(() => deleted.log.append({ event: 'start' })).hint).toContain('not run');
  const closed = logOf(2);
  closed.log.close();
  expect(fanoutErrorOf(() => closed.log.append({ event: 'start' })).message).toContain('closed');
});

test("a log that others can write, or a link, is refused; that others may read it is the admin's choice", () => {
  const { path, log } = logOf(1);
  log.close();
  chmodSync(path, 0o620);
  expect(fanoutErrorOf(() => AuditLog.open(path, { unixMs: ticking() })).hint).toBe(
    `Run: chmod go-w ${path}`,
  );
  chmodSync(path, 0o640);
  expect(AuditLog.open(path, { unixMs: ticking() }).head.seq).toBe(1);
  symlinkSync(path, `${path}.link`);
  expect(fanoutErrorOf(() => AuditLog.open(`${path}.link`, { unixMs: ticking() })).message).toContain(
    'symbolic',
  );
});

test('a record cannot pretend to be another by its fields', () => {
  const { log } = logOf(1);
  expect(() => log.append({ event: 'start', seq: 7 })).toThrow('leaves seq, prev, time and clock to the log');
  expect(() => log.append({ event: 'start', argv: ['x'.repeat(300_000)] })).toThrow('fits its line');
  log.append({ event: 'start', argv: ['a\n{"seq":9}'] });
  expect(log.head.seq).toBe(2);
});
