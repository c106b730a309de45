import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type AgentProcess, TestCluster } from '../support/cluster.ts';
import { eventually, FANOUT, type Result, runProgram } from '../support/processes.ts';

const RULES = `
  - { id: look, effect: allow, operators: [alice], tags: { role: web }, commands: [{ program: uptime, argv: [] }, { program: ps, argv: [ax] }] }
`;

describe('the built command', () => {
  const cluster = new TestCluster();
  let policy: string;
  let agent: AgentProcess;

  beforeAll(async () => {
    await cluster.operator();
    policy = cluster.addPolicy('policy', RULES);
    agent = await cluster.start({ name: 'web1', tags: { role: 'web' }, policy });
  });

  afterAll(() => cluster.stop());

  const fanout = (...args: string[]): Promise<Result> => cluster.fanout(args);

  test('--help, help COMMAND and --version say what there is', async () => {
    const help = await fanout('--help');
    expect(help.code).toBe(0);
    for (const word of ['agent', 'members', 'policy', 'Exit status', '130', 'FANOUT_RPC_ADDR']) {
      expect(help.stdout).toContain(word);
    }
    for (const line of help.stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(96);
    const agentHelp = await fanout('help', 'agent');
    expect(agentHelp.stdout).toMatch(/--encrypt-file[\s\S]*--policy/);
    expect((await fanout('help', 'policy', 'explain')).stdout).toContain('explain');
    expect((await fanout('--version')).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  test('without anything it shows the help and fails, with an unknown option it says so', async () => {
    expect((await fanout()).code).toBe(2);
    const unknown = await fanout('--tga', 'role=web', 'uptime');
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toMatch(/--tga[\s\S]*--tag/);
  });

  test('keygen prints 32 bytes in base64, another one each time', async () => {
    const [a, b] = [await fanout('keygen'), await fanout('keygen')];
    expect(Buffer.from(a.stdout.trim(), 'base64').length).toBe(32);
    expect(a.stdout).not.toBe(b.stdout);
  });

  test('operator keygen writes a private file, prints the public line, and overwrites nothing', async () => {
    const file = join(cluster.dir, 'bob.key');
    const made = await fanout('operator', 'keygen', '--name', 'bob', '-o', file);
    expect(made).toMatchObject({ code: 0, stdout: expect.stringMatching(/^ssh-ed25519 AAAA\S+ bob\n$/) });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const before = readFileSync(file, 'utf8');
    const again = await fanout('operator', 'keygen', '--name', 'bob', '-o', file);
    expect(again.code).toBe(2);
    expect(readFileSync(file, 'utf8')).toBe(before);
  });

  test('a command with a key that the policy does not know gets no answer, and the summary says what that can mean', async () => {
    const file = join(cluster.dir, 'eve.key');
    await fanout('operator', 'keygen', '--name', 'eve', '-o', file);
    const run = await fanout('-i', file, '--timeout', '3s', 'uptime');
    expect(run.code).toBe(4);
    expect(run.stderr).toMatch(/web1.*no answer.*(unknown key|key)/);
    expect(run.stdout).toBe('');
  });

  test('a key that others can read is refused, with the way to mend it', async () => {
    const file = join(cluster.dir, 'open.key');
    await fanout('operator', 'keygen', '--name', 'open', '-o', file);
    await runProgram('chmod', ['644', file]);
    const run = await fanout('-i', file, 'uptime');
    expect(run.code).toBe(2);
    expect(run.stderr).toContain('chmod');
  });

  test('policy explain: allowed 0, denied 5, unreadable 2', async () => {
    const explain = (command: string, ...tags: string[]): Promise<Result> =>
      fanout('policy', 'explain', '--policy', policy, '--as', 'alice', ...tags, command);
    const allowed = await explain('ps ax', '--tag', 'role=web');
    expect(allowed.code).toBe(0);
    expect(allowed.stdout).toContain('look');
    expect((await explain('ps ax', '--tag', 'role=db')).code).toBe(5);
    expect((await explain('ps auxe', '--tag', 'role=web')).code).toBe(5);
    const piped = await explain('ps ax | sh', '--tag', 'role=web');
    expect(piped.code).toBe(2);
    expect(piped.stderr).toMatch(/pipe "\|" at column 7/);
  });

  test.each(['development', 'staging', 'production'])('the shipped %s policy loads', async (name) => {
    const file = new URL(`../../policies/${name}.yaml`, import.meta.url).pathname;
    const run = await fanout(
      'policy',
      'explain',
      '--policy',
      file,
      '--as',
      'alice',
      '--tag',
      'role=web',
      'uptime',
    );
    expect(run.stderr).toBe('');
    expect(run.code).toBe(0);
  });

  test('an agent with a policy that does not parse does not start, and names file, line and remedy', async () => {
    const broken = join(cluster.dir, 'broken.yaml');
    writeFileSync(broken, readFileSync(policy, 'utf8').replace('operators: [alice]', 'operater: [alice]'));
    const args = [
      FANOUT,
      'agent',
      '--node',
      'x',
      '--bind',
      '127.0.0.1:0',
      '--rpc-addr',
      join(cluster.dir, 'x.sock'),
    ];
    const run = await runProgram(
      process.execPath,
      [...args, '--policy', broken, '--data-dir', join(cluster.dir, 'x')],
      {
        env: cluster.env,
      },
    );
    expect(run.code).toBe(2);
    expect(run.stderr).toMatch(/broken\.yaml:\d+:.*operater/);
    expect(run.stderr).toContain('operators');
  });

  test('--env must be the environment of the policy', async () => {
    const args = [
      FANOUT,
      'agent',
      '--node',
      'x',
      '--bind',
      '127.0.0.1:0',
      '--rpc-addr',
      join(cluster.dir, 'x.sock'),
    ];
    const run = await runProgram(process.execPath, [...args, '--env', 'production', '--policy', policy], {
      env: cluster.env,
    });
    expect(run.code).toBe(2);
    expect(run.stderr).toContain('"test"');
  });

  test('SIGHUP takes a new policy, and keeps the old one when the new one is bad', async () => {
    const good = readFileSync(policy, 'utf8');
    expect((await fanout('df')).code).toBe(5);
    writeFileSync(policy, good.replace('program: uptime', 'program: df'));
    agent.child.kill('SIGHUP');
    await eventually('the new policy', () => agent.log().includes('policy reloaded'));
    expect((await fanout('df')).code).toBe(0);
    expect((await fanout('uptime')).code).toBe(5);
    writeFileSync(policy, 'version: 1\nrules: [');
    agent.child.kill('SIGHUP');
    await eventually('the complaint', () => agent.log().includes('the old one stays in force'));
    expect((await fanout('df')).code).toBe(0);
  });

  test('info tells of environment, policy and sandboxes', async () => {
    const text = await fanout('info');
    expect(text.stdout).toMatch(/environment = test/);
    expect(text.stdout).toMatch(/sandbox standard = /);
    const json = JSON.parse((await fanout('info', '--format', 'json')).stdout) as Record<string, unknown>;
    expect(Object.keys(json)).toEqual(expect.arrayContaining(['agent', 'fanout', 'serf', 'tags']));
  });

  test('join, members with filters, and leave', async () => {
    const other = await cluster.start({ name: 'db1', tags: { role: 'db' } });
    const joined = await fanout('join', other.gossip);
    expect(joined).toMatchObject({ code: 0, stdout: 'Successfully joined cluster by contacting 1 nodes.\n' });
    await cluster.complete(2);
    expect((await fanout('members', '--tag', 'role=d*')).stdout).toMatch(
      /^db1 {2}127\.0\.0\.1:\d+ {2}alive {2}role=db\n$/,
    );
    expect((await fanout('members', '--node', 'web*')).stdout).toMatch(/^web1 /);
    expect((await cluster.fanout(['leave'], { via: other })).stdout).toBe('Graceful leave complete\n');
    await eventually('the leave', async () =>
      (await fanout('members', '--status', 'left')).stdout.includes('db1'),
    );
    await eventually('the agent to stop', () => other.child.exitCode === 0);
    expect((await fanout('join', '127.0.0.1:1')).code).toBe(1);
    expect((await fanout('join', 'no such address')).code).not.toBe(0);
  });
});
