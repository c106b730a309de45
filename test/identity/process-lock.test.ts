import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { AuditLog } from '../../src/identity/audit.ts';
import { verifyAuditChain, walkAuditChain } from '../../src/identity/audit-verify.ts';
import { withProcessLock } from '../../src/identity/process-lock.ts';
import { FanoutError } from '../../src/lib/errors.ts';
import { programIn } from '../support/program.ts';
import { scratchFolder } from './fixtures.ts';

const PROCESSES = 20;
const RECORDS = 15;

/** A program that adds records to one log, one lock each, as a run of an operator does. */
function writerIn(folder: string): string {
  return programIn(
    folder,
    `
    import { appendFileSync } from 'node:fs';
    import { AuditLog } from './identity/audit.ts';
    import { withProcessLock } from './identity/process-lock.ts';
    const [folder, name, count] = process.argv.slice(2);
    for (let n = 0; n < Number(count); n++) {
      await withProcessLock(folder + '/lock', () => {
        const log = AuditLog.open(folder + '/audit.log', { unixMs: () => Date.now(), maxBytes: 20000 });
        log.append({ event: 'run', who: name, n });
        void log.closeSoon();
      });
    }
    if (count === 'die') {
      await withProcessLock(folder + '/lock', () => {
        appendFileSync(folder + '/audit.log', '{"seq":');
        process.kill(process.pid, 'SIGKILL');
      });
    }
    if (count === 'hang') {
      await withProcessLock(folder + '/lock', () => {
        console.log('holding');
        for (;;) {}
      });
    }
  `,
  );
}

test('twenty processes at once add to one log, and its chain holds', { timeout: 120_000 }, async () => {
  const folder = scratchFolder();
  const writer = writerIn(folder);
  // Two more die in the middle of a record, with the lock in their hands: it is taken over, and the record set aside.
  const dying = [1, 2].map(() => spawn(process.execPath, [writer, folder, 'x', 'die'], { stdio: 'inherit' }));
  const signals = Promise.all(
    dying.map((child) => new Promise((resolve) => child.on('close', (_, s) => resolve(s)))),
  );
  const codes = await Promise.all(
    Array.from({ length: PROCESSES }, (_, n) => {
      const child = spawn(process.execPath, [writer, folder, String(n), String(RECORDS)], {
        stdio: ['ignore', 'ignore', 'inherit'],
      });
      return new Promise((resolve) => child.on('close', resolve));
    }),
  );
  expect(codes).toEqual(codes.map(() => 0));
  expect(await signals).toEqual(['SIGKILL', 'SIGKILL']);
  await withProcessLock(join(folder, 'lock'), () =>
    AuditLog.open(join(folder, 'audit.log'), { unixMs: () => Date.now() }).close(),
  );
  const verdict = verifyAuditChain(join(folder, 'audit.log'));
  expect(verdict).toMatchObject({ ok: true, tornBytes: 0 });
  const counts = new Map<unknown, number>();
  let torn = 0;
  for (const { fields } of walkAuditChain(join(folder, 'audit.log'))) {
    if (fields.event === 'torn-line') torn++;
    if (fields.event === 'run') counts.set(fields.who, (counts.get(fields.who) ?? 0) + 1);
  }
  expect([...counts.values()]).toEqual(Array.from({ length: PROCESSES }, () => RECORDS));
  expect(torn).toBeGreaterThan(0);
  expect(readdirSync(join(folder, 'lock'))).toEqual([]);
});

test('what a killed holder leaves is taken over; one that lives and is stuck is named', async () => {
  const folder = scratchFolder();
  const child = spawn(process.execPath, [writerIn(folder), folder, 'x', 'hang'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  const stuck = await withProcessLock(join(folder, 'lock'), () => 1, 200).catch((error: unknown) => error);
  expect(stuck).toBeInstanceOf(FanoutError);
  expect((stuck as FanoutError).message).toContain(`process ${child.pid} has held the lock`);
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
  expect(await withProcessLock(join(folder, 'lock'), () => 2, 2000)).toBe(2);
  expect(readdirSync(join(folder, 'lock'))).toEqual([]);
});

test('a ticket of another boot is honoured while it is young, and forgotten when it is old', async () => {
  const folder = join(scratchFolder(), 'lock');
  mkdirSync(folder, { mode: 0o700 });
  const path = join(folder, `000000000000001-${'0'.repeat(16)}-1-1-1-${'0'.repeat(16)}`);
  writeFileSync(path, '');
  await expect(withProcessLock(folder, () => 1, 50)).rejects.toThrow('process 1 has held');
  const old = Date.now() / 1000 - 120;
  utimesSync(path, old, old);
  expect(await withProcessLock(folder, () => 1, 50)).toBe(1);
});

test('a file with another name in the folder is nobody, and an error of the work comes through', async () => {
  const folder = join(scratchFolder(), 'lock');
  mkdirSync(folder, { mode: 0o700 });
  writeFileSync(join(folder, 'note.txt'), 'x');
  const boom = new FanoutError('AGENT_ERROR', 'boom');
  const fail = (): never => {
    throw boom;
  };
  await expect(withProcessLock(folder, fail)).rejects.toBe(boom);
  expect(readdirSync(folder)).toEqual(['note.txt']);
  expect(readFileSync(join(folder, 'note.txt'), 'utf8')).toBe('x');
});

test('calls of one process take turns too', async () => {
  const folder = scratchFolder();
  const log = AuditLog.open(join(folder, 'audit.log'), { unixMs: () => Date.now() });
  const add = (n: number): Promise<void> =>
    withProcessLock(join(folder, 'lock'), () => log.append({ event: 'run', n }));
  await Promise.all(Array.from({ length: 20 }, (_, n) => add(n)));
  expect(verifyAuditChain(join(folder, 'audit.log'))).toMatchObject({ ok: true, records: 20 });
});
