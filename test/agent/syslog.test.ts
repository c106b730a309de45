import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { Syslog } from '../../src/agent/syslog.ts';
import { eventually, hasProgram, removeFolder, stopProcess, temporaryFolder } from '../support/processes.ts';

const CAN_RECEIVE = hasProgram('perl') && hasProgram('logger');
if (!CAN_RECEIVE) process.stderr.write('SKIPPED: tests of the system log need perl and logger\n');

/** A system log: what comes to a unix datagram socket, a line each, on standard output. */
const RECEIVER = `
use Socket;
socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die;
bind($s, sockaddr_un($ARGV[0])) or die;
$| = 1;
print "ready\\n";
while (defined(recv($s, my $message, 65536, 0))) { $message =~ s/\\n/<LF>/g; print "$message\\n"; }`;

describe.skipIf(!CAN_RECEIVE)('the system log', () => {
  const dir = temporaryFolder();
  const ends: (() => Promise<void>)[] = [];

  afterEach(async () => {
    for (const end of ends.splice(0)) await end();
  });
  afterAll(() => removeFolder(dir));

  async function receiver(socket: string): Promise<{ lines: () => string[]; stop: () => Promise<void> }> {
    const child = spawn('perl', ['-e', RECEIVER, socket], { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (chunk) => {
      text += String(chunk);
    });
    const stop = (): Promise<void> => stopProcess(child);
    ends.push(stop);
    await eventually('the receiver', () => text.startsWith('ready\n'));
    return { lines: () => text.split('\n').slice(1, -1), stop };
  }

  function syslog(socket: string, facility = 'local4'): { log: Syslog; troubles: string[] } {
    const troubles: string[] = [];
    const log = new Syslog({ facility, socket, onTrouble: (text) => troubles.push(text) });
    ends.push(() => log.close());
    return { log, troubles };
  }

  test('gets each line under its level and facility, one entry a line, whatever it holds', async () => {
    const { lines } = await receiver(join(dir, 'a'));
    const { log } = syslog(join(dir, 'a'));
    log.write('info', 'hello');
    log.write('error', '<0>not an emergency');
    log.write('warn', 'two\nlines\r\n<0>forged');
    log.write('debug', '-p kern.emerg --help $(reboot) %s');
    await eventually('four lines', () => lines().length === 4);
    const tag = `fanout[${process.pid}]: `;
    expect(lines().map((line) => line.replace(/^(<\d+>)\w{3} [\d ]\d [\d:]{8} /, '$1 '))).toEqual([
      `<166> ${tag}hello`,
      `<163> ${tag}<0>not an emergency`,
      `<164> ${tag}two lines <0>forged`,
      `<167> ${tag}-p kern.emerg --help $(reboot) %s`,
    ]);
  });

  test('close lets the last lines through', async () => {
    const { lines } = await receiver(join(dir, 'b'));
    const { log } = syslog(join(dir, 'b'));
    for (let i = 0; i < 500; i++) log.write('info', `line ${i}`);
    await log.close();
    await eventually('all of them', () => lines().length === 500);
  });

  test('that is not there is said, tried again, and told how much it has missed', async () => {
    const socket = join(dir, 'c');
    const { log, troubles } = syslog(socket);
    await eventually('the trouble', () => {
      log.write('info', 'nobody hears this');
      return troubles.length > 0;
    });
    expect(troubles[0]).toMatch(/system log cannot be reached.*No such file/);
    log.write('info', 'nor this');
    const { lines } = await receiver(socket);
    await eventually('a line', () => {
      log.write('info', 'but this');
      return lines().some((line) => line.endsWith('but this'));
    });
    expect(lines()[0]).toMatch(/<164>.*: \d+ lines were lost/);
  });
});
