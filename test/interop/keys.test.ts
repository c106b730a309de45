import { randomBytes } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { type AgentProcess, TestCluster } from '../support/cluster.ts';
import { freePort, type Result, runProgram, stopProcess } from '../support/processes.ts';
import { HAS_SERF, RealSerf } from '../support/real-serf.ts';

const newKey = (): string => randomBytes(32).toString('base64');

describe.skipIf(!HAS_SERF)('the keys of a cluster of real Serf agents and ours', () => {
  let cluster: TestCluster;
  const reals: RealSerf[] = [];

  afterEach(async () => {
    await Promise.all(reals.splice(0).map((real) => real.stop()));
    await cluster.stop();
  });

  const keys = (agent: AgentProcess, args: readonly string[], input = ''): Promise<Result> =>
    cluster.fanout(['keys', ...args], { via: agent, input });

  async function mixed(): Promise<{ real: RealSerf; ours: [AgentProcess, AgentProcess] }> {
    cluster = new TestCluster();
    const real = await RealSerf.start('serf1', {
      key: cluster.key,
      args: ['-event-handler', 'query:hello=echo hi'],
    });
    reals.push(real);
    const ours1 = await cluster.start({ name: 'ours1', join: real.gossip });
    const ours2 = await cluster.start({ name: 'ours2', join: real.gossip });
    await Promise.all([real.sees('ours2', 'alive'), cluster.complete(3, ours1), cluster.complete(3, ours2)]);
    return { real, ours: [ours1, ours2] };
  }

  test('are listed alike by both programs, from both kinds of agent', async () => {
    const { real, ours } = await mixed();
    const theirs = await real.cli('keys', '-list');
    const mine = await keys(ours[0], ['--list']);
    expect(mine).toMatchObject({ code: 0, stdout: theirs.stdout });
    expect(theirs.stdout).toContain(`${cluster.key}  [3/3]`);
    const overTheirs = await cluster.fanout(['keys', '--list', '--rpc-addr', real.rpc]);
    expect(overTheirs.stdout).toBe(theirs.stdout);
    const { stdout } = await keys(ours[1], ['--list', '--format', 'json']);
    expect(JSON.parse(stdout)).toMatchObject({
      error: '',
      num_nodes: 3,
      num_resp: 3,
      keys: { [cluster.key]: 3 },
    });
  });

  test('go from one to another and back, asked on either side, and every question meanwhile is answered', async () => {
    const { real, ours } = await mixed();
    const asked: Promise<string>[] = [];
    const ask = async (): Promise<string> => {
      const { stdout } = await real.cli('query', '-timeout', '4s', 'hello');
      return /Total Acks: \d+/.exec(stdout)?.[0] ?? stdout;
    };
    const traffic = setInterval(() => asked.push(ask()), 500);
    const next = newKey();
    writeFileSync(join(cluster.dir, 'next.key'), `${next}\n`, { mode: 0o600 });
    const ok = (done: string) => ({ code: 0, stdout: expect.stringContaining(`==> ${done}`) });
    expect(await keys(ours[0], ['--install', '-'], `${next}\n`)).toMatchObject(
      ok('Successfully installed key!'),
    );
    expect(await keys(ours[1], ['--use', `@${join(cluster.dir, 'next.key')}`])).toMatchObject(
      ok('Successfully changed primary key!'),
    );
    expect(await keys(ours[0], ['--remove', cluster.key])).toMatchObject(ok('Successfully removed key!'));
    expect((await real.cli('keys', '-list')).stdout).toContain(`\n${next}  [3/3]\n`);
    // Back, by the other program.
    for (const step of ['-install', '-use']) expect((await real.cli('keys', step, cluster.key)).code).toBe(0);
    expect((await real.cli('keys', '-remove', next)).code).toBe(0);
    clearInterval(traffic);
    expect(asked.length).toBeGreaterThan(1);
    expect(new Set(await Promise.all(asked))).toEqual(new Set(['Total Acks: 3']));
    const log = [...ours.map((agent) => agent.log())].join('');
    expect(log).not.toMatch(/member-failed|member-leave/);
    for (const agent of ours) await cluster.complete(3, agent);
  });

  test('what members refuse is said by name on both sides', async () => {
    const { real, ours } = await mixed();
    const theirs = await real.cli('keys', '-remove', cluster.key);
    const mine = await keys(ours[0], ['--remove', cluster.key]);
    expect(mine.code).toBe(1);
    expect(mine.stdout.split('\n').sort()).toEqual(theirs.stdout.split('\n').sort());
    expect(mine.stdout).toContain('failed:  ours2  Removing the primary key is not allowed');
    const use = await keys(ours[0], ['--use', newKey()]);
    expect(use.stdout).toContain('failed:  serf1  Requested key is not in the keyring');
    expect(use.stdout).toContain('Error changing primary key: 3/3 nodes reported failure');
  });

  test('a member that says nothing is named', async () => {
    const { real, ours } = await mixed();
    await stopProcess(ours[1].child, 'SIGKILL');
    const { code, stdout } = await keys(ours[0], ['--install', newKey()]);
    expect(code).toBe(1);
    expect(stdout).toContain('failed:  ours2  no answer');
    expect(stdout).toContain('Error installing key: 2/3 nodes reported success');
    void real;
  });

  test('a keyring file is kept as Serf keeps it, and either program starts with the other’s', async () => {
    cluster = new TestCluster();
    const [mine, theirs] = [join(cluster.dir, 'mine.json'), join(cluster.dir, 'theirs.json')];
    for (const file of [mine, theirs]) {
      writeFileSync(file, JSON.stringify([cluster.key], null, 2), { mode: 0o600 });
    }
    const real = await RealSerf.start('serf1', { args: ['-keyring-file', theirs] });
    reals.push(real);
    const ours = await cluster.start({
      name: 'ours1',
      encrypt: false,
      join: real.gossip,
      args: ['--keyring-file', mine],
    });
    await cluster.complete(2, ours);
    const next = newKey();
    for (const step of ['--install', '--use']) expect((await keys(ours, [step, next])).code).toBe(0);
    expect(readFileSync(mine, 'utf8')).toBe(readFileSync(theirs, 'utf8'));
    expect(JSON.parse(readFileSync(mine, 'utf8'))).toEqual([next, cluster.key]);
    expect(statSync(mine).mode & 0o777).toBe(0o600);
    await stopProcess(ours.child);
    await real.stop();
    const again = await RealSerf.start('serf2', { args: ['-keyring-file', mine] });
    reals.push(again);
    const back = await cluster.start({
      name: 'ours2',
      encrypt: false,
      join: again.gossip,
      args: ['--keyring-file', theirs],
    });
    await cluster.complete(2, back);
  });

  test('the real command line changes keys through our agent', async () => {
    cluster = new TestCluster();
    const rpc = `127.0.0.1:${await freePort()}`;
    await cluster.start({ name: 'ours1', args: ['--rpc-addr', rpc] });
    const serf = (...args: string[]) => runProgram('serf', ['keys', '-rpc-addr', rpc, ...args]);
    const next = newKey();
    for (const step of ['-install', '-use']) expect((await serf(step, next)).code).toBe(0);
    expect((await serf('-remove', cluster.key)).stdout).toContain('Successfully removed key!');
    expect((await serf('-list')).stdout).toContain(`${next}  [1/1]`);
    const bad = await serf('-use', 'no key');
    expect([bad.code, bad.stdout]).toEqual([1, expect.stringContaining('Error changing primary key: ')]);
  });
});

describe('keys where operators decide', () => {
  let cluster: TestCluster;
  const RULE =
    '  - { id: rotate, effect: allow, operators: [alice], commands: [{ program: fanout-keys, argv: [[install, use, remove], "any:64"] }] }\n';

  afterEach(() => cluster.stop());

  async function guarded(rules: string): Promise<{ locked: AgentProcess; open: AgentProcess }> {
    cluster = new TestCluster();
    await cluster.operator();
    const policy = cluster.addPolicy('policy', rules);
    const open = await cluster.start({ name: 'open', args: ['--env', 'test'] });
    const locked = await cluster.start({ name: 'locked', policy, join: open.gossip });
    await cluster.complete(2, open);
    await cluster.complete(2, locked);
    return { locked, open };
  }

  const keys = (agent: AgentProcess, args: readonly string[], env: NodeJS.ProcessEnv = {}) =>
    cluster.fanout(['keys', ...args], { via: agent, env });

  const ringOf = async (agent: AgentProcess): Promise<Record<string, number>> => {
    const { stdout } = await keys(agent, ['--list', '--format', 'json']);
    return (JSON.parse(stdout) as { keys: Record<string, number> }).keys;
  };

  test('an operator whom the policy allows it rotates them, and the log has who it was', async () => {
    const { locked, open } = await guarded(RULE);
    const next = newKey();
    for (const step of ['--install', '--use']) {
      const { code, stdout, stderr } = await keys(open, [step, next]);
      expect([code, stdout, stderr]).toEqual([0, expect.stringContaining('Successfully'), '']);
    }
    expect((await keys(locked, ['--remove', cluster.key])).code).toBe(0);
    expect(await ringOf(open)).toEqual({ [next]: 2 });
    const audit = readFileSync(join(locked.dataDir, 'audit.jsonl'), 'utf8');
    expect(audit).toMatch(
      /"event":"key-change".*"operator":"alice","rule":"rotate","argv":\["fanout-keys","install"/,
    );
    expect(audit + locked.log()).not.toContain(next);
  });

  test('nobody else does: unsigned, with a stranger’s key, or without a rule', async () => {
    const { open } = await guarded(
      '  - { id: look, effect: allow, operators: [alice], commands: [{ program: id }] }\n',
    );
    const next = newKey();
    const denied = await keys(open, ['--install', next]);
    expect([denied.code, denied.stdout]).toEqual([
      1,
      expect.stringMatching(/failed: {2}locked {2}alice: no rule allows it/),
    ]);
    const unsigned = await keys(open, ['--install', next], { XDG_CONFIG_HOME: join(cluster.dir, 'nobody') });
    expect(unsigned.stdout).toMatch(/failed: {2}locked {2}an operator has to sign it: fanout keys/);
    expect(unsigned.stderr).toContain('the change was not signed: ');
    const stranger = join(cluster.dir, 'stranger.key');
    await cluster.fanout(['operator', 'keygen', '--name', 'mallory', '-o', stranger]);
    const strange = await keys(open, ['--install', next, '-i', stranger]);
    expect(strange.stdout).toMatch(
      /failed: {2}locked {2}an operator has to sign it: fanout keys \(unknown-operator\)/,
    );
    // The one without a policy has followed Serf's rules.
    expect(await ringOf(open)).toEqual({ [cluster.key]: 2, [next]: 1 });
  });
});
