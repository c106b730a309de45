import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { probeAbilities } from '../../src/runtime/abilities-probe.ts';
import { testWhere } from '../support/applies.ts';
import { type AgentProcess, TestCluster } from '../support/cluster.ts';
import {
  eventually,
  FANOUT,
  processesRunning,
  type Result,
  runProgram,
  stopProcess,
} from '../support/processes.ts';

const { groupHome } = await probeAbilities([]);

const RULES = `
  - { id: sleep, effect: allow, operators: [alice], commands: [{ program: sleep, argv: ["int:1..1000"] }] }
  - { id: look, effect: allow, operators: [alice], readOnly: true, commands: [{ program: echo, argv: ["any:100"] }] }
  - { id: seldom, effect: allow, operators: [alice], limits: { rate: 2/h }, commands: [{ program: uname, argv: [] }] }
  - { id: env, effect: allow, operators: [alice], env: { APP: "a b" }, cwd: /usr, commands: [{ program: printenv, argv: [APP] }, { program: pwd, argv: [] }] }
  - { id: hog, effect: allow, operators: [alice], dangerous: tests, limits: { memory: 32MiB }, commands: [{ program: dd, argv: [if=/dev/zero, of=/dev/null, bs=128M, count=1] }] }
`;

describe('an agent', () => {
  const cluster = new TestCluster();
  let policy: string;
  let agent: AgentProcess;
  const start = (...args: string[]): Promise<AgentProcess> => cluster.start({ name: 'web1', policy, args });
  const fanout = (command: string, ...args: string[]): Promise<Result> =>
    cluster.fanout([command, '--node', 'web1', '--timeout', '30s', ...args], { via: agent });

  /** Starts `sleep 999` and waits until it runs. */
  async function running(): Promise<{ ended: Promise<Result> }> {
    const ended = fanout('sleep 999');
    await eventually('the command to start', () =>
      readFileSync(join(agent.dataDir, 'audit.jsonl'), 'utf8').trim().split('\n').at(-1)?.includes('"start"'),
    );
    // It is recorded before it is started.
    await eventually('the command to run', () => processesRunning('sleep', '999').length > 0);
    return { ended };
  }

  beforeAll(async () => {
    await cluster.operator();
    policy = cluster.addPolicy('policy', RULES);
    agent = await start();
  });
  afterAll(() => cluster.stop());

  test('runs a command in the surroundings of its rule', async () => {
    expect((await fanout('printenv APP')).stdout).toContain('a b');
    expect((await fanout('pwd')).stdout).toContain('/usr');
  });

  testWhere(groupHome.memory !== undefined)(
    'says that a command was killed for its memory, and how much it had',
    async () => {
      const { code, stderr } = await fanout('dd if=/dev/zero of=/dev/null bs=128M count=1');
      expect(code).toBe(1);
      expect(stderr).toContain('killed: used more than 32 MiB of memory');
    },
  );

  test('counts starts, not plans, and says when to come again; a policy read again gives no new ones', async () => {
    for (let i = 0; i < 4; i++)
      expect((await cluster.fanout(['plan', 'uname'], { via: agent })).code).toBe(0);
    expect((await fanout('uname')).code).toBe(0);
    expect((await fanout('uname')).code).toBe(0);
    const refused = await fanout('uname');
    expect(refused.code).toBe(5);
    expect(refused.stderr).toMatch(/rule "seldom" starts 2 in 1h00m at most; try again in \d+m/);
    agent.child.kill('SIGHUP');
    await eventually('the policy to be read', () => agent.log().includes('policy reloaded'));
    expect((await fanout('uname')).code).toBe(5);
  });

  test('tells in its info how it keeps limits', async () => {
    const { stdout } = await cluster.fanout(['info', '--format', 'json'], { via: agent });
    expect(JSON.parse(stdout).limits).toMatchObject({
      cpu: expect.stringMatching(/^can be had/),
      memory: expect.stringMatching(/can(not)? be had/),
      tasks: expect.stringMatching(/^can be had/),
    });
  });

  test('that was killed leaves to its successor what still runs of its commands', async () => {
    const asked = await running();
    const [sleep] = processesRunning('sleep', '999');
    const marker = /FANOUT_JOB=[^\0]+/.exec(readFileSync(`/proc/${sleep}/environ`, 'utf8'))?.[0] ?? '';
    await stopProcess(agent.child, 'SIGKILL');
    await asked.ended;
    // As one that was just being started would, or that had no namespace to die with.
    const env = { FANOUT_JOB: marker.slice('FANOUT_JOB='.length) };
    const left = spawn('sleep', ['998'], { env, stdio: 'ignore', detached: true });
    agent = await start('--forgive');
    expect(agent.log()).toMatch(/its commands had left processes, which are killed: \d/);
    await eventually('its end', () => left.signalCode === 'SIGKILL');
    expect((await fanout('echo hello')).stdout).toContain('hello');
  });

  test('that was killed refuses what it ran then, and nothing else, over two restarts, until it is forgiven', async () => {
    const asked = await running();
    await stopProcess(agent.child, 'SIGKILL');
    await asked.ended;
    for (const end of ['SIGKILL', 'SIGTERM'] as const) {
      agent = await start();
      const refused = await fanout('sleep 999');
      expect(refused.code).toBe(5);
      expect(refused.stderr).toMatch(
        /this node's agent died while it ran exactly this \(found 20\d\d-.*--forgive/,
      );
      expect((await fanout('sleep 1')).code).toBe(0);
      expect((await fanout('echo hello')).stdout).toContain('hello');
      await stopProcess(agent.child, end);
    }
    agent = await start('--forgive');
    const again = await running();
    await stopProcess(agent.child, 'SIGTERM');
    await again.ended;
    // It was told to stop: what it had to kill then is no suspect.
    agent = await start();
    const third = await running();
    await stopProcess(agent.child, 'SIGTERM');
    await third.ended;
  }, 180_000);
});

describe('fanout agent --check', () => {
  const cluster = new TestCluster();
  beforeAll(() => cluster.operator());
  afterAll(() => cluster.stop());
  const check = (...args: string[]): Promise<Result> =>
    runProgram(process.execPath, [
      FANOUT,
      'agent',
      '--check',
      '--data-dir',
      join(cluster.dir, 'none'),
      ...args,
    ]);

  test('tells what the machine can give, without a policy too, and starts nothing', async () => {
    const { code, stdout } = await check();
    expect(code).toBe(0);
    for (const word of ['sandbox standard', 'sandbox strict', 'limit memory', 'limit cpu', 'limit tasks']) {
      expect(stdout).toContain(word);
    }
  });

  test('a policy that can run here ends in 0', async () => {
    const file = cluster.addPolicy(
      'able',
      '  - { id: look, effect: allow, operators: [alice], commands: [{ program: ls, argv: [] }, { program: no-such-program, argv: [] }] }\n',
    );
    const { code, stdout } = await check('--policy', file);
    expect(stdout).toContain('1 of 1 rules can run here');
    expect(stdout).toMatch(/look\s+yes/);
    expect(stdout).toContain('not no-such-program');
    expect(code).toBe(0);
  });

  test('each rule that cannot run here is named, with the reason and the way out, and the end is 4', async () => {
    const rule = (id: string, more: string, program = 'ls') =>
      `  - { id: ${id}, effect: allow, operators: [alice], ${more} commands: [{ program: ${program}, argv: [] }] }\n`;
    const file = cluster.addPolicy(
      'unable',
      rule('groups', 'groups: [no-such-group],') +
        rule('user', 'user: no-such-user,') +
        rule('opens', 'sandbox: { profile: standard, read: [/srv/no-such-folder] },') +
        rule('program', '', 'no-such-program') +
        rule('fine', ''),
    );
    const { code, stdout } = await check('--policy', file);
    expect(code).toBe(4);
    expect(stdout).toContain('1 of 5 rules can run here');
    expect(stdout).toMatch(/groups\s+NO .*no-such-group/);
    expect(stdout).toMatch(/user\s+NO .*no-such-user/);
    expect(stdout).toMatch(/opens\s+NO .*\/srv\/no-such-folder.*it does not exist\n.*namei/);
    expect(stdout).toMatch(/program\s+NO .*no program "no-such-program"/);
    expect(stdout).toMatch(/fine\s+yes/);
  });

  test('a policy that is broken is told as everywhere', async () => {
    const file = join(cluster.dir, 'broken.yaml');
    writeFileSync(file, 'version: 2\n');
    const { code, stderr } = await check('--policy', file);
    expect(code).toBe(2);
    expect(stderr).toContain('broken.yaml');
  });
});
