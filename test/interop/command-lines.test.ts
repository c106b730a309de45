import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { TestCluster } from '../support/cluster.ts';
import { eventually, FANOUT, freePort, type Result, runProgram, stopProcess } from '../support/processes.ts';
import { HAS_SERF, RealSerf } from '../support/real-serf.ts';

const NODE = 'node1';
const HANDLER = 'query:hello=echo hi; echo there';

/** Without what may be another each time: addresses, times, the order of tags and of answers. */
function normal(text: string): string {
  return text
    .replace(/127\.0\.0\.1:\d+/g, 'ADDRESS')
    .replace(/"port": \d+/g, '"port": PORT')
    .replace(/\d+\.\d\d sec/g, 'N sec')
    .replace(/\w+=\w+(,\w+=\w+)+/g, (tags) => tags.split(',').sort().join(','))
    .replace(/((?:Ack|Response) from [\s\S]*?\n)(?=Total|Query time)/, (said) =>
      said.split('\n').sort().join('\n'),
    );
}

/** Two agents that are alike, each a cluster of its own: one real, one ours. */
class Pair {
  readonly cluster = new TestCluster();
  real!: RealSerf;
  rpc = '';

  async start(config: Readonly<Record<string, unknown>> = {}): Promise<void> {
    const file = join(this.cluster.dir, 'agent.json');
    writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
    const auth = typeof config.rpc_auth === 'string' ? config.rpc_auth : undefined;
    this.real = await RealSerf.start(NODE, {
      args: ['-tag', 'role=web', '-tag', 'dc=oslo', '-event-handler', HANDLER, '-config-file', file],
      ...(auth === undefined ? {} : { auth }),
    });
    this.rpc = `127.0.0.1:${await freePort()}`;
    const handler = ['--event-handler', HANDLER, '--allow-unsigned-queries'];
    await this.cluster.start({
      name: NODE,
      tags: { role: 'web', dc: 'oslo' },
      encrypt: false,
      args: ['--rpc-addr', this.rpc, '--config-file', file, ...handler],
    });
    await eventually('our agent to answer', async () => (await this.serf(this.rpc, 'version')).code === 0);
  }

  async serf(rpc: string, command: string, ...args: readonly string[]): Promise<Result> {
    const all = [command, ...(command === 'version' ? [] : ['-rpc-addr', rpc]), ...args];
    const result = await runProgram('serf', all);
    // A real agent can tell of acks by nobody in the moment in which a query ends, and its command line believes them.
    return result.stdout.includes("from ''") ? this.serf(rpc, command, ...args) : result;
  }

  fanout(rpc: string, command: string, ...args: readonly string[]): Promise<Result> {
    return this.cluster.fanout([command, '--rpc-addr', rpc, ...args]);
  }

  async stop(): Promise<void> {
    await this.real.stop();
    await this.cluster.stop();
  }
}

/** On a machine that is busy an answer can come too late for a question, to either side: what waits for answers is asked again. */
function inTime(command: string, compared: () => Promise<void>): Promise<void> {
  const waits = command === 'query' || command === 'reachability';
  return waits ? vi.waitFor(compared, { timeout: 20_000 }) : compared();
}

const long = (length: number): string => 'x'.repeat(length);

describe.skipIf(!HAS_SERF)('the real command line gets from our agent what it gets from the real one', () => {
  const pair = new Pair();
  beforeAll(() => pair.start());
  afterAll(() => pair.stop());

  test.each<[string[]]>([
    [['members']],
    [['members', '-detailed']],
    [['members', '-format', 'json']],
    [['members', '-format', 'xml']],
    [['members', '-name', 'node']],
    [['members', '-name', 'node.', '-tag', 'role=w.b', '-status', 'alive|left']],
    [['members', '-tag', 'rack=']],
    [['members', '-status', 'failed', '-format', 'json']],
    [['members', '-role', 'w']],
    [['event', 'deploy', 'v1']],
    [['event', '-coalesce=false', 'deploy']],
    [['event', 'deploy', long(600)]],
    [['event', 'deploy', long(500)]],
    [['query', '-timeout', '500ms', 'hello', 'now']],
    [['query', '-timeout', '500ms', '-format', 'json', 'hello']],
    [['query', '-timeout', '500ms', '-no-ack', 'hello']],
    [['query', '-timeout', '500ms', '-no-ack', '-format', 'json', 'nobody']],
    [['query', '-timeout', '500ms', '-node', 'other', 'hello']],
    [['query', '-timeout', '500ms', '-node', NODE, '-tag', 'role=^w', '-tag', 'dc=o', 'hello']],
    [['query', '-timeout', '500ms', '-tag', 'role=(', 'hello']],
    [['query', '-timeout', '500ms', '-tag', 'rack=^$', 'hello']],
    [['query', '-timeout', '500ms', '-relay-factor', '2', 'hello']],
    [['query', '-timeout', '500ms', 'hello', long(1100)]],
    [['query', '_serf_secret']],
    [['query', '_serf_ping', 'x']],
    [['reachability']],
    [['reachability', '-verbose']],
    [['tags', '-set', 'rack=7', '-delete', 'dc']],
    [['members']],
    [['tags', '-delete', 'rack', '-set', 'dc=oslo']],
    [['rtt', NODE]],
    [['rtt', NODE, NODE]],
    [['rtt', 'nobody']],
    [['keys', '-list']],
    [['keys', '-install', 'MDEyMzQ1Njc4OWFiY2RlZg==']],
    [['keys', '-use', 'MDEyMzQ1Njc4OWFiY2RlZg==']],
    [['keys', '-remove', 'MDEyMzQ1Njc4OWFiY2RlZg==']],
    [['force-leave', 'nobody']],
    [['force-leave', '-prune', 'nobody']],
    [['monitor', '-log-level', 'LOUD']],
  ])('serf %s', async ([command = '', ...args]) => {
    await inTime(command, async () => {
      const [theirs, ours] = await Promise.all([
        pair.serf(pair.real.rpc, command, ...args),
        pair.serf(pair.rpc, command, ...args),
      ]);
      expect({ ...ours, stdout: normal(ours.stdout) }).toEqual({ ...theirs, stdout: normal(theirs.stdout) });
    });
  });

  test('serf info has the same of the cluster, and what is ours beside it', async () => {
    const sections = async (rpc: string): Promise<Record<string, Record<string, string>>> =>
      JSON.parse((await pair.serf(rpc, 'info', '-format', 'json')).stdout);
    const [theirs, ours] = [await sections(pair.real.rpc), await sections(pair.rpc)];
    expect(Object.keys(ours.serf ?? {})).toEqual(Object.keys(theirs.serf ?? {}));
    const { goroutines, ...runtime } = theirs.runtime ?? {};
    expect(goroutines).toBeDefined();
    expect(Object.keys(ours.runtime ?? {})).toEqual(expect.arrayContaining(Object.keys(runtime)));
    expect([ours.tags, ours.event_handlers, ours.agent?.name]).toEqual([
      theirs.tags,
      theirs.event_handlers,
      NODE,
    ]);
    expect(Object.keys(ours)).toEqual(expect.arrayContaining(Object.keys(theirs)));
  });

  test('serf join fails alike, and names who could not be reached', async () => {
    for (const rpc of [pair.real.rpc, pair.rpc]) {
      const { code, stdout } = await pair.serf(rpc, 'join', '127.0.0.1:1');
      expect([code, stdout]).toEqual([
        1,
        expect.stringMatching(/^Error joining the cluster: [\s\S]*127\.0\.0\.1:1/),
      ]);
    }
  });
});

describe.skipIf(!HAS_SERF)('our command line gets from either agent what the real one gets', () => {
  const pair = new Pair();
  beforeAll(() => pair.start());
  afterAll(() => pair.stop());

  test.each<[string[]]>([
    [['members']],
    [['members', '--format', 'json']],
    [['members', '--detailed']],
    [['event', 'deploy', 'v1']],
    [['event', '--no-coalesce', 'deploy']],
    [['query', '--timeout', '500ms', 'hello', 'now']],
    [['query', '--timeout', '500ms', '--format', 'json', 'hello']],
    [['query', '--timeout', '500ms', '--no-ack', '--format', 'json', 'nobody']],
    [['query', '--timeout', '500ms', '--node', NODE, '--tag', 'role=^w', '--relay-factor', '1', 'hello']],
    [['reachability']],
    [['reachability', '--verbose']],
    [['tags', '--set', 'rack=7', '--delete', 'dc']],
    [['tags', '--delete', 'rack', '--set', 'dc=oslo']],
    [['rtt', NODE]],
    [['keys', '--list']],
    [['keys', '--install', 'MDEyMzQ1Njc4OWFiY2RlZg==']],
    [['force-leave', '--prune', 'nobody']],
  ])('fanout %s', async ([command = '', ...args]) => {
    const go = args.map((arg) => (arg === '--no-coalesce' ? '-coalesce=false' : arg));
    await inTime(command, async () => {
      const [theirs, ...both] = await Promise.all([
        pair.serf(pair.real.rpc, command, ...go),
        pair.fanout(pair.real.rpc, command, ...args),
        pair.fanout(pair.rpc, command, ...args),
      ]);
      for (const ours of both)
        expect([ours.code, normal(ours.stdout)]).toEqual([theirs.code, normal(theirs.stdout)]);
    });
  });

  test.each<[string[], RegExp]>([
    [['event', 'deploy', long(600)], /user event exceeds configured limit of 512 bytes before encoding/],
    [['query', 'hello', long(1100)], /query exceeds limit of 1024 bytes/],
    [['query', '_serf_secret'], /Queries cannot contain the '_serf_' prefix/],
    [['join', '127.0.0.1:1'], /127\.0\.0\.1:1/],
    [['rtt', 'nobody'], /Could not find a coordinate for node "nobody"/],
  ])('fanout %s says why it fails', async ([command = '', ...args], reason) => {
    for (const rpc of [pair.real.rpc, pair.rpc]) {
      const { code, stderr } = await pair.fanout(rpc, command, ...args);
      expect([code, stderr]).toEqual([1, expect.stringMatching(reason)]);
    }
  });

  test.each([
    [['query', '--relay-factor', '256', 'x'], /--relay-factor 256/],
    [['query', '--timeout', '5x', 'x'], /--timeout 5x/],
    [['query', '--tag', 'a', 'x'], /--tag a: not of the form/],
    [['tags'], /no tag to set or to delete/],
    [['event'], /missing required argument/],
    [['keys'], /give one of --install/],
    [['keys', '--list', '--use', 'x'], /give one of --install/],
  ])('fanout %s is refused before anybody is asked', async (args, reason) => {
    const { code, stderr } = await pair.cluster.fanout([...args, '--rpc-addr', '127.0.0.1:1']);
    expect([code, stderr]).toEqual([2, expect.stringMatching(reason)]);
  });

  test('SERF_RPC_ADDR counts where nothing of ours is set, and Go’s flags do', async () => {
    const env = { ...pair.cluster.env, SERF_RPC_ADDR: pair.real.rpc };
    const mine = await runProgram(process.execPath, [FANOUT, 'members', '-format=json'], { env });
    expect(JSON.parse(mine.stdout)).toEqual(
      JSON.parse((await pair.real.cli('members', '-format', 'json')).stdout),
    );
  });

  test('fanout version says which protocols it speaks, as serf version does', async () => {
    const [theirs, ours] = [await pair.serf('', 'version'), await pair.cluster.fanout(['version'])];
    expect(ours.stdout.split('\n').slice(1)).toEqual(theirs.stdout.split('\n').slice(1));
    expect(ours.code).toBe(theirs.code);
  });
});

describe.skipIf(!HAS_SERF)('what ends or goes on', () => {
  const pair = new Pair();
  beforeAll(() => pair.start());
  afterAll(() => pair.stop());

  /** Go prints the fields of a map in any order. */
  const USER_EVENT = [
    '\tEvent: "user"\n',
    '\tName: "deploy"\n',
    '\tPayload: []byte{0x76, 0x31}\n',
    '\tLTime: ',
  ];

  /** What a monitor has said when a user event has come by, then it is stopped. */
  async function monitored(rpc: string): Promise<string> {
    const child = spawn('serf', ['monitor', '-rpc-addr', rpc, '-log-level', 'debug']);
    let said = '';
    child.stdout.on('data', (chunk) => {
      said += String(chunk);
    });
    try {
      await eventually('the log', () => /^\d{4}.* \[INFO\] /m.test(said));
      await pair.serf(rpc, 'event', 'deploy', 'v1');
      await eventually(
        () => `the event in:\n${said}`,
        () => said.includes('"deploy"'),
      );
      return said;
    } finally {
      await stopProcess(child, 'SIGKILL');
    }
  }

  test('serf monitor shows log and events of either agent', async () => {
    for (const rpc of [pair.real.rpc, pair.rpc]) {
      const real = await monitored(rpc);
      for (const line of USER_EVENT) expect(real).toContain(line);
    }
  });

  test('leave ends either agent, and says the same', async () => {
    const theirs = await pair.serf(pair.real.rpc, 'leave');
    const ours = await pair.serf(pair.rpc, 'leave');
    expect(ours).toEqual(theirs);
    const [agent] = pair.cluster.agents;
    await eventually('both to end', () => pair.real.child.exitCode === 0 && agent?.child.exitCode === 0);
  });
});

describe.skipIf(!HAS_SERF)('agents that ask for a key', () => {
  const pair = new Pair();
  beforeAll(() => pair.start({ rpc_auth: 'open sesame' }));
  afterAll(() => pair.stop());

  test.each([
    ['the right one', ['-rpc-auth=open sesame']],
    ['a wrong one', ['-rpc-auth=open']],
  ])('the real command line with %s', async (_what, args) => {
    for (const command of ['members', 'info']) {
      const theirs = await pair.serf(pair.real.rpc, command, ...args);
      const ours = await pair.serf(pair.rpc, command, ...args);
      expect(ours.code).toBe(theirs.code);
      if (command === 'members') expect(normal(ours.stdout)).toBe(normal(theirs.stdout));
    }
  });

  test('without one the real command line learns nothing', async () => {
    for (const rpc of [pair.real.rpc, pair.rpc]) {
      const { code, stdout } = await pair.serf(rpc, 'members');
      expect([code, stdout]).toEqual([1, expect.stringContaining('Authentication required')]);
    }
  });

  test('ours takes it from a file, from SERF_RPC_AUTH, or as Serf’s flag', async () => {
    const file = join(pair.cluster.dir, 'rpc.auth');
    writeFileSync(file, 'open sesame\n', { mode: 0o600 });
    for (const rpc of [pair.real.rpc, pair.rpc]) {
      const members = (args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Result> =>
        pair.cluster.fanout(['members', '--rpc-addr', rpc, ...args], { env });
      const all = [
        await members(['--rpc-auth', file]),
        await members([], { FANOUT_RPC_AUTH: file }),
        await members([], { SERF_RPC_AUTH: 'open sesame' }),
        await members(['-rpc-auth=open sesame']),
      ];
      for (const { code, stdout } of all)
        expect([code, normal(stdout)]).toEqual([0, expect.stringContaining(NODE)]);
      const without = await members([]);
      expect([without.code, without.stderr]).toEqual([1, expect.stringContaining('Authentication required')]);
      const wrong = await members([], { SERF_RPC_AUTH: 'x' });
      expect([wrong.code, wrong.stderr]).toEqual([
        1,
        expect.stringContaining('Invalid authentication token'),
      ]);
    }
  });

  test('a file that others can read is no place for it', async () => {
    const file = join(pair.cluster.dir, 'open.auth');
    writeFileSync(file, 'open sesame\n', { mode: 0o644 });
    const { code, stderr } = await pair.cluster.fanout([
      'members',
      '--rpc-auth',
      file,
      '--rpc-addr',
      pair.rpc,
    ]);
    expect([code, stderr]).toEqual([2, expect.stringContaining('chmod 600')]);
  });
});
