import { copyFileSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { AuditLog } from '../../src/identity/audit.ts';
import { verifyAuditChain } from '../../src/identity/audit-verify.ts';
import { fanoutErrorOf, scratchFolder } from './fixtures.ts';

const START = Date.parse('2026-03-01T10:00:00.000Z');

function smallLog(count: number): { path: string; log: AuditLog; bytes: Buffer } {
  const path = join(scratchFolder(), 'audit.jsonl');
  let now = START;
  const log = AuditLog.open(path, { unixMs: () => ++now });
  for (let n = 0; n < count; n++) log.append({ event: 'start', id: String(n), argv: ['true'] });
  return { path, log, bytes: readFileSync(path) };
}

test('every flipped bit of a small log is found', () => {
  const { path, log, bytes } = smallLog(3);
  for (let bit = 0; bit < 8 * bytes.length; bit++) {
    const changed = Buffer.from(bytes);
    changed[bit >> 3]! ^= 1 << (bit & 7);
    writeFileSync(path, changed);
    const verdict = verifyAuditChain(path, log.head);
    expect(verdict.ok && verdict.tornBytes === 0, `bit ${bit}`).toBe(false);
  }
});

test('a log that was cut at any byte is torn, or shorter than a head that was kept', () => {
  const { path, log, bytes } = smallLog(3);
  for (let length = 0; length < bytes.length; length++) {
    writeFileSync(path, bytes.subarray(0, length));
    expect(verifyAuditChain(path, log.head), `${length} bytes`).toMatchObject({ ok: false });
    const alone = verifyAuditChain(path);
    const isWhole = length === 0 || bytes[length - 1] === 0x0a;
    expect(alone.ok && alone.tornBytes === 0).toBe(isWhole);
  }
});

test('any two lines that were swapped, any that is missing and any that is there twice are found', () => {
  const { path, log, bytes } = smallLog(5);
  const lines = bytes.toString().trimEnd().split('\n');
  const isFound = (changed: readonly string[]): boolean => {
    writeFileSync(path, `${changed.join('\n')}\n`);
    return !verifyAuditChain(path, log.head).ok;
  };
  for (let a = 0; a < lines.length; a++) {
    expect(isFound(lines.toSpliced(a, 1)), `without ${a}`).toBe(true);
    for (let b = 0; b <= lines.length; b++) {
      expect(isFound(lines.toSpliced(b, 0, lines[a]!)), `${a} again at ${b}`).toBe(true);
      if (a < b && b < lines.length) {
        expect(isFound(lines.with(a, lines[b]!).with(b, lines[a]!)), `${a} and ${b}`).toBe(true);
      }
    }
  }
});

test('of two writers without turns the second record is refused, not built on the wrong one', () => {
  const { path, log } = smallLog(2);
  const other = AuditLog.open(path, { unixMs: () => START + 60_000 });
  other.append({ event: 'start' });
  expect(fanoutErrorOf(() => log.append({ event: 'start' })).message).toContain('somebody else wrote');
  other.append({ event: 'end' });
  expect(verifyAuditChain(path, other.head)).toMatchObject({ ok: true, records: 4 });
});

test('a log that is a link, and one whose rotated file is a link, are refused', () => {
  const { path, log } = smallLog(2);
  log.close();
  const folder = scratchFolder();
  symlinkSync(path, join(folder, 'audit.jsonl'));
  const open = (at: string): AuditLog => AuditLog.open(at, { unixMs: () => START + 60_000 });
  expect(fanoutErrorOf(() => open(join(folder, 'audit.jsonl'))).message).toContain('symbolic link');
  const other = join(scratchFolder(), 'audit.jsonl');
  symlinkSync(path, `${other}.1`);
  expect(fanoutErrorOf(() => open(other)).message).toContain('symbolic link');
});

test('a log of another node in place of its own is found by the head that was kept', () => {
  const mine = smallLog(3);
  const theirs = smallLog(9);
  copyFileSync(theirs.path, mine.path);
  expect(verifyAuditChain(mine.path)).toMatchObject({ ok: true, records: 9 });
  const path = join(scratchFolder(), 'audit.jsonl');
  const anew = AuditLog.open(path, { unixMs: () => START + 60_000 });
  for (let n = 0; n < 9; n++) anew.append({ event: 'denied' });
  expect(verifyAuditChain(path, mine.log.head)).toMatchObject({
    ok: false,
    line: 3,
    reason: 'it is not the record it once was',
  });
});
