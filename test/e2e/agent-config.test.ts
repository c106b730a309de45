import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { connectAgent } from '../../src/asker/connect.ts';
import { TestCluster } from '../support/cluster.ts';
import { eventually, FANOUT, freePort, type Result, runProgram, stopProcess } from '../support/processes.ts';

interface Running {
  readonly child: ChildProcess;
  readonly log: () => string;
  readonly stdout: () => string;
}

/** Node takes signals from the moment that it prints this. */
const IS_UP = 'fanout agent running';

describe('an agent told by files', () => {
  let cluster: TestCluster;
  let running: Running[] = [];

  beforeEach(() => {
    cluster = new TestCluster();
  });
  afterEach(async () => {
    await Promise.all(running.map(({ child }) => stopProcess(child)));
    running = [];
    await cluster.stop();
  });

  const path = (name: string): string => join(cluster.dir, name);

  function write(name: string, text: string, mode = 0o600): string {
    writeFileSync(path(name), text);
    chmodSync(path(name), mode);
    return path(name);
  }

  /** What every agent of these tests has; lines of a file. */
  function base(name: string): string {
    return [
      `node_name: ${name}`,
      'bind: 127.0.0.1:0',
      `rpc_addr: ${path(`${name}.sock`)}`,
      `data_dir: ${path(`data-${name}`)}`,
      `encrypt_file: ${path('cluster.key')}`,
      '',
    ].join('\n');
  }

  async function start(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Running> {
    const child = spawn(process.execPath, [FANOUT, 'agent', ...args], {
      env: { ...cluster.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [log, stdout] = ['', ''];
    child.stderr.on('data', (chunk) => {
      log += String(chunk);
    });
    child.stdout.on('data', (chunk) => {
      stdout += String(chunk);
    });
    const agent = { child, log: () => log, stdout: () => stdout };
    running.push(agent);
    await eventually(
      () => `the agent to start; it said:\n${log}`,
      () => {
        // One that soon gives up may have ended already: it was up.
        if (stdout.includes(IS_UP)) return true;
        if (child.exitCode !== null) throw new Error(`the agent stopped:\n${log}`);
        return false;
      },
    );
    return agent;
  }

  const gossipOf = ({ stdout }: Running): string => /gossip:\s+(\S+:\d+)/.exec(stdout())?.[1] ?? '';
  /** Its last words can come after its exit code. */
  const exited = ({ child }: Running): Promise<number | null> =>
    eventually('the agent to end', () => {
      const isOver = (child.exitCode ?? child.signalCode) !== null;
      const isHeard = child.stdout?.readableEnded !== false && child.stderr?.readableEnded !== false;
      return isOver && isHeard && { code: child.exitCode };
    }).then(({ code }) => code);

  async function membersOf(
    name: string,
  ): Promise<Record<string, { status: string; tags: Record<string, string> }>> {
    const client = await connectAgent({ path: path(`${name}.sock`) });
    try {
      const members = await client.members();
      return Object.fromEntries(
        members.map(({ name: of, status, tags }) => [of, { status, tags: Object.fromEntries(tags) }]),
      );
    } finally {
      client.close();
    }
  }

  const tagsOf = async (name: string): Promise<unknown> => (await membersOf(name))[name]?.tags;
  const check = (...args: string[]): Promise<Result> =>
    runProgram(process.execPath, [FANOUT, 'agent', '--check-config', ...args], { env: cluster.env });

  test('runs as files and flags together say, and finds its cluster by FANOUT_JOIN', async () => {
    const one = await start([
      '--config-file',
      write('one.yaml', `${base('one')}tags: { role: web, dc: oslo }\n`),
    ]);
    const json = JSON.stringify({ node_name: 'two', tags: { role: 'db', rack: '7' }, log_level: 'DEBUG' });
    await start(
      [
        '-config-file',
        write('two.yaml', base('two')),
        '-config-file',
        write('two.json', json),
        '-tag',
        'rack=8',
      ],
      { FANOUT_JOIN: gossipOf(one) },
    );
    await eventually('two members', async () => Object.keys(await membersOf('one')).length === 2);
    expect(await membersOf('one')).toEqual({
      one: { status: 'alive', tags: { role: 'web', dc: 'oslo' } },
      two: { status: 'alive', tags: { role: 'db', rack: '8' } },
    });
  });

  test('a join that reaches nobody ends the agent, all addresses tried', async () => {
    const [a, b] = [`127.0.0.1:${await freePort()}`, `localhost:${await freePort()}`];
    const agent = await start(['--config-file', write('a.yaml', base('a')), `-join=${a}`, '-join', b]);
    expect(await exited(agent)).toBe(1);
    expect(agent.log()).toContain(a);
    expect(agent.log()).toMatch(/could not join the cluster through any of/);
    expect(agent.log()).toContain(b.split(':')[1]);
  });

  test('a retried join waits for whoever comes later', async () => {
    const port = await freePort();
    const retry = `retry_join: ["127.0.0.1:${port}"]\nretry_interval: 1s\n`;
    const early = await start(['--config-file', write('early.yaml', base('early') + retry)]);
    await eventually('a try in vain', () => early.log().includes('nobody could be joined'));
    await start(['--config-file', write('late.yaml', base('late')), `--bind=127.0.0.1:${port}`]);
    await eventually('both', async () => Object.keys(await membersOf('late')).length === 2);
    expect(early.log()).toMatch(/joined through 1 member/);
  });

  test('and gives up after the number of tries that it may make', async () => {
    const retry = ['--retry-join', `127.0.0.1:${await freePort()}`, '--retry-interval=1s', '--retry-max=1'];
    const agent = await start(['--config-file', write('a.yaml', base('a')), ...retry]);
    expect(await exited(agent)).toBe(1);
    expect(agent.log()).toMatch(/nobody could be joined in 2 tries/);
  });

  test('SIGHUP takes over tags, log level and what signals do; a broken file changes nothing', async () => {
    const file = write('a.yaml', `${base('a')}tags: { role: web }\nlog_level: warn\n`);
    const agent = await start(['--config-file', file, '-tag', 'rack=1']);
    const client = await connectAgent({ path: path('a.sock') });
    await client.tags(new Map([['extra', 'x']]));
    expect(await tagsOf('a')).toEqual({ role: 'web', rack: '1', extra: 'x' });

    write('a.yaml', `${base('a')}tags: { role: db }\nlog_level: nonsense\n`);
    agent.child.kill('SIGHUP');
    await eventually('the complaint', () => /not reloaded.*a\.yaml:\d+: log_level/.test(agent.log()));
    expect(await tagsOf('a')).toEqual({ role: 'web', rack: '1', extra: 'x' });

    write(
      'a.yaml',
      `${base('a').replace('127.0.0.1:0', '127.0.0.2:0')}tags: { role: db }\nlog_level: debug\nleave_on_terminate: true\n`,
    );
    agent.child.kill('SIGHUP');
    await eventually('the reload', () => agent.log().includes('configuration reloaded'));
    // As Serf: what the configuration says replaces all tags.
    expect(await tagsOf('a')).toEqual({ role: 'db', rack: '1' });
    expect(agent.log()).toMatch(/in force from the next start on: bind\n/);
    client.close();

    agent.child.kill('SIGTERM');
    expect(await exited(agent)).toBe(0);
    expect(agent.log()).toContain('leaving the cluster');
  });

  test.each([
    ['SIGINT', '', 0, 'left'],
    ['SIGINT', 'skip_leave_on_interrupt: true\n', 1, 'failed'],
    ['SIGTERM', '', 1, 'failed'],
    ['SIGTERM', 'leave_on_terminate: true\n', 0, 'left'],
  ] as const)('%s with "%s" ends with %i, and the others see it %s', async (signal, lines, code, status) => {
    const one = await start(['--config-file', write('one.yaml', base('one')), '--profile=local']);
    const two = await start([
      '--config-file',
      write('two.yaml', base('two') + lines),
      `--join=${gossipOf(one)}`,
    ]);
    await eventually('both', async () => Object.keys(await membersOf('two')).length === 2);
    two.child.kill(signal);
    expect(await exited(two)).toBe(code);
    await eventually(`one to see ${status}`, async () => (await membersOf('one')).two?.status === status);
  });

  test('a tags file keeps what was changed, also over a start and SIGHUP', async () => {
    const tags = path('tags.json');
    const file = write('a.yaml', `${base('a')}tags_file: ${tags}\n`);
    const agent = await start(['--config-file', file]);
    const client = await connectAgent({ path: path('a.sock') });
    await client.tags(
      new Map([
        ['role', 'web'],
        ['dc', 'oslo'],
      ]),
    );
    await client.tags(new Map([['role', 'db']]), ['dc']);
    expect(readFileSync(tags, 'utf8')).toBe('{\n  "role": "db"\n}');
    expect(statSync(tags).mode & 0o777).toBe(0o600);
    // What does not fit is refused, and kept nowhere.
    await expect(client.tags(new Map([['big', 'x'.repeat(600)]]))).rejects.toThrow(/512/);
    client.close();
    agent.child.kill('SIGHUP');
    await eventually('the reload', () => agent.log().includes('configuration reloaded'));
    expect(await tagsOf('a')).toEqual({ role: 'db' });
    await stopProcess(agent.child);
    await start(['--config-file', file]);
    expect(await tagsOf('a')).toEqual({ role: 'db' });
    expect((await check('--config-file', file, '-tag', 'a=b')).stderr).toMatch(/tags_file.*exclude/);
    write('tags.json', '{"role": 7}');
    expect((await check('--config-file', file)).stderr).toMatch(/not a JSON object of texts[\s\S]*rm /);
  });

  test('--check-config shows what would be in force, and no secret', async () => {
    await cluster.operator();
    const policy = cluster.addPolicy(
      'p',
      '  - { id: look, effect: allow, operators: [alice], commands: [{ program: uptime, argv: [] }] }\n',
    );
    const key = 'cg8StVXbQJ0gPvMd9o7yrg==';
    const open = write('a.json', JSON.stringify({ encrypt_key: key, statsite_addr: 'x:1', policy }), 0o644);
    const all = await check(
      '--config-file',
      open,
      '--node=web1',
      '--bind=localhost:7000',
      '--data-dir=/nowhere/at/all',
    );
    expect(all.code).toBe(0);
    expect(all.stdout + all.stderr).not.toContain(key);
    expect(all.stdout).toContain(`# read: ${open}\n# policy: 1 rules`);
    expect(all.stdout).toMatch(/^node_name: web1$/m);
    expect(all.stdout).toMatch(/^bind: 127.0.0.1:7000$/m);
    expect(all.stdout).toMatch(/^encrypt_key: \(set, not shown\)$/m);
    expect(all.stderr).toMatch(/statsite_addr is not supported/);
    expect(all.stderr).toContain(`chmod 600 ${open}`);
  });

  test.each<[string, string[], RegExp]>([
    ['a key that is none', ['-encrypt=short'], /key/],
    ['two keys', ['-encrypt=cg8StVXbQJ0gPvMd9o7yrg==', '--encrypt-file=/x'], /exclude each other/],
    ['tags above 512 bytes', ['-tag', `a=${'x'.repeat(600)}`], /512/],
    ['a policy that is not there', ['--policy=/nowhere.yaml'], /cannot read the policy/],
    ['an address that is none', ['-bind=10.0.0.300'], /bind 10.0.0.300: not an address/],
    ['an interface that is none', ['-iface=wlan77'], /wlan77[\s\S]*There are: .*lo/],
    [
      'an interface without this address',
      ['-iface=lo', '-bind=10.1.2.3'],
      /lo" does not have the address 10.1.2.3[\s\S]*127.0.0.1/,
    ],
    ['a file that is not there', ['-config-file=/nowhere.json'], /no such file/],
    ['a name that is none', ['-config-file=NAME', '-node=a_b'], /a_b/],
    ['discovery of neither family', ['-discover=x', '-mdns-disable-ipv4', '-mdns-disable-ipv6'], /exclude/],
    [
      'an event handler that is a shell',
      ['-event-handler=query:ssh=/bin/sh'],
      /is a shell: whoever holds the cluster key/,
    ],
    [
      'an event handler for what is no event',
      ['-event-handler=foo=x.sh'],
      /Invalid event script: Event 'foo' invoking 'x.sh'/,
    ],
  ])('%s is found by --check-config, and by a start', async (_what, args, message) => {
    const made: Record<string, string> = {
      NAME: write('name.yaml', 'validate_node_names: true'),
      AUTH: write('auth.yaml', 'rpc_auth: x'),
    };
    const given = args.map((arg) => arg.replace(/NAME|AUTH/, (word) => made[word] ?? ''));
    const places = ['--data-dir', path('data'), '--rpc-addr', path('x.sock')];
    const [checked, started] = await Promise.all([
      check(...places, ...given),
      runProgram(process.execPath, [FANOUT, 'agent', ...places, ...given], { env: cluster.env }),
    ]);
    for (const { code, stderr } of [checked, started]) {
      expect(stderr).toMatch(message);
      expect(code).toBe(2);
    }
  });

  test('the log as JSON has an object a line, whatever stands in it', async () => {
    const agent = await start([
      '--config-file',
      write('a.yaml', base('a')),
      '--log-format=json',
      '--log-level=debug',
    ]);
    const client = await connectAgent({ path: path('a.sock') });
    await client.tags(new Map([['odd', 'x']]));
    client.close();
    await eventually('a line', () => agent.log().includes('\n'));
    for (const line of agent.log().trimEnd().split('\n')) {
      expect(JSON.parse(line)).toEqual({
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
        level: expect.stringMatching(/^(debug|info|warn|error)$/),
        subsystem: 'agent',
        message: expect.any(String),
      });
    }
  });

  test('a control address that others can reach is warned of', async () => {
    const open = await start(['--config-file', write('a.yaml', base('a')), '-rpc-addr=0.0.0.0:0']);
    await eventually('the warning', () => /whoever reaches 0\.0\.0\.0:\d+ can/.test(open.log()));
    const closed = await start(['--config-file', write('b.yaml', base('b')), '-rpc-addr=127.0.0.1:0']);
    expect(closed.log()).not.toContain('whoever reaches');
  });
});
