import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type AgentProcess, TestCluster } from '../support/cluster.ts';
import { eventually, FANOUT, freePort, type Result, stopProcess } from '../support/processes.ts';
import { HAS_SERF, RealSerf } from '../support/real-serf.ts';

const RULES = `
  - id: basics
    effect: allow
    commands:
      - { program: echo, positionals: { max: 60, match: ["any:4096"] } }
      - { program: sleep, argv: ["int:1..1000"] }
      - { program: seq, argv: ["int:1..100000"] }
`;

interface Beside extends AgentProcess {
  readonly serf: RealSerf;
}

/** An agent of ours beside a real Serf agent. */
async function startBeside(
  cluster: TestCluster,
  serf: RealSerf,
  options: { policy?: string; tags?: Readonly<Record<string, string>>; args?: readonly string[] } = {},
): Promise<Beside> {
  const name = serf.name;
  const control = join(cluster.dir, `${name}.sock`);
  const dataDir = join(cluster.dir, 'data', name);
  const args = [FANOUT, 'agent', '--engine', 'serf', '--rpc-addr', serf.rpc, '--control-addr', control];
  args.push('--bind', '127.0.0.1:0', '--data-dir', dataDir, '--log-level', 'debug');
  for (const [tag, value] of Object.entries(options.tags ?? {})) args.push('--tag', `${tag}=${value}`);
  if (options.policy !== undefined) args.push('--policy', options.policy);
  const child = spawn(process.execPath, [...args, ...(options.args ?? [])], { env: cluster.env });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      log += String(chunk);
    });
  }
  const gossip = await eventually(
    () => `the agent beside ${name}; it said:\n${log}`,
    () => {
      if (child.exitCode !== null) throw new Error(`the agent beside ${name} stopped:\n${log}`);
      return /streams:\s+(\S+:\d+)/.exec(log)?.[1];
    },
  );
  const agent = { name, child, gossip, control, dataDir, log: () => log, serf };
  cluster.agents.push(agent);
  return agent;
}

describe.skipIf(!HAS_SERF)('an agent beside a real Serf agent', () => {
  const cluster = new TestCluster();
  const serfs: RealSerf[] = [];
  const keyFile = join(cluster.dir, 'cluster.key');
  let web1: Beside;
  let web2: Beside;
  let own: AgentProcess;
  let policy: string;

  beforeAll(async () => {
    await cluster.operator();
    policy = cluster.addPolicy('policy', RULES);
    const first = await RealSerf.start('web1', { key: cluster.key, args: ['-tag', 'dc=oslo'] });
    serfs.push(first);
    serfs.push(await RealSerf.start('web2', { key: cluster.key, join: first.gossip }));
    const args = ['--encrypt-file', keyFile];
    web1 = await startBeside(cluster, first, { policy, tags: { role: 'web' }, args });
    web2 = await startBeside(cluster, serfs[1]!, { policy, tags: { role: 'web' }, args });
    own = await cluster.start({ name: 'own', tags: { role: 'web' }, policy, join: first.gossip });
    await Promise.all([web1, web2, own].map((via) => cluster.complete(3, via)));
    for (const via of [web1, web2, own]) {
      await eventually('all to be web', async () => {
        const seen = await cluster.fanout(['members', '--tag', 'role=web', '--format', 'json'], { via });
        return seen.stdout.split('"name"').length === 4;
      });
    }
  });

  afterAll(async () => {
    await cluster.stop();
    for (const serf of serfs) await serf.stop();
  });

  test.each([0, 1, 2])('runs a command on all, whoever is asked (%i)', async (i) => {
    const via = [web1, web2, own][i]!;
    const run = await cluster.fanout(['--tag', 'role=web', '--format', 'ndjson', '--', 'echo', 'hello'], {
      via,
    });
    expect(run.code, run.stderr).toBe(0);
    const exits = run.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { event: string; node?: string; code?: number })
      .filter(({ event }) => event === 'exit');
    expect(exits.map(({ node, code }) => [node, code]).sort()).toEqual([
      ['own', 0],
      ['web1', 0],
      ['web2', 0],
    ]);
  });

  test('passes on more output than fits into any query, from each to each', async () => {
    for (const via of [web1, own]) {
      const run = await cluster.fanout(['-w', 'web2', '--', 'seq', '20000'], { via });
      expect(run.code, run.stderr).toBe(0);
      expect(run.stdout.split('\n').length).toBeGreaterThan(20_000);
    }
  });

  test('takes and sends a command that is too long for a query', async () => {
    const word = 'x'.repeat(900);
    const serf = await RealSerf.start('long', { key: cluster.key, join: serfs[0]!.gossip });
    serfs.push(serf);
    const long = await startBeside(cluster, serf, { policy, args: ['--encrypt-file', keyFile] });
    for (const via of [web1, own, long]) {
      await cluster.complete(4, via);
      const run = await cluster.fanout(['-w', 'long', '--', 'echo', word], { via });
      expect([run.code, run.stdout.includes(word)], run.stderr).toEqual([0, true]);
    }
    await stopProcess(long.child);
    // With a farewell that all have heard: what comes next must not meet somebody who is about to be taken for failed.
    await serf.cli('leave');
    await serf.stop();
    await Promise.all(serfs.slice(0, 2).map((one) => one.sees('long', 'left')));
    await eventually('own to see long go', async () => {
      const left = await cluster.fanout(['members', '--status', 'left', '--node', 'long'], { via: own });
      return left.stdout.includes('long');
    });
  });

  test('refuses what its policy does not allow, and runs no unsigned query', async () => {
    const run = await cluster.fanout(['-w', 'web1,web2', 'id'], { via: web1 });
    expect(run.code).not.toBe(0);
    expect(run.stdout + run.stderr).toContain('web2');
    const forged = await web1.serf.cli('query', '-timeout', '1s', '-format', 'json', 'fanout', 'id');
    expect(JSON.parse(forged.stdout)).toMatchObject({ Responses: {} });
    await eventually('the forgery to be ignored', () => web2.log().includes('ignored a fanout query'));
  });

  test('kills what runs when the asker goes away', async () => {
    const child = spawn(process.execPath, [FANOUT, '-w', 'web2', '--', 'sleep', '59'], {
      env: { ...cluster.env, FANOUT_RPC_ADDR: web1.control },
    });
    const shown = async (): Promise<string> =>
      (await cluster.fanout(['audit', 'show', join(web2.dataDir, 'audit.jsonl')])).stdout;
    await eventually('the command to run', async () => (await shown()).includes('sleep 59'));
    await stopProcess(child, 'SIGINT');
    await eventually('its end', async () => (await shown()).includes('cancelled'));
  });

  test('answers Serf’s own command line and ours as the Serf agent does', async () => {
    const members = async (at: string): Promise<unknown> => {
      const { stdout } = await cluster.fanout(['members', '--format', 'json'], {
        env: { FANOUT_RPC_ADDR: at },
      });
      return JSON.parse(stdout);
    };
    expect(await members(web1.control)).toEqual(await members(web1.serf.rpc));
    expect((await cluster.fanout(['event', 'deploy', 'v1'], { via: web1 })).code).toBe(0);
    expect((await cluster.fanout(['query', 'nobody', '--timeout', '500ms'], { via: web1 })).code).toBe(0);
    expect((await cluster.fanout(['rtt', 'web1', 'web2'], { via: web1 })).stdout).toContain('ms');
    expect((await cluster.fanout(['info'], { via: web1 })).stdout).toContain('limits');
    expect((await cluster.fanout(['keys', '--list'], { via: web1 })).code).toBe(0);
    const refused = await cluster.fanout(['event', 'x'.repeat(600)], { via: web1 });
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('exceeds')]);
  });

  test('waits for a Serf agent that was killed, and is there again with it', async () => {
    const { serf } = web2;
    await serf.stop();
    await eventually('the loss to be told', () => web2.log().includes('the Serf agent is gone'));
    const run = await cluster.fanout(['-w', 'web1', '--', 'echo', 'hi'], { via: web2 });
    expect(run.code).not.toBe(0);
    const again = spawn('serf', [
      ...['agent', '-node', 'web2', '-bind', serf.gossip, '-rpc-addr', serf.rpc],
      ...['-encrypt', cluster.key, '-join', web1.serf.gossip],
    ]);
    try {
      await eventually('it to be back', () => web2.log().includes('the Serf agent is back'));
      await eventually(
        'a run to reach it',
        async () => (await cluster.fanout(['-w', 'web2', '--', 'echo', 'hi'], { via: web1 })).code === 0,
      );
    } finally {
      await stopProcess(again, 'SIGKILL');
    }
  });

  test('lets go of it at the end: no port is announced any more, and it stays a member', async () => {
    await stopProcess(web1.child, 'SIGINT');
    const [member] = (await web1.serf.members()).filter(({ name }) => name === 'web1');
    expect(member).toMatchObject({ status: 'alive', tags: { dc: 'oslo', role: 'web' } });
    expect(member?.tags).not.toHaveProperty('fanout_port');
  });
});

describe.skipIf(!HAS_SERF)('what an agent beside Serf is told wrongly', () => {
  const cluster = new TestCluster();
  afterAll(() => cluster.stop());

  const refused = async (...args: string[]): Promise<Result> =>
    cluster.fanout(['agent', '--bind', '127.0.0.1:0', '--data-dir', join(cluster.dir, 'x'), ...args]);

  test('says so, with the way out', async () => {
    const nobody = `127.0.0.1:${await freePort()}`;
    const gone = await refused('--engine', 'serf', '--rpc-addr', nobody);
    expect([gone.code, gone.stderr]).toEqual([
      expect.any(Number),
      expect.stringContaining('no Serf agent answers at'),
    ]);
    expect(gone.code).not.toBe(0);
    const join = await refused('--engine', 'serf', '--rpc-addr', nobody, '--join', '10.0.0.1');
    expect(join.stderr).toContain('the Serf agent does the gossip');
    const control = await refused('--control-addr', '/tmp/x.sock');
    expect(control.stderr).toContain('--rpc-addr');
    const serf = await RealSerf.start('named', { args: [] });
    const other = await refused('--engine', 'serf', '--rpc-addr', serf.rpc, '--node', 'other');
    await serf.stop();
    expect(other.stderr).toContain('calls itself "named"');
  });
});
