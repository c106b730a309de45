import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CommandSpec } from '../../src/runtime/command-spec.ts';
import { probeSandboxes } from '../../src/runtime/sandbox-probe.ts';
import { testWhere } from '../support/applies.ts';
import { defaultUser, has, IS_ROOT, processesWith, run, start, uniqueWord } from './command-helper.ts';

const SANDBOXES = (['standard', 'strict'] as const).filter(has);

/** Outside of what a sandbox replaces, and where anybody may go. */
const folder = mkdtempSync(join(existsSync('/var/tmp') ? '/var/tmp' : tmpdir(), 'fanout-sandbox-'));
const socketPath = join(folder, 'service.sock');
let unixServer: Server;
let tcpServer: Server;
let tcpPort = 0;

function listen(server: Server, where: string | { port: number; host: string }): Promise<void> {
  return new Promise((resolve) => server.listen(where, resolve));
}

beforeAll(async () => {
  chmodSync(folder, 0o777);
  unixServer = createServer((socket) => socket.end('unix'));
  await listen(unixServer, socketPath);
  chmodSync(socketPath, 0o777);
  tcpServer = createServer((socket) => socket.end('tcp'));
  await listen(tcpServer, { port: 0, host: '127.0.0.1' });
  const address = tcpServer.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  tcpPort = address.port;
});

afterAll(() => {
  unixServer.close();
  tcpServer.close();
  rmSync(folder, { recursive: true });
});

/** Runs Perl code that prints its findings. */
async function look(code: string, changes: Partial<CommandSpec>, ...args: string[]): Promise<string> {
  const { stdout, stderr } = await run(['perl', '-e', `$| = 1; ${code}`, ...args], changes);
  expect(stderr).toBe('');
  return stdout;
}

/**
 * Tries to signal processes, and to read what only their owner may. That another process of the same account has open
 * files, and how many, can be seen; which they are cannot.
 */
const PRY = `for my $pid (@ARGV) {
  print "signal " if $pid ne "self" and kill 0, $pid;
  for my $file ("environ", "mem", "maps", "root/etc/passwd", "cwd/etc/passwd", "fd/0", "fd/1", "fd/2") {
    my $handle;
    print "$file " if open $handle, "<", "/proc/$pid/$file";
    print "link $file " if readlink "/proc/$pid/$file";
  }
}`;

describe.each(SANDBOXES)('from inside "%s"', (sandbox) => {
  test('no file outside of /tmp can be written', async () => {
    const places = [
      '/',
      '/etc',
      '/usr',
      '/usr/bin',
      '/var',
      '/var/tmp',
      '/run',
      '/root',
      '/home',
      '/dev',
      '/dev/shm',
      '/opt',
      '/srv',
      folder,
    ];
    const code =
      'for (@ARGV) { my $f = "$_/fanout-escape"; if (open my $h, ">", $f) { print "$_ "; unlink $f } }';
    expect(await look(code, { sandbox }, ...places)).toBe('');
    expect(await look(code, { sandbox }, '/tmp')).toBe('/tmp ');
    expect(existsSync('/tmp/fanout-escape')).toBe(false);
  });

  test('nothing of /proc or /sys can be written', async () => {
    const files = [
      '/proc/sys/kernel/core_pattern',
      '/proc/sys/vm/drop_caches',
      '/proc/sysrq-trigger',
      '/sys/kernel/uevent_helper',
      '/sys/power/state',
      // In "strict", these belong to the command itself.
      ...(sandbox === 'standard' ? ['/proc/1/oom_score_adj', '/proc/self/oom_score_adj'] : []),
    ];
    const code = 'for (@ARGV) { print "$_ " if open my $h, ">>", $_ }';
    expect(await look(code, { sandbox }, ...files)).toBe('');
  });

  test('/tmp holds no more than 16 MiB', async () => {
    const code =
      'open my $h, ">", "/tmp/big" or die; my $n = 0; while (1) { my $w = syswrite $h, "x" x 1048576; last unless $w; $n += $w } print $n';
    expect(Number(await look(code, { sandbox }))).toBeLessThanOrEqual(16 * 2 ** 20);
  });

  test('secrets, home directories and sockets of the host cannot be seen', async () => {
    const code =
      'for (@ARGV) { if (opendir my $d, $_) { my @n = grep !/^\\.\\.?$/, readdir $d; print "$_: @n " if @n } elsif (open my $h, "<", $_) { print "$_ " } }';
    expect(
      await look(code, { sandbox }, '/etc/shadow', '/etc/gshadow', '/root', '/home', '/run', '/proc/kcore'),
    ).toBe('');
  });

  test('what the agent hides cannot be read', async () => {
    const directory = join(folder, 'state');
    mkdirSync(directory, { recursive: true });
    const file = join(folder, 'operator.key');
    for (const path of [file, join(directory, 'node.key')]) {
      writeFileSync(path, 'secret');
      chmodSync(path, 0o644);
    }
    const code = 'for (@ARGV) { local $/; my $h; print <$h> if open $h, "<", $_ }';
    const paths = [file, join(directory, 'node.key')];
    if (sandbox === 'standard') expect(await look(code, { sandbox }, ...paths)).toBe('secretsecret');
    const hidePaths = [file, directory, join(folder, 'missing')];
    expect(await look(code, { sandbox, hidePaths }, ...paths)).toBe('');
  });

  test('the account is an ordinary one without capabilities, and cannot become another', async () => {
    const status = await look('open my $h, "<", "/proc/self/status"; print <$h>', { sandbox });
    const own = IS_ROOT ? defaultUser()!.uid : process.getuid!();
    expect(status).toMatch(new RegExp(`^Uid:\\s+${own}\\s+${own}\\s+${own}\\s+${own}$`, 'm'));
    expect(status).toMatch(/^CapEff:\s+0+$/m);
    expect(status).toMatch(/^CapBnd:\s+0+$/m);
    expect(status).toMatch(/^NoNewPrivs:\s+1$/m);
    expect(status).toMatch(/^Seccomp:\s+2$/m);
    expect(await look('$> = 0; $< = 0; print "$< $>"', { sandbox })).not.toMatch(/\b0\b/);
  });

  test('a setuid program gains nothing', async () => {
    const { stdout } = await run(['perl', '-e', 'print `/usr/bin/su -c id root 2>&1 </dev/null`'], {
      sandbox,
    });
    expect(stdout).not.toContain('uid=0');
  });

  test('no namespace can be made or entered, and nothing mounted', async () => {
    for (const kind of ['--user', '--mount', '--net', '--pid', '--uts', '--ipc', '--cgroup']) {
      const { end } = await run(['unshare', kind, 'true'], { sandbox });
      expect(end.code, kind).not.toBe(0);
    }
    const { end } = await run(['mount', '-t', 'tmpfs', 'none', '/tmp'], { sandbox }).catch(() => ({
      end: { code: 1 },
    }));
    expect(end.code).not.toBe(0);
  });

  test('the host network cannot be reached, in any of the ways there are', async () => {
    const code = `use Socket;
      my ($port, $path) = @ARGV;
      if (socket my $s, PF_INET, SOCK_STREAM, 0) { print "tcp " if connect $s, pack_sockaddr_in($port, inet_aton("127.0.0.1")) }
      if (socket my $s, PF_UNIX, SOCK_STREAM, 0) { print "unix " if connect $s, pack_sockaddr_un($path) }
      print "vsock " if socket my $v, 40, SOCK_STREAM, 0;
      print "packet " if socket my $p, 17, SOCK_RAW, 0;
      print "end";`;
    expect(await look(code, { sandbox }, String(tcpPort), socketPath)).toBe('end');
  });

  test('the host network can be reached when the rule gives it', async () => {
    const code = `use Socket; socket my $s, PF_INET, SOCK_STREAM, 0 or die; connect $s, pack_sockaddr_in($ARGV[0], inet_aton("127.0.0.1")) or die "$!"; print <$s>;
      print " vsock" if socket my $v, 40, SOCK_STREAM, 0;`;
    expect(await look(code, { sandbox, network: 'host' }, String(tcpPort))).toBe('tcp');
  });

  test('a process can look into itself, which shows that the next two tests can fail', async () => {
    const seen = await look(PRY, { sandbox }, 'self');
    for (const what of ['environ', 'mem', 'maps', 'root/etc/passwd', 'fd/0', 'link fd/1']) {
      expect(seen).toContain(`${what} `);
    }
  });

  test('processes outside can be neither signalled nor looked into', async () => {
    const pids = [process.pid, process.ppid].map(String);
    expect(await look(`${PRY} print "end"`, { sandbox }, ...pids)).toBe('end');
  });

  test('another command of the same account can be neither signalled nor looked into', async () => {
    const word = uniqueWord();
    const victim = start(['perl', '-e', '$| = 1; print "ready"; sleep 1000', word], { sandbox });
    await victim.shows('ready');
    const pids = processesWith(word).map(String);
    expect(pids).not.toEqual([]);
    const seen = await look(`${PRY} print "end"`, { sandbox }, ...pids);
    victim.command.kill('cancelled');
    await victim.command.ended;
    expect(seen).toBe('end');
  });

  test('refused system calls are refused, and ordinary programs run', async () => {
    // ptrace, unshare, keyctl, bpf, io_uring_setup and mount by number.
    if (process.arch === 'x64') {
      const code =
        'use Errno; for (101, 272, 250, 321, 425, 165, 246, 169) { $! = 0; my $r = syscall($_, 0, 0, 0, 0); print "$_:$! " unless $r == -1 and $!{EPERM} } $! = 0; my $r = syscall(435, 0, 0); print $!{ENOSYS} ? "no clone3" : "clone3"; ';
      expect(await look(code, { sandbox })).toBe('no clone3');
    }
    for (const argv of [
      ['ls', '/usr'],
      ['id'],
      ['uname', '-a'],
      ['date'],
      ['du', '-s', '/usr/share/doc'],
      ['sort', '/etc/passwd'],
    ]) {
      const { end, stdout } = await run(argv, { sandbox });
      expect(end.code, argv[0]).not.toBeNull();
      expect(stdout, argv[0]).not.toBe('');
    }
  });
});

test.skipIf(!has('standard'))('`ps ax` in "standard" shows the processes of the host', async () => {
  const { end, stdout } = await run(['ps', 'ax', '-o', 'pid='], { sandbox: 'standard' });
  expect(end.code).toBe(0);
  const pids = stdout.split('\n').map(Number);
  expect(pids).toContain(process.pid);
  expect(pids).toContain(1);
});

test.skipIf(!has('strict'))(
  '"strict" shows only its own processes, and only a few files of /etc',
  async () => {
    const { stdout } = await run(['ls', '/proc'], { sandbox: 'strict' });
    expect(stdout.split('\n').filter((name) => /^\d+$/.test(name)).length).toBeLessThanOrEqual(3);
    const etc = await run(['ls', '/etc'], { sandbox: 'strict' });
    expect(etc.stdout.split('\n')).toContain('passwd');
    expect(etc.stdout.split('\n').length).toBeLessThan(10);
  },
);

testWhere(IS_ROOT)('a supplementary group of the account is kept, and others are dropped', async () => {
  const file = join(folder, 'group-file');
  writeFileSync(file, 'for the group');
  chmodSync(file, 0o040);
  chownSync(file, 0, 4);
  const user = defaultUser()!;
  // "strict" does not show the file.
  for (const sandbox of (['none', 'standard'] as const).filter(has)) {
    const member = await run(['cat', file], { sandbox, user: { ...user, groups: [4, 20] } });
    expect(member.stdout, sandbox).toBe('for the group');
    const stranger = await run(['cat', file], { sandbox, user: { ...user, groups: [] } });
    expect(stranger.stdout, sandbox).toBe('');
  }
});

test('the probe tells what can be had, and the absence of a sandbox always can', async () => {
  const found = await probeSandboxes();
  expect(found.map(({ profile }) => profile).sort()).toEqual(['none', 'standard', 'strict']);
  for (const { profile, available, reason, fix } of found) {
    if (profile === 'none') expect(available).toBe(true);
    expect(reason === '', profile).toBe(available);
    expect(fix === '', profile).toBe(available);
  }
});

test.skipIf(!has('standard'))('the probe finds out that a path is hidden', async () => {
  const file = join(folder, 'probe.key');
  writeFileSync(file, 'secret');
  chmodSync(file, 0o644);
  const [, standard] = await probeSandboxes([file]);
  expect(standard).toMatchObject({ profile: 'standard', available: true });
});
