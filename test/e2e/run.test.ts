import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type AgentProcess, TestCluster } from '../support/cluster.ts';
import { eventually, FANOUT, processesRunning, runProgram, stopProcess } from '../support/processes.ts';

const RULES = `
  - id: basics
    effect: allow
    operators: ["group:sre"]
    dangerous: files of the system, on a machine of tests
    commands:
      - { program: ps, argv: [[ax, "-ef"]] }
      - { program: echo, positionals: { max: 60, match: ["any:4096"] } }
      - { program: "true", argv: [] }
      - { program: "false", argv: [] }
      - { program: sleep, argv: ["int:1..1000"] }
      - { program: head, argv: ["-c", "int:1..1000000000", /dev/zero] }
      - { program: cat, positionals: { min: 1, max: 2, match: ["path:/etc/**"] } }
      - { program: no-such-program, argv: [] }
`;
const NO_PS = `
  - { id: no-ps, effect: deny, why: customer names in command lines, programs: [ps] }
`;

interface Event {
  readonly event: string;
  readonly node?: string;
  readonly [key: string]: unknown;
}

function events(ndjson: string): Event[] {
  return ndjson
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Event);
}

describe('a run on a five-node encrypted cluster', () => {
  const cluster = new TestCluster();
  let web1: AgentProcess;

  beforeAll(async () => {
    await cluster.operator();
    const policy = cluster.addPolicy('open', RULES);
    const noPs = cluster.addPolicy('no-ps', NO_PS + RULES);
    web1 = await cluster.start({ name: 'web1', tags: { role: 'web' }, policy });
    for (const name of ['web2', 'web3'])
      await cluster.start({ name, tags: { role: 'web' }, policy, join: web1.gossip });
    await cluster.start({ name: 'web4', tags: { role: 'web' }, policy: noPs, join: web1.gossip });
    await cluster.start({ name: 'db1', tags: { role: 'db' }, policy, join: web1.gossip });
    await cluster.complete(5);
  });

  afterAll(() => cluster.stop());

  test('ps ax streams in whole from every web member, and the one that refuses says so', async () => {
    const run = await cluster.fanout(['ps ax', '--tag', 'role=web']);
    for (const node of ['web1', 'web2', 'web3']) {
      const lines = run.stdout.split('\n').filter((line) => line.startsWith(`${node}: `));
      expect(lines[0]).toMatch(/PID\s+TTY/);
      expect(lines.length, 'the whole process list of this machine').toBeGreaterThan(20);
      expect(lines.some((line) => line.includes('ps ax'))).toBe(true);
    }
    expect(run.stdout).not.toMatch(/^(web4|db1):/m);
    expect(run.stderr).toMatch(/web4.*no-ps.*customer names/);
    expect(run.code).toBe(5);
  });

  test('both ways to give a command mean the same', async () => {
    const quoted = await cluster.fanout(['echo "a b" c', '--node', 'db1']);
    const dashed = await cluster.fanout(['--node', 'db1', '--', 'echo', 'a b', 'c']);
    expect(quoted.stdout).toBe('db1: a b c\n');
    expect(dashed.stdout).toBe(quoted.stdout);
    expect([quoted.code, dashed.code]).toEqual([0, 0]);
  });

  test('the exit code tells what happened', async () => {
    const code = async (...args: string[]): Promise<number | null> => (await cluster.fanout(args)).code;
    expect(await code('true')).toBe(0);
    expect(await code('false', '--tag', 'role=db')).toBe(1);
    expect(await code('true | false')).toBe(2);
    expect(await code('true', '--tag', 'role=nobody')).toBe(3);
    expect(await code('id')).toBe(5);
    expect(await code('--timeout', 'soon', '--', 'true')).toBe(2);
    expect(await code('no-such-program', '--node', 'db1')).toBe(4);
    const nobody = await runProgram(
      process.execPath,
      [FANOUT, '--rpc-addr', join(cluster.dir, 'none.sock'), '--', 'true'],
      { env: cluster.env },
    );
    expect(nobody.code).toBe(69);
    expect(nobody.stderr).toContain('no agent answers');
  });

  test('NDJSON has every event, and one object with --format json has them all', async () => {
    const run = await cluster.fanout(['echo hello', '--tag', 'role=web', '--format', 'ndjson']);
    const all = events(run.stdout);
    for (const node of ['web1', 'web2', 'web3', 'web4']) {
      const kinds = all.filter((event) => event.node === node).map(({ event }) => event);
      expect(kinds).toEqual(expect.arrayContaining(['accepted', 'stdout', 'exit']));
      expect(kinds.indexOf('accepted')).toBeLessThan(kinds.indexOf('stdout'));
      expect(kinds.indexOf('stdout')).toBeLessThan(kinds.indexOf('exit'));
    }
    expect(all.at(-1)?.event).toBe('summary');
    const json = JSON.parse((await cluster.fanout(['echo hello', '--format', 'json'])).stdout) as unknown;
    expect(JSON.stringify(json)).toContain('hello');
  });

  test('stdout and stderr stay apart, and a failing command has its own code', async () => {
    const run = await cluster.fanout(['cat /etc/ssl', '--node', 'web1']);
    expect(run.stdout).toBe('');
    expect(run.stderr).toContain('web1: /usr/bin/cat: /etc/ssl: Is a directory');
    expect(run.code).toBe(1);
  });

  test('a command too long for a query is fetched by the nodes', async () => {
    const words = Array.from({ length: 40 }, (_, i) => `word-${i}-${'x'.repeat(60)}`);
    const run = await cluster.fanout(['--tag', 'role=web', '--', 'echo', ...words]);
    expect(run.code).toBe(0);
    for (const node of ['web1', 'web2', 'web3', 'web4']) {
      expect(run.stdout.includes(`${node}: ${words.join(' ')}\n`), node).toBe(true);
    }
  });

  test('several runs at once do not mix', async () => {
    const runs = await Promise.all([1, 2, 3, 4].map((i) => cluster.fanout([`echo run-${i}`])));
    for (const [i, run] of runs.entries()) {
      expect(run.stdout.trim().split('\n').sort()).toEqual(
        ['db1', 'web1', 'web2', 'web3', 'web4'].map((node) => `${node}: run-${i + 1}`),
      );
    }
  });

  test('at the timeout everything is killed and everybody is named', async () => {
    const run = await cluster.fanout(['sleep 311', '--tag', 'role=web', '--timeout', '1s']);
    expect(run.code).toBe(4);
    for (const node of ['web1', 'web2', 'web3', 'web4']) expect(run.stderr).toContain(node);
    expect(run.stderr).toMatch(/timed[ -]out/);
    expect(processesRunning('sleep', '311')).toEqual([]);
  });

  /** Starts a command and waits until it runs on the given number of nodes. */
  async function startLong(
    seconds: string,
    count: number,
    ...args: string[]
  ): Promise<ReturnType<typeof spawn>> {
    const child = spawn(
      process.execPath,
      [FANOUT, '--rpc-addr', web1.control, ...args, '--', 'sleep', seconds],
      {
        env: cluster.env,
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    await eventually(`${count} sleeps`, () => processesRunning('sleep', seconds).length === count);
    return child;
  }

  test.each(['SIGINT', 'SIGTERM'] as const)(
    '%s kills what runs on the nodes and ends with 130',
    async (signal) => {
      const child = await startLong('322', 4, '--tag', 'role=web');
      let said = '';
      child.stderr?.on('data', (chunk) => {
        said += String(chunk);
      });
      const code = new Promise((resolve) => child.once('close', resolve));
      child.kill(signal);
      expect(await code).toBe(130);
      expect(said).toMatch(/cancelled/);
      expect(processesRunning('sleep', '322')).toEqual([]);
    },
  );

  test('when the asker dies, what it started dies', async () => {
    const child = await startLong('333', 4, '--tag', 'role=web');
    child.kill('SIGKILL');
    await eventually('the sleeps to be gone', () => processesRunning('sleep', '333').length === 0);
  });

  test("a member's changed key is a loud error, and nothing runs there", async () => {
    const policy = join(cluster.dir, 'open.yaml');
    const old = await cluster.start({ name: 'api1', tags: { role: 'api' }, policy, join: web1.gossip });
    await cluster.complete(6);
    expect((await cluster.fanout(['true', '--node', 'api1'])).code).toBe(0);
    await stopProcess(old.child, 'SIGKILL');
    rmSync(join(old.dataDir, 'node.key'));
    const back = await cluster.start({
      name: 'api1',
      tags: { role: 'api' },
      policy,
      join: web1.gossip,
      args: ['--bind', old.gossip],
    });
    await cluster.complete(6, back);
    const run = await cluster.fanout(['sleep 344', '--node', 'api1']);
    expect(run.code).toBe(7);
    expect(run.stderr).toMatch(/key of "?api1"? has changed/);
    expect(processesRunning('sleep', '344')).toEqual([]);
  });

  test('a member that is there but silent is named as unreachable', async () => {
    const frozen = cluster.agents.find(({ name }) => name === 'db1');
    frozen?.child.kill('SIGSTOP');
    const run = await cluster.fanout(['true', '--node', 'db1', '--timeout', '1s']);
    frozen?.child.kill('SIGCONT');
    expect(run.code).toBe(4);
    expect(run.stderr).toMatch(/db1.*never acknowledged/);
  });

  test('when the agent of the asker dies, the run ends and says so', async () => {
    const asker = await cluster.start({ name: 'asker', join: web1.gossip, args: ['--env', 'test'] });
    await cluster.complete(7, asker);
    const child = spawn(
      process.execPath,
      [FANOUT, '--rpc-addr', asker.control, '--tag', 'role=web', '--', 'sleep', '355'],
      {
        env: cluster.env,
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    );
    let said = '';
    child.stderr.on('data', (chunk) => {
      said += String(chunk);
    });
    const code = new Promise((resolve) => child.once('close', resolve));
    await eventually('the sleeps', () => processesRunning('sleep', '355').length === 4);
    asker.child.kill('SIGKILL');
    expect(await code).toBe(4);
    expect(said).toMatch(/lost/);
    await eventually('the sleeps to be gone', () => processesRunning('sleep', '355').length === 0);
  });
});
