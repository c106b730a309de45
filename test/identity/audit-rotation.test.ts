import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { AuditLog, type AuditLogOptions } from '../../src/identity/audit.ts';
import { verifyAuditChain, walkAuditChain } from '../../src/identity/audit-verify.ts';
import { fanoutErrorOf, scratchFolder } from './fixtures.ts';

const START = Date.parse('2026-03-01T10:00:00.000Z');

function idOf(n: number): string {
  return n.toString(16).padStart(32, '0');
}

function openLog(path: string, changes: Partial<AuditLogOptions> = {}): AuditLog {
  let now = Math.max(START, existsSync(path) ? START + 60_000 : 0);
  return AuditLog.open(path, { unixMs: () => ++now, maxBytes: 500, filesKept: 4, ...changes });
}

/** A log of small files, all but the last of them full. */
function rotatedLog(
  records: number,
  changes: Partial<AuditLogOptions> = {},
): { path: string; log: AuditLog } {
  const path = join(scratchFolder(), 'audit.jsonl');
  const log = openLog(path, changes);
  for (let n = 1; n <= records; n++) log.append({ event: 'start', id: idOf(n), argv: ['true'] });
  return { path, log };
}

function idsIn(path: string): (string | undefined)[] {
  const ids: (string | undefined)[] = [];
  for (const { id } of walkAuditChain(path)) if (id !== undefined) ids.push(id);
  return ids;
}

function copyFolder(from: string): string {
  const to = scratchFolder();
  for (const name of readdirSync(from)) copyFileSync(join(from, name), join(to, name));
  return join(to, 'audit.jsonl');
}

describe('a log that outgrows its file', () => {
  test('goes on in a new one, whose first record names the end of the old', () => {
    const { path, log } = rotatedLog(5);
    expect(statSync(`${path}.1`).size).toBeGreaterThan(500);
    const last = readFileSync(`${path}.1`, 'utf8').trimEnd().split('\n').at(-1)!;
    const first = JSON.parse(readFileSync(path, 'utf8').split('\n')[0]!);
    const { seq } = JSON.parse(last);
    expect(first).toMatchObject({ seq: seq + 1, event: 'continued', after: { seq, hash: first.prev } });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(verifyAuditChain(path, log.head)).toMatchObject({ ok: true, firstSeq: 1, files: 2 });
    expect(idsIn(path)).toEqual([1, 2, 3, 4, 5].map(idOf));
  });

  test('keeps so many files, says what was dropped, and proves where the rest begins', () => {
    const { path, log } = rotatedLog(60);
    expect(readdirSync(join(path, '..')).sort()).toEqual([
      'audit.jsonl',
      ...[1, 2, 3, 4].map((n) => `audit.jsonl.${n}`),
    ]);
    const oldest = JSON.parse(readFileSync(`${path}.4`, 'utf8').split('\n')[0]!);
    expect(oldest.event).toBe('continued');
    const verdict = verifyAuditChain(path, log.head);
    expect(verdict).toMatchObject({ ok: true, firstSeq: oldest.seq, files: 5 });
    const newest = JSON.parse(readFileSync(path, 'utf8').split('\n')[0]!);
    expect(newest.dropped.last + 1).toBe(oldest.seq);
    // A head that was kept of what is still there must be in it.
    const kept = { seq: oldest.seq, hash: 'f'.repeat(64) };
    expect(verifyAuditChain(path, kept)).toMatchObject({ ok: false, file: `${path}.4`, line: 1 });
  });

  test('gives the ids of all its files back after a restart', () => {
    const { path, log } = rotatedLog(14, { filesKept: 10 });
    log.close();
    const again = openLog(path);
    expect(again.head).toEqual(log.head);
    expect([...again.recentRequestIds(0)]).toEqual(Array.from({ length: 14 }, (_, n) => idOf(14 - n)));
    const since = Date.parse(JSON.parse(readFileSync(`${path}.1`, 'utf8').split('\n')[1]!).time);
    const ids = again.recentRequestIds(since);
    expect(ids.size).toBeGreaterThan(1);
    expect(ids.size).toBeLessThan(14);
  });

  test('refuses to give ids when what could still be replayed was dropped or removed', () => {
    const { path, log } = rotatedLog(60);
    const dropped = fanoutErrorOf(() => log.recentRequestIds(0));
    expect(dropped.message).toContain('rotated away');
    expect(dropped.hint).toContain('wait');
    const third = JSON.parse(readFileSync(`${path}.3`, 'utf8').split('\n')[1]!);
    expect(log.recentRequestIds(Date.parse(third.time)).size).toBeGreaterThan(3);
    unlinkSync(`${path}.2`);
    expect(fanoutErrorOf(() => log.recentRequestIds(0)).code).toBe('INTEGRITY');
  });

  test('is found out when a line of an old file was changed, a file removed, or two swapped', () => {
    const { path } = rotatedLog(12);
    const folder = join(path, '..');
    const changed = copyFolder(folder);
    writeFileSync(`${changed}.2`, readFileSync(`${changed}.2`, 'utf8').replace('"true"', '"halt"'));
    expect(verifyAuditChain(changed)).toMatchObject({ ok: false, file: `${changed}.2`, line: 3 });
    const removed = copyFolder(folder);
    unlinkSync(`${removed}.2`);
    expect(verifyAuditChain(removed)).toMatchObject({ ok: false, file: `${removed}.1`, line: 1 });
    const swapped = copyFolder(folder);
    renameSync(`${swapped}.1`, `${swapped}.x`);
    renameSync(`${swapped}.2`, `${swapped}.1`);
    renameSync(`${swapped}.x`, `${swapped}.2`);
    expect(verifyAuditChain(swapped)).toMatchObject({ ok: false, file: `${swapped}.2`, line: 1 });
    const torn = copyFolder(folder);
    truncateSync(`${torn}.1`, statSync(`${torn}.1`).size - 5);
    expect(verifyAuditChain(torn)).toMatchObject({ ok: false, file: `${torn}.1` });
  });

  test('written to by others in an old file is refused at the start', () => {
    const { path, log } = rotatedLog(5);
    log.close();
    chmodSync(`${path}.1`, 0o666);
    unlinkSync(path);
    expect(fanoutErrorOf(() => openLog(path)).hint).toBe(`Run: chmod go-w ${path}.1`);
  });

  test('is whole and goes on after a crash at any step of a rotation', () => {
    const { path, log } = rotatedLog(10, { filesKept: 10 });
    log.close();
    const ids = idsIn(path);
    const files = readdirSync(join(path, '..')).length;
    expect(files).toBeGreaterThan(3);
    const steps = [...Array.from({ length: files - 1 }, (_, n) => files - 1 - n)].map(
      (n) => (at: string) => renameSync(`${at}.${n}`, `${at}.${n + 1}`),
    );
    steps.push((at) => renameSync(at, `${at}.1`));
    steps.push((at) => writeFileSync(at, '', { mode: 0o600 }));
    steps.push((at) => writeFileSync(at, '{"seq":99,"prev":"', { mode: 0o600 }));
    for (let done = 0; done <= steps.length; done++) {
      const at = copyFolder(join(path, '..'));
      for (const step of steps.slice(0, done)) step(at);
      expect(verifyAuditChain(at, log.head)).toMatchObject({ ok: true });
      expect(idsIn(at), `after ${done} steps`).toEqual(ids);
      const again = openLog(at, { filesKept: 10 });
      expect(again.recentRequestIds(0).size).toBe(10);
      for (let n = 11; n <= 20; n++) again.append({ event: 'start', id: idOf(n) });
      expect(verifyAuditChain(at, log.head, again.head)).toMatchObject({ ok: true, firstSeq: 1 });
      expect(idsIn(at)).toEqual([...ids, ...Array.from({ length: 10 }, (_, n) => idOf(n + 11))]);
      again.close();
    }
  });

  test('goes on in the full file when it cannot be moved aside, and rotates once it can', () => {
    const { path, log } = rotatedLog(3);
    expect(existsSync(`${path}.1`)).toBe(false);
    // Nobody can rename a file onto a folder that is not empty.
    mkdirSync(join(`${path}.1`, 'x'), { recursive: true });
    for (const n of [2, 3, 4]) mkdirSync(join(`${path}.${n}`, 'x'), { recursive: true });
    for (let n = 4; n <= 9; n++) log.append({ event: 'start', id: idOf(n) });
    expect(statSync(path).size).toBeGreaterThan(1000);
    for (const n of [1, 2, 3, 4]) rmSync(`${path}.${n}`, { recursive: true });
    log.append({ event: 'start', id: idOf(10) });
    expect(verifyAuditChain(path, log.head)).toMatchObject({ ok: true, files: 2, firstSeq: 1 });
    expect(idsIn(path)).toHaveLength(10);
  });
});
