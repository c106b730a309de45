import { spawn } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectAgent } from '../../src/asker/connect.ts';
import { AuditLog } from '../../src/identity/audit.ts';
import { utf8 } from '../../src/lib/bytes.ts';
import { type Encodable, encodeRpc } from '../../src/lib/msgpack.ts';
import { type AgentProcess, TestCluster } from '../support/cluster.ts';
import { eventually, FANOUT, type Result, runProgram, stopProcess } from '../support/processes.ts';
import { isAlive, memoryMiB, starts } from './rogue.ts';

const RULES = `
  - id: basics
    effect: allow
    operators: ["group:sre"]
    commands:
      - { program: echo, positionals: { max: 60, match: ["any:4096"] } }
      - { program: sleep, argv: ["int:1..10000"] }
`;
const SECRET = 'not-for-commands-9f2c';

const cluster = new TestCluster();
let web1: AgentProcess;
let policy: string;

beforeAll(async () => {
  cluster.env.FANOUT_TEST_SECRET = SECRET;
  await cluster.operator();
  policy = cluster.addPolicy('open', RULES);
  const umask = process.umask(0);
  web1 = await cluster.start({
    name: 'web1',
    policy,
    args: ['--rpc-addr', join(cluster.dir, 'run', 'agent.sock')],
  });
  process.umask(umask);
  Object.assign(web1, { control: join(cluster.dir, 'run', 'agent.sock') });
});

afterAll(() => cluster.stop());

function modeOf(path: string): number {
  return lstatSync(path).mode & 0o777;
}

async function stillWorks(): Promise<void> {
  expect(isAlive(web1)).toBe(true);
  expect(await cluster.fanout(['echo hi'])).toMatchObject({ code: 0, stdout: 'web1: hi\n' });
}

/** Starts a second agent and waits for it to give up. */
function secondAgent(control: string, ...args: string[]): Promise<Result> {
  const own = ['--node', 'second', '--bind', '127.0.0.1:0', '--data-dir', join(cluster.dir, 'second')];
  const key = args.includes('--encrypt-file') ? [] : ['--encrypt-file', join(cluster.dir, 'cluster.key')];
  const command = [FANOUT, 'agent', ...own, '--rpc-addr', control, ...key, ...args];
  return runProgram(process.execPath, command, { env: cluster.env, timeoutMs: 15_000 });
}

describe('the control socket', () => {
  const sockets = new Set<Socket>();

  afterAll(() => {
    for (const socket of sockets) socket.destroy();
  });

  function dial(path = web1.control): Promise<Socket> {
    const socket = connect({ path, allowHalfOpen: true });
    sockets.add(socket);
    socket.on('error', () => {});
    return new Promise((resolve) => {
      socket.once('connect', () => resolve(socket));
      socket.once('close', () => resolve(socket));
    });
  }

  function ended(socket: Socket): Promise<unknown> {
    return new Promise((resolve) => socket.resume().once('end', resolve).once('close', resolve));
  }

  test('it, its folder and the files of the agent are for one user only, whatever the umask', () => {
    expect(modeOf(web1.control)).toBe(0o600);
    expect(modeOf(join(cluster.dir, 'run'))).toBe(0o700);
    expect(modeOf(web1.dataDir)).toBe(0o700);
    expect(readdirSync(web1.dataDir).map((name) => [name, modeOf(join(web1.dataDir, name))])).toEqual(
      expect.arrayContaining([
        ['audit.jsonl', 0o600],
        ['node.key', 0o600],
      ]),
    );
  });

  test('a second agent does not take it, even when the first is frozen and its queue is full', async () => {
    const { ino } = statSync(web1.control);
    expect(await secondAgent(web1.control)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('another agent answers'),
    });
    web1.child.kill('SIGSTOP');
    try {
      const queued = Array.from({ length: 700 }, () => {
        const socket = connect(web1.control);
        sockets.add(socket);
        return new Promise((resolve) => socket.once('connect', resolve).once('error', resolve));
      });
      await Promise.all(queued);
      expect((await secondAgent(web1.control)).code).toBe(2);
    } finally {
      web1.child.kill('SIGCONT');
    }
    for (const socket of sockets) socket.destroy();
    expect(statSync(web1.control).ino).toBe(ino);
    await stillWorks();
  });

  test('what lies in its place and is no socket is left alone', async () => {
    const file = join(cluster.dir, 'precious');
    const link = join(cluster.dir, 'link.sock');
    writeFileSync(file, 'precious');
    symlinkSync(file, link);
    for (const path of [file, link]) {
      expect(await secondAgent(path)).toMatchObject({
        code: 2,
        stderr: expect.stringContaining('is not a socket'),
      });
    }
    expect(readFileSync(file, 'utf8')).toBe('precious');
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
  });

  test('the socket of an agent that was killed is taken over', async () => {
    const first = await cluster.start({ name: 'heir' });
    await stopProcess(first.child, 'SIGKILL');
    expect(lstatSync(first.control).isSocket()).toBe(true);
    const heir = await cluster.start({ name: 'heir' });
    expect((await cluster.fanout(['members'], { via: heir })).stdout).toContain('heir');
    await stopProcess(heir.child, 'SIGKILL');
  });

  // Only root can make the socket of somebody else.
  test.runIf(process.getuid?.() === 0)('a socket of a stranger is not talked to', async () => {
    const path = join(cluster.dir, 'trap', 'agent.sock');
    mkdirSync(join(cluster.dir, 'trap'));
    let talked = false;
    const server = createServer((socket) => {
      talked = true;
      socket.destroy();
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    chownSync(path, 12_345, 12_345);
    chmodSync(path, 0o777);
    chmodSync(cluster.dir, 0o711);
    const child = spawn(process.execPath, [FANOUT, 'members', '--rpc-addr', path], { uid: 54_321, cwd: '/' });
    let said = '';
    child.stderr.on('data', (chunk) => {
      said += String(chunk);
    });
    const code = await new Promise((resolve) => child.once('close', resolve));
    chmodSync(cluster.dir, 0o700);
    server.close();
    expect([code, talked]).toEqual([69, false]);
    expect(said).toContain('belongs to somebody else');
  });

  const handshake = Buffer.concat([encodeRpc({ Command: 'handshake', Seq: 1 }), encodeRpc({ Version: 1 })]);
  const NONSENSE: Readonly<Record<string, Uint8Array>> = {
    'bytes that are no msgpack': Buffer.alloc(1000, 0xc1),
    'a web request': utf8('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'),
    'a string of four gigabytes': Uint8Array.of(0xc6, 0xff, 0xff, 0xff, 0xff),
    'a list of four billion': Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff),
    'a map of four billion': Uint8Array.of(0xdf, 0xff, 0xff, 0xff, 0xff),
    'lists a hundred thousand deep': Buffer.alloc(100_000, 0x91),
    'maps a hundred thousand deep': Buffer.from('81a161'.repeat(100_000), 'hex'),
    'a request before the handshake': encodeRpc({ Command: 'stats', Seq: 1 }),
    'a command that is none': encodeRpc({ Command: '__proto__', Seq: 1 }),
  };

  test.each(Object.entries(NONSENSE))(
    '%s ends the conversation and nothing else',
    async (_what, bytes) => {
      for (const greeting of [new Uint8Array(0), handshake]) {
        const socket = await dial();
        socket.write(greeting);
        socket.write(bytes);
        if (greeting.length > 0 && bytes === NONSENSE['a request before the handshake']) socket.destroy();
        else await ended(socket);
      }
      expect(isAlive(web1)).toBe(true);
    },
    20_000,
  );

  test('requests of the wrong shape do no harm', async () => {
    const commands = [
      'event',
      'force-leave',
      'join',
      'members-filtered',
      'tags',
      'query',
      'stream',
      'monitor',
      'stop',
      'respond',
      'fanout-programs',
      'fanout-run',
      'fanout-answer',
    ];
    const odd: Encodable[] = [
      null,
      7,
      'text',
      [],
      {},
      { Name: 7 },
      { Tags: [1] },
      { Existing: ['\0', '[::', 'x:99999', ''] },
    ];
    odd.push({ Name: '', Payload: new Uint8Array(600), Timeout: -1 });
    odd.push({ Name: 'q', FilterTags: { role: '(' }, Timeout: Number.MAX_SAFE_INTEGER, RequestAck: true });
    odd.push({
      Run: new Uint8Array(16),
      Envelope: new Uint8Array(0),
      Targets: ['', 'nobody', '__proto__'],
      TimeoutMs: 0,
    });
    odd.push({ Run: new Uint8Array(16), Envelope: new Uint8Array(60_000), Targets: Array(10_000).fill('x') });
    odd.push({ Stream: 0xffffffff }, { Node: '', Prune: true }, { Tags: { ['__proto__']: 'x', '': 'y' } });
    odd.push({ Type: 'user:,*', LogLevel: 'toString', Stop: 2, ID: 1, KeyId: new Uint8Array(9) });
    odd.push({ Type: '\0', LogLevel: '', Stop: Number.MAX_SAFE_INTEGER, ID: -1, KeyId: 'x' });
    odd.push({ Type: Array(10_000).fill('user').join(','), LogLevel: 'x'.repeat(100_000), ID: 0 });
    for (const command of commands) {
      const conversations = odd.map(async (body) => {
        const socket = await dial();
        socket.write(Buffer.concat([handshake, encodeRpc({ Command: command, Seq: 2 }), encodeRpc(body)]));
        await new Promise((resolve) => socket.once('data', resolve).once('close', resolve));
        socket.destroy();
      });
      await Promise.all(conversations);
    }
    await stillWorks();
  });

  test('who follows events and the log and does not read them misses some, and costs no more', async () => {
    const deaf = await dial();
    const follow = [
      { Command: 'stream', Seq: 2 },
      { Type: '*' },
      { Command: 'monitor', Seq: 3 },
      { LogLevel: 'DEBUG' },
    ];
    deaf.pause().write(Buffer.concat([handshake, ...follow.map((value) => encodeRpc(value))]));
    const listener = await connectAgent({ path: web1.control });
    let heard = 0;
    await listener.stream('user:flood', () => heard++);
    const before = memoryMiB(web1.child.pid);
    const payload = new Uint8Array(400);
    for (let batch = 0; batch < 60; batch++) {
      await Promise.all(Array.from({ length: 100 }, () => listener.event('flood', payload, false)));
    }
    await eventually('those who read to have all of it', () => heard === 6000);
    const dropped = async (): Promise<number> =>
      Number((await listener.stats()).get('counters')?.get('rpc-record-dropped') ?? 0);
    expect(await dropped()).toBeGreaterThan(0);
    expect(memoryMiB(web1.child.pid) - before, 'MiB more than before').toBeLessThan(60);
    // It has not been thrown out: when it reads, it goes on with what is new.
    expect(deaf.destroyed).toBe(false);
    let last = '';
    deaf.on('data', (chunk) => {
      last = String(chunk).slice(-4096);
    });
    deaf.resume();
    await eventually('it to hear again', async () => {
      await listener.event('fresh', payload, false);
      return last.includes('fresh');
    });
    listener.close();
    deaf.destroy();
    await stillWorks();
  });

  test('streams without end on one connection are refused, and end with it', async () => {
    const client = await connectAgent({ path: web1.control });
    const asked = Array.from({ length: 100 }, () => client.stream('user', () => {}));
    const settled = await Promise.allSettled(asked);
    expect(settled.filter(({ status }) => status === 'fulfilled').length).toBe(64);
    client.close();
    await stillWorks();
  });

  test('a thousand connections, half-open ones and hoarders do not fill the memory', async () => {
    const before = memoryMiB(web1.child.pid);
    for (let batch = 0; batch < 5; batch++) {
      await Promise.all(Array.from({ length: 200 }, () => dial()));
    }
    // Each sends most of a large request: those who have not greeted get no room for it.
    const most = Buffer.alloc(400_000);
    most.set([0xc6, 0x00, 0x30, 0x00, 0x00]);
    for (const socket of sockets) if (!socket.destroyed) socket.write(most);
    await eventually('the hoarders to be thrown out', () =>
      [...sockets].every((socket) => socket.destroyed || socket.resume().readableEnded),
    );
    await Promise.all(Array.from({ length: 50 }, async () => (await dial()).end()));
    // One that asks and asks and does not read the answers.
    const greedy = await dial();
    greedy.pause().write(handshake);
    const request = encodeRpc({ Command: 'stats', Seq: 2 });
    const many = Buffer.concat(Array.from({ length: 10_000 }, () => request));
    for (let i = 0; i < 30 && !greedy.destroyed; i++) {
      greedy.write(many);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await eventually(
      'the greedy one to be thrown out',
      () => greedy.destroyed || greedy.writableLength === 0,
    );
    await stillWorks();
    expect(memoryMiB(web1.child.pid) - before, 'MiB more than before').toBeLessThan(150);
  });
});

describe('secrets', () => {
  test('no key is in a command line, an environment, a log or an audit record, and a command inherits nothing', async () => {
    const run = cluster.fanout(['sleep 4713', '--timeout', '3s']);
    const command = await eventually('the command to run', () =>
      readdirSync('/proc').find((pid) => {
        try {
          const found = /^\S*sleep\x004713\0$/.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
          return found && readFileSync(`/proc/${pid}/environ`).length > 0;
        } catch {
          return false;
        }
      }),
    );
    const environment = readFileSync(`/proc/${command}/environ`, 'utf8');
    expect(environment).toContain('PATH=');
    expect(environment).not.toContain(SECRET);
    const base64 = (text: string): string[] => text.match(/[A-Za-z0-9+/]{40,}=*/g) ?? [];
    const secrets = [
      cluster.key,
      ...base64(readFileSync(join(web1.dataDir, 'node.key'), 'utf8')),
      ...base64(readFileSync(join(cluster.dir, 'config/fanout/operator.key'), 'utf8')),
    ];
    expect(secrets.length).toBeGreaterThan(3);
    const { pid } = web1.child;
    const info = await cluster.fanout(['info']);
    const texts = [
      readFileSync(`/proc/${pid}/cmdline`, 'utf8'),
      readFileSync(`/proc/${pid}/environ`, 'utf8'),
      readFileSync(join(web1.dataDir, 'audit.jsonl'), 'utf8'),
      web1.log(),
      info.stdout,
    ];
    for (const secret of secrets) for (const text of texts) expect(text.includes(secret)).toBe(false);
    expect((await run).code).toBe(4);
  });

  test('a key file that others can read is refused: of the cluster, the node and the operator', async () => {
    const loose = join(cluster.dir, 'loose.key');
    writeFileSync(loose, cluster.key, { mode: 0o644 });
    const control = join(cluster.dir, 'second.sock');
    const hint = { code: 2, stderr: expect.stringMatching(/others can reach .*chmod 600/s) };
    expect(await secondAgent(control, '--encrypt-file', loose)).toMatchObject(hint);
    const data = join(cluster.dir, 'loose');
    mkdirSync(data, { mode: 0o700 });
    writeFileSync(join(data, 'node.key'), readFileSync(join(web1.dataDir, 'node.key')), { mode: 0o640 });
    expect(await secondAgent(control, '--data-dir', data)).toMatchObject(hint);
    const operator = join(cluster.dir, 'config/fanout/operator.key');
    chmodSync(operator, 0o604);
    expect(await cluster.fanout(['echo loose'])).toMatchObject(hint);
    chmodSync(operator, 0o600);
    symlinkSync(operator, join(cluster.dir, 'linked.key'));
    const linked = await cluster.fanout(['echo loose', '--identity', join(cluster.dir, 'linked.key')]);
    expect(linked).toMatchObject({ code: 2, stderr: expect.stringContaining('symbolic link') });
    expect(starts(web1, 'echo', 'loose')).toBe(0);
  });
});

describe('what the operator keeps of the nodes', () => {
  const known = join(cluster.dir, 'config/fanout/known_nodes');

  test.each([
    ['a line that is none', 'web1 test\n', /known_nodes:\d+: expected NODE/],
    ['a key that is none', 'web7 test AAAA\n', /64 bytes/],
    [
      'a second key for a node',
      `web1 test ${Buffer.alloc(64, 7).toString('base64')}\n`,
      /pins another identity/,
    ],
    ['bytes that are no text', Buffer.from('fffe0a', 'hex'), /known_nodes/],
  ])('with %s nothing is run', async (_what, line, message) => {
    await stillWorks();
    const good = readFileSync(known);
    appendFileSync(known, line);
    const { code, stderr } = await cluster.fanout(['echo unpinned']);
    writeFileSync(known, good);
    expect(code).toBe(7);
    expect(stderr).toMatch(message);
    expect(stderr).not.toContain('bug in fanout');
    expect(starts(web1, 'echo', 'unpinned')).toBe(0);
  });

  test('a file that others can write, and a link, are not believed', async () => {
    chmodSync(known, 0o666);
    const loose = await cluster.fanout(['echo unpinned']);
    chmodSync(known, 0o600);
    renameSync(known, `${known}.real`);
    symlinkSync(`${known}.real`, known);
    const linked = await cluster.fanout(['echo unpinned']);
    rmSync(known);
    renameSync(`${known}.real`, known);
    expect([loose.code, linked.code]).toEqual([7, 7]);
    expect(starts(web1, 'echo', 'unpinned')).toBe(0);
  });
});

describe('an audit log', () => {
  test('that somebody has written to stops what it should record, and not the agent', async () => {
    const running = cluster.fanout(['sleep 2']);
    await eventually('it to run', () => starts(web1, 'sleep', '2') === 1);
    appendFileSync(join(web1.dataDir, 'audit.jsonl'), ' ');
    // It ran to its end, and that its log could not take the record is said aloud.
    const { code, stdout, stderr } = await running;
    expect([code, stdout]).toEqual([7, '']);
    expect(stderr).toMatch(/audit log/);
    const refused = await cluster.fanout(['date']);
    expect(refused.code).toBe(5);
    const unrecorded = await cluster.fanout(['echo unrecorded']);
    expect([unrecorded.code, unrecorded.stdout]).toEqual([4, '']);
    expect(unrecorded.stderr).toContain('audit log cannot be written');
    expect(isAlive(web1)).toBe(true);
    expect(web1.log()).toContain('somebody else wrote to it');
  });

  test('of more commands than can be remembered keeps the agent safe, and lets it start', async () => {
    const folder = join(cluster.dir, 'data', 'busy');
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const audit = AuditLog.open(join(folder, 'audit.jsonl'), { unixMs: () => Date.now() });
    for (let i = 0; i <= 50_000; i++) audit.append({ event: 'start', id: i.toString(16).padStart(32, '0') });
    audit.close();
    const busy = await cluster.start({ name: 'busy', policy });
    const { code, stderr } = await cluster.fanout(['echo hi'], { via: busy });
    expect(code).toBe(5);
    expect(stderr).toContain('too many commands at once');
    await stopProcess(busy.child);
  });
});
