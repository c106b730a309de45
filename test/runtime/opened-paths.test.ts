import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Allowances } from '../../src/policy/policy.ts';
import { checkAllowances, checkFolder } from '../../src/runtime/opened-paths.ts';
import { testWhere } from '../support/applies.ts';
import { defaultUser, has, IS_ROOT, run, start } from './command-helper.ts';

const SANDBOXES = (['standard', 'strict'] as const).filter(has);
const ownUid = process.getuid?.() ?? 0;
const user = defaultUser();

/** In a place above which nobody else can change anything, as /srv is on a server. */
const folder = mkdtempSync(join(IS_ROOT ? '/var/lib' : process.cwd(), 'fanout-opened-'));
const at = (name: string): string => join(folder, name);
const socketPath = at('service.sock');
let server: Server;

const NOTHING: Allowances = { read: [], write: [], sockets: [] };
const opening = (some: Partial<Allowances>): Allowances => ({ ...NOTHING, ...some });
const guard = { hidePaths: [at('data')], ownUid };
const problem = (some: Partial<Allowances>): string | undefined =>
  checkAllowances(opening(some), guard)?.reason;

beforeAll(async () => {
  chmodSync(folder, 0o755);
  for (const name of ['data', 'read', 'write', 'closed', 'own', 'own/inner']) mkdirSync(at(name));
  writeFileSync(at('read/file'), 'content');
  writeFileSync(at('plain'), 'plain');
  for (const name of ['write', 'own', 'own/inner']) {
    if (user !== undefined) chownSync(at(name), user.uid, user.gid);
  }
  chmodSync(at('closed'), 0o700);
  server = createServer((socket) => socket.end('hello'));
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  chmodSync(socketPath, 0o777);
});

afterAll(() => {
  server.close();
  rmSync(folder, { recursive: true });
});

describe('what is refused to be opened', () => {
  test('nothing of it, when all is what it seems', () => {
    expect(
      problem({ read: [at('read'), at('plain')], write: [at('write')], sockets: [socketPath] }),
    ).toBeUndefined();
  });

  test('what is not there: a command is not to run with less than its rule says', () => {
    for (const kind of ['read', 'write', 'sockets'] as const) {
      expect(problem({ [kind]: [at('missing')] })).toContain('it does not exist');
    }
  });

  test('a symbolic link, at the end or above', () => {
    symlinkSync('/etc', at('link'));
    symlinkSync(at('own'), at('link-to-own'));
    expect(problem({ write: [at('link')] })).toContain('it is really /etc');
    expect(problem({ read: [at('link-to-own/inner')] })).toContain(`it is really ${at('own/inner')}`);
    symlinkSync(socketPath, at('link.sock'));
    expect(problem({ sockets: [at('link.sock')] })).toContain('it is really');
  });

  testWhere(IS_ROOT)(
    'a path below what the account of the command owns: it could plant a link at any moment',
    () => {
      expect(problem({ write: [at('own/inner')] })).toContain(`${at('own')} belongs to uid ${user?.uid}`);
      expect(problem({ write: [at('own')] })).toBeUndefined();
    },
  );

  test('a path below a folder that everybody can write', () => {
    mkdirSync(at('open'));
    chmodSync(at('open'), 0o1777);
    mkdirSync(at('open/inner'));
    expect(problem({ read: [at('open/inner')] })).toContain(`${at('open')} is writable by everybody`);
  });

  test('a path below another one that may be written', () => {
    mkdirSync(at('write/inner'), { recursive: true });
    expect(problem({ write: [at('write'), at('write/inner')] })).toContain('where the command may write');
    expect(problem({ read: [at('write/inner')], write: [at('write')] })).toContain(
      'where the command may write',
    );
  });

  test("the agent's own files, whatever is above or below them", () => {
    for (const path of [at('data'), at('data/keys'), folder]) {
      for (const kind of ['read', 'write'] as const) {
        expect(problem({ [kind]: [path] }), path).toContain(`the agent keeps its own files in ${at('data')}`);
      }
    }
    for (const path of ['/etc', '/etc/fanout', '/var/lib', '/var']) {
      expect(problem({ read: [path] }), path).toContain('the agent keeps its own files');
    }
  });

  test('everything, and what a sandbox has of its own', () => {
    for (const path of ['/', '/proc', '/proc/sys/kernel', '/dev', '/dev/shm']) {
      expect(problem({ read: [path] }), path).toMatch(/it would open everything|a sandbox has its own/);
    }
  });

  test('a socket as a file, and a file as a socket', () => {
    expect(problem({ read: [socketPath] })).toContain('list it in "sockets"');
    expect(problem({ write: [socketPath] })).toContain('list it in "sockets"');
    expect(problem({ sockets: [at('plain')] })).toContain('it is not a socket');
    expect(problem({ sockets: [at('read')] })).toContain('it is not a socket');
  });
});

describe('where a command may start', () => {
  const reason = (path: string, sandbox: 'none' | 'standard' = 'none'): string | undefined =>
    checkFolder(path, sandbox, user, guard)?.reason;

  test('in a folder that is what it seems', () => {
    for (const path of ['/', '/usr', at('read')]) expect(reason(path), path).toBeUndefined();
  });

  test('not behind a link, in a file, or nowhere', () => {
    symlinkSync('/root', at('way-out'));
    for (const sandbox of ['none', 'standard'] as const) {
      expect(reason(at('way-out'), sandbox)).toMatch(/it is really \/root|cannot be examined/);
      expect(reason(at('plain'), sandbox)).toContain('it is not a folder');
      expect(reason(at('nowhere'), sandbox)).toContain('it does not exist');
    }
  });

  testWhere(IS_ROOT)('not where its account could not go', () => {
    mkdirSync(at('closed/inner'));
    expect(reason(at('closed'))).toContain(`may not enter ${at('closed')}`);
    expect(reason(at('closed/inner'))).toContain(`may not enter ${at('closed')}`);
  });

  test('in its own /tmp, of which the host knows nothing', () => {
    expect(reason('/tmp/not-of-the-host', 'standard')).toBeUndefined();
    expect(reason('/tmp/not-of-the-host', 'none')).toContain('it does not exist');
  });
});

const CONNECT =
  'use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or do { print "no: $!"; exit }; print <$s>';

describe.each(SANDBOXES)('in sandbox "%s"', (sandbox) => {
  test('what may be read can be read, and not changed', async () => {
    const allowances = opening({ read: [at('read')] });
    const { stdout } = await run(['cat', at('read/file')], { sandbox, allowances });
    expect(stdout).toBe('content');
    const { end, stderr } = await run(['touch', at('read/new')], { sandbox, allowances });
    expect(end.code).toBe(1);
    expect(stderr).toContain('Read-only file system');
  });

  test('what may be written is written, and nothing beside it', async () => {
    const allowances = opening({ write: [at('write')] });
    const { end } = await run(['dd', 'if=/dev/zero', `of=${at('write')}/${sandbox}`, 'bs=10', 'count=1'], {
      sandbox,
      allowances,
    });
    expect(end.code).toBe(0);
    expect(readFileSync(at(`write/${sandbox}`))).toHaveLength(10);
    const beside = await run(['touch', at('new')], { sandbox, allowances });
    expect(beside.end.code).toBe(1);
  });

  test('a file that only others may read stays closed: opening it gives no rights', async () => {
    const { end, stdout } = await run(['cat', '/etc/shadow'], {
      sandbox,
      allowances: opening({ read: ['/etc/shadow'] }),
    });
    expect(end.code).toBe(1);
    expect(stdout).toBe('');
  });

  test('a socket that is opened can be talked to, without a network', async () => {
    const { stdout } = await run(['perl', '-e', CONNECT, socketPath], {
      sandbox,
      allowances: opening({ sockets: [socketPath] }),
    });
    expect(stdout).toBe('hello');
    const closed = await run(['perl', '-e', CONNECT, socketPath], { sandbox });
    expect(closed.stdout).toMatch(/^no: /);
  });

  test('a socket does not open abstract ones, nor the network', async () => {
    const abstract = createServer((socket) => socket.end('abstract'));
    const name = `fanout-${process.pid}-${sandbox}`;
    await new Promise<void>((resolve) => abstract.listen(`\0${name}`, resolve));
    const code = `use Socket; socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die; connect($s, pack("S a*", AF_UNIX, "\\0$ARGV[0]")) or do { print "no"; exit }; print <$s>`;
    const { stdout } = await run(['perl', '-e', code, name], {
      sandbox,
      allowances: opening({ sockets: [socketPath] }),
    });
    abstract.close();
    expect(stdout).toBe('no');
  });

  test('it starts where its rule says', async () => {
    const allowances = opening({ read: [at('read')] });
    const { stdout } = await run(['pwd'], { sandbox, allowances, cwd: at('read') });
    expect(stdout).toBe(`${at('read')}\n`);
    const tmp = await run(['pwd'], { sandbox, cwd: '/tmp' });
    expect(tmp.stdout).toBe('/tmp\n');
  });

  test('where its folder is not there, nothing is started', async () => {
    const { command } = start(['pwd'], { sandbox, cwd: '/tmp/not-there' });
    expect(await command.ended).toMatchObject({
      kind: 'failed',
      reason: expect.stringContaining("Can't chdir to /tmp/not-there"),
      hint: expect.stringContaining('"cwd"'),
    });
  });

  testWhere(IS_ROOT)('what its account cannot reach is no sandbox with less in it', async () => {
    const { command } = start(['pwd'], { sandbox, allowances: opening({ read: [at('closed/inner')] }) });
    expect(await command.ended).toMatchObject({
      kind: 'failed',
      hint: expect.stringContaining('namei'),
    });
  });

  test('what was swapped for a link after the look is not followed to where the account could not go', async () => {
    mkdirSync(at('swapped'), { recursive: true });
    renameSync(at('swapped'), at(`moved-${sandbox}`));
    symlinkSync('/root', at('swapped'));
    const { command, stdout } = start(['ls', '-A', at('swapped')], {
      sandbox,
      allowances: opening({ read: [at('swapped')] }),
    });
    await command.ended;
    unlinkSync(at('swapped'));
    expect(stdout()).toBe('');
  });
});

describe.each([...SANDBOXES, 'none'] as const)('in sandbox "%s", the environment', (sandbox) => {
  test('has what the rule says, to the last byte', async () => {
    const env = { APP: 'a b\nPATH=/tmp\n', EMPTY: '', QUOTED: '$(id) "`', HOME: '/srv' };
    const { stdout } = await run(['env', '-0'], { sandbox, env });
    const found = stdout.split('\0');
    for (const [name, value] of Object.entries(env)) expect(found).toContain(`${name}=${value}`);
    expect(found.filter((line) => line.startsWith('PATH='))).toEqual([
      'PATH=/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin:/usr/local/sbin',
    ]);
  });

  test('with what no variable can hold starts nothing', async () => {
    const { command } = start(['env'], { sandbox, env: { APP: 'a\0b' } });
    expect(await command.ended).toMatchObject({ kind: 'failed' });
  });
});

test('without a sandbox too, a command starts where its rule says', async () => {
  const { stdout } = await run(['pwd'], { cwd: at('read') });
  expect(stdout).toBe(`${at('read')}\n`);
});
