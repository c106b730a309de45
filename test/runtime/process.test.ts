import { describe, expect, test } from 'vitest';
import { startCommand } from '../../src/runtime/process.ts';
import { testWhere } from '../support/applies.ts';
import {
  eventually,
  IS_ROOT,
  PROFILES,
  processesWith,
  run,
  specOf,
  start,
  stateOf,
  uniqueWord,
} from './command-helper.ts';

const MIB = 2 ** 20;
/** Enough to set up a sandbox and a program on a machine that is busy with other tests. */
const LIMIT_MS = 3000;

describe.each(PROFILES)('in sandbox "%s"', (sandbox) => {
  test('a command gives its output and its exit code', async () => {
    const { end, stdout, stderr } = await run(['perl', '-e', 'print "out"; print STDERR "err"; exit 3'], {
      sandbox,
    });
    expect({ stdout, stderr }).toEqual({ stdout: 'out', stderr: 'err' });
    expect(end).toMatchObject({ code: 3, signal: null, cause: 'exit', stdoutBytes: 3, stderrBytes: 3 });
    expect(end.durationMs).toBeGreaterThan(0);
  });

  test('arguments arrive as they are, and no shell reads them', async () => {
    const words = [
      'a b',
      '$HOME',
      '`id`',
      '$(id)',
      '*',
      ';',
      '|',
      '--',
      '-x',
      "'",
      '"',
      '\\',
      'a\nb',
      '',
      'ü',
    ];
    const { stdout } = await run(['perl', '-e', 'print join("\\0", @ARGV)', '--', ...words], { sandbox });
    expect(stdout.split('\0')).toEqual(words);
  });

  test('the environment is the fixed one, whatever the agent has', async () => {
    process.env.FANOUT_TEST_SECRET = 'secret';
    try {
      const { stdout } = await run(['env'], { sandbox });
      const names = stdout.split('\n').map((line) => line.split('=')[0]!);
      expect(names).toEqual(expect.arrayContaining(['PATH', 'LANG', 'HOME', 'PAGER', 'TERM']));
      const known =
        /^(PATH|LANG|HOME|(SYSTEMD_|GIT_)?PAGER|LESSSECURE|TERM|GIT_CONFIG_NOSYSTEM|PWD|FANOUT_JOB|)$/;
      expect(names.filter((name) => !known.test(name))).toEqual([]);
      expect(stdout).toContain('HOME=/nonexistent\n');
    } finally {
      delete process.env.FANOUT_TEST_SECRET;
    }
  });

  test('stdin is empty, the directory is the root, and there is no terminal', async () => {
    const code = 'print defined(<STDIN>) ? "input" : "none"; print " ", -t STDIN ? "tty" : "-"; exec "pwd"';
    const { stdout } = await run(['perl', '-e', `$| = 1; ${code}`], { sandbox });
    expect(stdout).toBe('none -/\n');
  });

  test('no descriptor of the agent is handed on', async () => {
    const { stdout } = await run(['ls', '-l', '/proc/self/fd'], { sandbox });
    const targets = [...stdout.matchAll(/ (\d+) -> (.*)/g)].map(([, fd, target]) => ({
      fd: Number(fd),
      target: target!,
    }));
    expect(targets.length).toBeGreaterThanOrEqual(4);
    for (const { fd, target } of targets.filter(({ fd }) => fd > 2)) {
      expect(target, `descriptor ${fd}`).toMatch(/^(\/dev\/null|\/proc\/\d+\/fd)$/);
    }
  });

  test('a program that cannot be executed has failed, and nothing of it ran', async () => {
    const spec = specOf(['true'], { sandbox, path: '/usr/bin/no-such-program' });
    const output: string[] = [];
    const end = await startCommand(spec, (_, chunk) => output.push(Buffer.from(chunk).toString())).ended;
    expect(end).toMatchObject({ kind: 'failed', reason: expect.stringContaining('no-such-program') });
    expect(end).toMatchObject({ hint: expect.stringMatching(/\w/) });
    expect(output).toEqual([]);
  });

  test('a program that talks like a launcher is still a program', async () => {
    for (const text of [
      'bwrap: no',
      'prlimit: yes',
      'setpriv',
      'b',
      'unshare: a\nunshare: b\n',
      '/usr/bin/',
    ]) {
      const { end, stderr } = await run(['perl', '-e', 'print STDERR $ARGV[0]; exit 1', text], { sandbox });
      expect(stderr).toBe(text);
      expect(end).toMatchObject({ code: 1, stderrBytes: text.length });
    }
  });

  test.concurrent('the time limit asks the program to end, and its own exit code is reported', async () => {
    const code = '$SIG{TERM} = sub { print "cleaned"; exit 9 }; $| = 1; print "ready "; sleep 100';
    const { end, stdout } = await run(['perl', '-e', code], { sandbox, timeoutMs: LIMIT_MS });
    expect(stdout).toBe('ready cleaned');
    expect(end).toMatchObject({ code: 9, signal: null, cause: 'timeout' });
    expect(end.durationMs).toBeLessThan(LIMIT_MS + 1900);
  });

  test.concurrent('a program without a word about SIGTERM is ended by it', async () => {
    const { end } = await run(['sleep', '100'], { sandbox, timeoutMs: LIMIT_MS });
    expect(end).toMatchObject({ code: null, signal: 'SIGTERM', cause: 'timeout' });
  });

  test.concurrent('a program that ignores SIGTERM is killed two seconds later', async () => {
    const { end } = await run(['perl', '-e', '$SIG{TERM} = "IGNORE"; sleep 100'], {
      sandbox,
      timeoutMs: LIMIT_MS,
    });
    expect(end).toMatchObject({ code: null, signal: 'SIGKILL', cause: 'timeout' });
    expect(end.durationMs).toBeGreaterThan(LIMIT_MS + 1990);
  });

  test('the time limit can be moved both ways, and one that has passed ends the command at once', async () => {
    const longer = start(['sleep', '1'], { sandbox, timeoutMs: 100 });
    longer.command.limitTo(30_000);
    const shorter = start(['sleep', '100'], { sandbox });
    shorter.command.limitTo(50);
    const past = start(['sleep', '100'], { sandbox });
    past.command.limitTo(0);
    // What is being ended already is not given more time.
    past.command.limitTo(30_000);
    expect(await longer.command.ended).toMatchObject({ code: 0, cause: 'exit' });
    longer.command.limitTo(0);
    expect(await shorter.command.ended).toMatchObject({ cause: 'timeout' });
    expect(await past.command.ended).toMatchObject({ kind: 'ended', cause: 'timeout' });
  });

  test('a command can be cancelled', async () => {
    const { command, shows } = start(['perl', '-e', '$| = 1; print "ready"; sleep 100'], { sandbox });
    await shows('ready');
    command.kill('cancelled');
    command.kill('cancelled');
    expect(await command.ended).toMatchObject({ kind: 'ended', signal: 'SIGTERM', cause: 'cancelled' });
  });

  test('a command can be cancelled the moment it was started', async () => {
    const word = uniqueWord();
    const { command } = start(['perl', '-e', 'sleep 1000', word], { sandbox });
    command.kill('cancelled');
    expect(await command.ended).toMatchObject({ kind: 'ended', cause: 'cancelled' });
    await eventually(() => processesWith(word).length === 0, 2000);
  });

  test('output ends exactly at the limit, and the command with it', async () => {
    const { end, stdout } = await run(['yes'], { sandbox, outputBytesMax: 100_001 });
    expect(stdout.length).toBe(100_001);
    expect(end).toMatchObject({
      signal: 'SIGKILL',
      cause: 'output-limit',
      stdoutBytes: 100_001,
      stderrBytes: 0,
    });
  });

  test('both streams count towards the output limit', async () => {
    const code =
      '$SIG{PIPE} = "IGNORE"; while (1) { syswrite STDOUT, "o" x 1000; syswrite STDERR, "e" x 1000 }';
    const { end, stdout, stderr } = await run(['perl', '-e', code], { sandbox, outputBytesMax: 300_000 });
    expect(stdout.length + stderr.length).toBe(300_000);
    expect(end).toMatchObject({
      cause: 'output-limit',
      stdoutBytes: stdout.length,
      stderrBytes: stderr.length,
    });
  });

  test('output of just the limit is whole', async () => {
    const { end, stdout } = await run(['perl', '-e', 'print "x" x 5000'], { sandbox, outputBytesMax: 5000 });
    expect(stdout.length).toBe(5000);
    expect(end).toMatchObject({ code: 0, cause: 'exit' });
  });

  test('a command without output is allowed by a limit of nothing', async () => {
    const { end } = await run(['true'], { sandbox, outputBytesMax: 0 });
    expect(end).toMatchObject({ code: 0, cause: 'exit' });
  });

  test('a paused command waits', async () => {
    const word = uniqueWord();
    let received = 0;
    const command = startCommand(
      specOf(['perl', '-e', 'print "x" x 65536 while 1', word], { sandbox, outputBytesMax: 2 ** 40 }),
      (_, chunk) => {
        received += chunk.length;
        if (received >= MIB) command.pause();
      },
    );
    // Blocked, not running: a writer whose pipe is full sleeps.
    await eventually(() => received >= MIB && processesWith(word).every((pid) => stateOf(pid) === 'S'));
    const atRest = received;
    expect(atRest).toBeLessThan(2 * MIB);
    command.resume();
    await eventually(() => received > atRest);
    command.kill('cancelled');
    expect(await command.ended).toMatchObject({ cause: 'cancelled' });
  });

  test('200 MB through a slow reader stay in constant memory, and arrive whole', async () => {
    const total = 200_000_000;
    let received = 0;
    let highest = 0;
    const before = process.memoryUsage().rss;
    const spec = specOf(['head', '-c', String(total), '/dev/zero'], {
      sandbox,
      outputBytesMax: total,
      timeoutMs: 120_000,
    });
    const command = startCommand(spec, (_, chunk) => {
      received += chunk.length;
      command.pause();
      setImmediate(() => command.resume());
      highest = Math.max(highest, process.memoryUsage.rss());
    });
    expect(await command.ended).toMatchObject({ code: 0, cause: 'exit', stdoutBytes: total });
    expect(received).toBe(total);
    expect(highest - before).toBeLessThan(64 * MIB);
  });

  test('what was written before the end reaches a reader who paused', async () => {
    let received = 0;
    const word = uniqueWord();
    const command = startCommand(
      specOf(['perl', '-e', 'print "x" x 100000', word], { sandbox }),
      (_, chunk) => {
        received += chunk.length;
      },
    );
    command.pause();
    // It is there as soon as startCommand returns.
    await eventually(() => processesWith(word).length === 0);
    let isOver = false;
    void command.ended.then(() => {
      isOver = true;
    });
    // Longer than a silent pipe is waited for.
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(isOver).toBe(false);
    command.resume();
    expect(await command.ended).toMatchObject({ code: 0, stdoutBytes: 100_000 });
    expect(received).toBe(100_000);
  });

  test('cancelling ends the wait for a reader who never comes back', async () => {
    const word = uniqueWord();
    const { command } = start(['perl', '-e', 'print "x" x 100000', word], { sandbox });
    command.pause();
    // It is there as soon as startCommand returns.
    await eventually(() => processesWith(word).length === 0);
    command.kill('cancelled');
    expect(await command.ended).toMatchObject({ kind: 'ended' });
  });

  test('many commands at once keep apart', async () => {
    const runs = Array.from({ length: 20 }, (_, i) =>
      run(['perl', '-e', 'print $ARGV[0]; exit $ARGV[0]', String(i)], { sandbox }),
    );
    const results = await Promise.all(runs);
    expect(results.map(({ stdout }) => stdout)).toEqual(results.map((_, i) => String(i)));
    expect(results.map(({ end }) => end.code)).toEqual(results.map((_, i) => i));
  });
});

test('a command whose start cannot be prepared has failed, and no error comes out of it', async () => {
  const spec = Object.defineProperty(specOf(['true']), 'timeoutMs', {
    get: () => {
      throw new Error('ESRCH');
    },
  });
  const end = await startCommand(spec, () => {}).ended;
  expect(end).toMatchObject({ kind: 'failed', reason: expect.stringContaining('ESRCH') });
});

testWhere(IS_ROOT)('an agent of root starts nothing without an account', async () => {
  for (const sandbox of ['none', 'standard', 'strict'] as const) {
    const end = await startCommand(specOf(['true'], { sandbox, user: undefined }), () => {}).ended;
    expect(end).toMatchObject({ kind: 'failed', reason: expect.stringContaining('root') });
  }
});

testWhere(IS_ROOT)('no sandbox is made around root', async () => {
  const root = { name: 'root', uid: 0, gid: 0, groups: [] };
  for (const sandbox of ['standard', 'strict'] as const) {
    const end = await startCommand(specOf(['true'], { sandbox, user: root }), () => {}).ended;
    expect(end).toMatchObject({ kind: 'failed', reason: expect.stringContaining('cannot hold root') });
  }
  const { stdout } = await run(['id', '-u'], { sandbox: 'none', user: root });
  expect(stdout).toBe('0\n');
});

testWhere(!IS_ROOT)('an agent without privileges does not pretend to change accounts', async () => {
  const other = { name: 'other', uid: (process.getuid?.() ?? 0) + 1, gid: 1, groups: [] };
  const end = await startCommand(specOf(['true'], { user: other }), () => {}).ended;
  expect(end).toMatchObject({
    kind: 'failed',
    reason: expect.stringContaining('cannot run a command as "other"'),
  });
});
