import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { utf8 } from '../../src/lib/bytes.ts';
import { SyslogCopy } from '../../src/runtime/syslog-copy.ts';
import { fanoutErrorOf, scratchFolder } from '../identity/fixtures.ts';
import { processorMs } from '../support/cost.ts';
import { eventually, stopProcess } from '../support/processes.ts';

/** What takes datagrams on a unix socket and prints each as a line: perl-base is on every Debian. */
const RECEIVER = `
use Socket;
socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die; unlink $ARGV[0];
bind($s, sockaddr_un($ARGV[0])) or die; $| = 1;
if ($ARGV[1] eq "deaf") { sleep 600; }
while (defined recv($s, my $b, 1 << 20, 0)) { print "$b\\n"; }
`;

interface SystemLog {
  readonly socket: string;
  readonly child: ChildProcess;
  readonly said: () => string[];
}

async function systemLog(socket: string, mode = 'listens'): Promise<SystemLog> {
  rmSync(socket, { force: true });
  const child = spawn('perl', ['-e', RECEIVER, socket, mode], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => stopProcess(child));
  let text = '';
  child.stdout.on('data', (chunk) => {
    text += String(chunk);
  });
  await eventually('the socket of the system log', () => existsSync(socket));
  return { socket, child, said: () => text.split('\n').slice(0, -1) };
}

function copyTo(
  socket: string,
  changes: { logger?: string; restartMs?: number } = {},
): { copy: SyslogCopy; warnings: string[] } {
  const warnings: string[] = [];
  const warn = (text: string): void => void warnings.push(text);
  const copy = SyslogCopy.start({ warn, socket, restartMs: 20, ...changes });
  onTestFinished(() => copy.close());
  return { copy, warnings };
}

const record = (n: number): Uint8Array => utf8(JSON.stringify({ seq: n, event: 'start' }));

test('every record arrives as RFC 5424, in order, and nothing is left when the copy is closed', async () => {
  const log = await systemLog(join(scratchFolder(), 'log'));
  const { copy, warnings } = copyTo(log.socket);
  for (let n = 1; n <= 200; n++) copy.send(record(n));
  await copy.close();
  await eventually('200 records', () => log.said().length === 200);
  expect(log.said()[0]).toMatch(/^<85>1 \S+ \S+ fanout \d+ - .*\{"seq":1,"event":"start"\}$/);
  expect(log.said().map((line) => /"seq":(\d+)/.exec(line)?.[1])).toEqual(
    Array.from({ length: 200 }, (_, n) => String(n + 1)),
  );
  expect(warnings).toEqual([]);
});

test('a record that is too long for a system log comes without its command', async () => {
  const log = await systemLog(join(scratchFolder(), 'log'));
  const { copy } = copyTo(log.socket);
  const head = { seq: 7, prev: 'a'.repeat(64), time: '2026-03-01T10:00:00.000Z', operator: 'alice' };
  copy.send(utf8(JSON.stringify({ ...head, argv: ['x'.repeat(100_000)] })));
  copy.send(utf8('y'.repeat(9000)));
  await copy.close();
  await eventually('two records', () => log.said().length === 2);
  expect(JSON.parse(log.said()[0]!.slice(log.said()[0]!.indexOf(' {') + 1))).toEqual({ ...head, cut: true });
  expect(log.said()[1]).toContain('"cut":true');
});

test('a system log that goes away and comes back gets the records again, and how many it missed', async () => {
  const log = await systemLog(join(scratchFolder(), 'log'));
  const { copy, warnings } = copyTo(log.socket);
  copy.send(record(1));
  await eventually('the first record', () => log.said().length === 1);
  await stopProcess(log.child);
  let n = 1;
  await eventually('the loss to be noticed', () => {
    copy.send(record(++n));
    return warnings.some((text) => text.includes('do not reach the system log')) && n > 10;
  });
  const again = await systemLog(log.socket);
  await eventually('records to come through', () => {
    copy.send(record(++n));
    return again.said().some((line) => line.includes('"not-copied"'));
  });
  expect(warnings.some((text) => /at least \d+ audit records were not copied/.test(text))).toBe(true);
});

test('without a system log, or with one that takes nothing, the sender neither waits nor fills its memory', async () => {
  const deaf = await systemLog(join(scratchFolder(), 'log'), 'deaf');
  for (const socket of [join(scratchFolder(), 'none'), deaf.socket]) {
    const { copy, warnings } = copyTo(socket);
    const line = utf8(JSON.stringify({ event: 'start', text: 'x'.repeat(7000) }));
    const before = process.memoryUsage().arrayBuffers;
    const sending = (): void => {
      for (let n = 0; n < 20_000; n++) copy.send(line);
    };
    expect(processorMs(sending)).toBeLessThan(5000);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 1024 * 1024);
    await copy.close();
    copy.send(line);
    if (socket !== deaf.socket) expect(warnings.length).toBeLessThan(10);
  }
});

test('a program that dies at once, or is not there, does not bring the agent down', async () => {
  const folder = scratchFolder();
  const logger = join(folder, 'logger');
  writeFileSync(logger, '#!/bin/sh\necho "no socket today" >&2\nexit 1\n');
  chmodSync(logger, 0o755);
  const { copy, warnings } = copyTo(join(folder, 'log'), { logger });
  await eventually('three tries', () => {
    copy.send(record(1));
    return warnings.filter((text) => text.includes('no socket today')).length >= 3;
  });
  chmodSync(logger, 0o644);
  await eventually('a program that cannot be started', () =>
    warnings.some((text) => text.includes('EACCES')),
  );
  const missing = join(folder, 'nowhere');
  const error = fanoutErrorOf(() => SyslogCopy.start({ warn: () => {}, logger: missing }));
  expect([error.code, error.hint]).toEqual(['CONFIG', 'Install it: apt-get install bsdutils']);
});
