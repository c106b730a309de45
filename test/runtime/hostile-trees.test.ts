import { type StdioOptions, spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { findGroups } from '../../src/runtime/group-home.ts';
import { needsGroup, sweepGroups } from '../../src/runtime/job-group.ts';
import { testWhere } from '../support/applies.ts';
import { sharedProgram } from '../support/program.ts';
import {
  eventually,
  expectNoSurvivors,
  hasNamespaceWithoutSandbox,
  IS_ROOT,
  PROFILES,
  processesWith,
  run,
  specOf,
  start,
  uniqueWord,
} from './command-helper.ts';

/** Ways to outlive a kill. Each prints "ready" when all its processes exist, and then stays for 1,000 s. */
const STUBBORN: Readonly<Record<string, string>> = {
  'children in the group': 'for (1..3) { fork() or do { sleep 1000; exit } }',
  'processes that ignore SIGTERM':
    '$SIG{TERM} = $SIG{HUP} = $SIG{INT} = "IGNORE"; fork() or do { sleep 1000; exit };',
  'daemons in sessions of their own': 'for (1..3) { fork() or do { setsid(); sleep 1000; exit } }',
  'a daemon by double fork':
    'fork() or do { setsid(); fork() and exit; close STDOUT; close STDERR; sleep 1000; exit }; wait;',
  'a leader that closes its output and lives on':
    'print "ready"; close STDIN; close STDOUT; close STDERR; fork() or do { setsid(); sleep 1000 }; sleep 1000;',
  'a stopped child': 'my $p = fork() // die; $p or do { sleep 1000; exit }; kill "STOP", $p;',
  'daemons behind a stopped leader':
    'fork() or do { setsid(); sleep 1000; exit }; print "ready"; kill "STOP", $$;',
};
/** Enough to set up a sandbox and a tree of processes on a machine that is busy with other tests. */
const LIMIT_MS = 4000;

const { home: groupHome } = findGroups();
const BUDGET = { tasks: 16, cpuMs: 60_000, memoryBytes: undefined };

const PRELUDE = 'use POSIX "setsid"; $| = 1;';

describe.each(PROFILES)('in sandbox "%s"', (sandbox) => {
  test.concurrent.each(Object.entries(STUBBORN))('%s do not outlive the time limit', async (_, code) => {
    const word = uniqueWord();
    const argv = ['perl', '-e', `${PRELUDE} ${code} print "ready"; sleep 1000`, word];
    const { end, stdout } = await run(argv, { sandbox, timeoutMs: LIMIT_MS });
    expect(stdout).toContain('ready');
    expect(end.cause).toBe('timeout');
    expect(end.durationMs).toBeLessThan(LIMIT_MS + 2000 + 3000);
    await expectNoSurvivors(word);
  });

  test.concurrent.each(Object.entries(STUBBORN))('%s do not outlive being cancelled', async (_, code) => {
    const word = uniqueWord();
    const argv = ['perl', '-e', `${PRELUDE} ${code} print "ready"; sleep 1000`, word];
    const { command, shows } = start(argv, { sandbox });
    await shows('ready');
    command.kill('cancelled');
    expect(await command.ended).toMatchObject({ kind: 'ended', cause: 'cancelled' });
    await expectNoSurvivors(word);
  });

  test('nothing of a sandbox outlives a launcher that is killed while it makes it', async () => {
    const word = uniqueWord();
    const childrenOf = (pid: number): number[] =>
      readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
    for (let round = 0; round < 10; round++) {
      const before = childrenOf(process.pid);
      const { command } = start(['perl', '-e', 'sleep 1000', word], { sandbox });
      const launcher = childrenOf(process.pid).find((pid) => !before.includes(pid)) as number;
      // No pause: what is looked for is the moment in which process 1 is there, and waits for the launcher's word.
      const end = performance.now() + 5000;
      while (childrenOf(launcher).length === 0 && performance.now() < end);
      process.kill(launcher, 'SIGKILL');
      await command.ended;
    }
    await expectNoSurvivors(word);
  });

  test('a daemon that holds stdout neither delays the end nor outlives it', async () => {
    const word = uniqueWord();
    const code = `${PRELUDE} fork() or do { setsid(); fork() and exit; sleep 1000; exit }; wait; print "done"; exit 4`;
    const { end, stdout } = await run(['perl', '-e', code, word], { sandbox });
    expect(stdout).toBe('done');
    expect(end).toMatchObject({ code: 4, cause: 'exit' });
    expect(end.durationMs).toBeLessThan(5000);
    await expectNoSurvivors(word);
  });

  test('a flood from many processes ends at the output limit, and all of them with it', async () => {
    const word = uniqueWord();
    const code = `${PRELUDE} for (1..8) { fork() or do { setsid(); print "x" x 4096 while 1 } } sleep 1000`;
    const { end, stdout } = await run(['perl', '-e', code, word], { sandbox, outputBytesMax: 500_000 });
    expect(end).toMatchObject({ cause: 'output-limit', stdoutBytes: 500_000 });
    expect(stdout.length).toBe(500_000);
    await expectNoSurvivors(word);
  });

  // The forks are counted by the program itself, so that it stays harmless even if nothing else bounds it.
  test('forks end at the process limit', async () => {
    const word = uniqueWord();
    const code =
      '$| = 1; my $n = 0; for (1..1200) { my $p = fork(); last unless defined $p; $p or do { sleep 1000; exit }; $n++ } print $n';
    const { command, stdout, shows } = start(['perl', '-e', `${code}; print " ready"; sleep 1000`, word], {
      sandbox,
    });
    await shows('ready');
    const forks = Number(stdout().split(' ')[0]);
    expect(forks).toBeGreaterThan(10);
    // Without a namespace the account's other processes are counted too, and are given room.
    expect(forks).toBeLessThanOrEqual(IS_ROOT && sandbox !== 'none' ? 256 : 1199);
    command.kill('cancelled');
    expect(await command.ended).toMatchObject({ kind: 'ended', cause: 'cancelled' });
    await expectNoSurvivors(word);
  });

  test('a doubling fork bomb is over after the time limit', async () => {
    const word = uniqueWord();
    // Ten doublings are 1,024 processes at most, were there no limit.
    const code = 'fork() for 1..10; sleep 1000';
    const { end } = await run(['perl', '-e', code, word], { sandbox, timeoutMs: LIMIT_MS });
    expect(end.cause).toBe('timeout');
    await expectNoSurvivors(word);
  });

  testWhere(sandbox !== 'none')('one sandbox at its process limit leaves the next one its own', async () => {
    const word = uniqueWord();
    const code =
      '$| = 1; for (1..1200) { my $p = fork(); last unless defined $p; $p or do { sleep 1000; exit } } print "full"; sleep 1000';
    const full = start(['perl', '-e', code, word], { sandbox });
    await full.shows('full');
    const { stdout } = await run(
      ['perl', '-e', 'my $n = 0; for (1..100) { my $p = fork() // last; $p or exit; $n++ } print $n'],
      { sandbox },
    );
    full.command.kill('cancelled');
    await full.command.ended;
    await expectNoSurvivors(word);
    expect(stdout).toBe('100');
  });
});

describe('an agent in a process of its own', () => {
  const agentFile = sharedProgram(`
      import { startCommand } from './runtime/process.ts';
      const command = startCommand(JSON.parse(process.argv[2]), (_, chunk) => process.stdout.write(chunk));
      command.ended.then((end) => console.log(JSON.stringify(end)));`);

  test.each(PROFILES.filter((profile) => profile !== 'none' || hasNamespaceWithoutSandbox()))(
    'leaves nothing of sandbox "%s" behind when it is killed',
    async (sandbox) => {
      const word = uniqueWord();
      const code = `${PRELUDE} $SIG{TERM} = $SIG{HUP} = "IGNORE"; fork() or do { setsid(); fork() and exit; sleep 1000; exit }; wait; print "ready"; sleep 1000`;
      const spec = specOf(['perl', '-e', code, word], { sandbox });
      const agent = spawn(process.execPath, [agentFile(), JSON.stringify(spec)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const gone = new Promise((resolve) => agent.once('exit', resolve));
      await new Promise<void>((resolve, reject) => {
        agent.stdout.once('data', (chunk) =>
          String(chunk) === 'ready' ? resolve() : reject(new Error(String(chunk))),
        );
      });
      agent.kill('SIGKILL');
      await gone;
      await expectNoSurvivors(word);
    },
  );

  testWhere(needsGroup(groupHome, BUDGET))(
    'leaves nothing of a command with a budget behind either',
    async () => {
      const word = uniqueWord();
      const sandbox = PROFILES[0] ?? 'none';
      const code = `${PRELUDE} $SIG{TERM} = $SIG{HUP} = "IGNORE"; fork() or do { setsid(); sleep 1000; exit }; print "ready"; sleep 1000`;
      const spec = specOf(['perl', '-e', code, word], { sandbox, groupHome, budget: BUDGET });
      const agent = spawn(process.execPath, [agentFile(), JSON.stringify(spec)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const gone = new Promise((resolve) => agent.once('exit', resolve));
      await new Promise((resolve) => agent.stdout.once('data', resolve));
      agent.kill('SIGKILL');
      await gone;
      await expectNoSurvivors(word);
      const left = (): string[] =>
        Object.values(groupHome).flatMap(({ folder }) =>
          readdirSync(folder).filter((name) => name.startsWith(`fanout-job-${agent.pid}-`)),
        );
      expect(left()).not.toEqual([]);
      await eventually(() => {
        sweepGroups(groupHome);
        return left().length === 0;
      });
    },
  );

  // Without a namespace, only the program itself is bound to the agent.
  testWhere(!hasNamespaceWithoutSandbox())(
    'takes the program without a sandbox along when it is killed',
    async () => {
      const word = uniqueWord();
      const spec = specOf(['perl', '-e', '$| = 1; $SIG{HUP} = "IGNORE"; print "ready"; sleep 1000', word]);
      const agent = spawn(process.execPath, [agentFile(), JSON.stringify(spec)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const gone = new Promise((resolve) => agent.once('exit', resolve));
      await new Promise((resolve) => agent.stdout.once('data', resolve));
      agent.kill('SIGKILL');
      await gone;
      await eventually(() => processesWith(word).filter((pid) => pid !== agent.pid).length === 0);
    },
  );

  test.each(PROFILES)(
    'hands no descriptor that it inherited on to a command in sandbox "%s"',
    async (sandbox) => {
      const inherited = openSync(agentFile(), 'r');
      const stdio: StdioOptions = [
        'ignore',
        'pipe',
        'inherit',
        ...Array<'ignore'>(37).fill('ignore'),
        inherited,
      ];
      const spec = specOf(['ls', '-l', '/proc/self/fd'], { sandbox });
      const agent = spawn(process.execPath, [agentFile(), JSON.stringify(spec)], { stdio });
      closeSync(inherited);
      const chunks: Buffer[] = [];
      agent.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk));
      await new Promise((resolve) => agent.once('close', resolve));
      const text = Buffer.concat(chunks).toString();
      expect(text).toContain('40 -> /dev/null\n');
      expect(text).not.toContain(agentFile());
      expect(text).toContain('"code":0');
    },
  );
});
