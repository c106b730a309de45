import { afterEach, describe, expect, test } from 'vitest';
import { type AgentProcess, TestCluster } from '../support/cluster.ts';
import { eventually, stopProcess } from '../support/processes.ts';
import { HAS_SERF, RealSerf } from '../support/real-serf.ts';

interface Seen {
  readonly name: string;
  readonly status: string;
  readonly tags: Readonly<Record<string, string>>;
}

describe.skipIf(!HAS_SERF)('one encrypted cluster of real Serf agents and ours', () => {
  let cluster: TestCluster;
  const reals: RealSerf[] = [];

  afterEach(async () => {
    await Promise.all(reals.splice(0).map((real) => real.stop()));
    await cluster.stop();
  });

  async function seenBy(agent: AgentProcess): Promise<Seen[]> {
    const { stdout } = await cluster.fanout(['members', '--format', 'json'], { via: agent });
    return (JSON.parse(stdout) as { members: Seen[] }).members;
  }

  async function sees(agent: AgentProcess, name: string, status: string): Promise<number> {
    const started = performance.now();
    await eventually(
      `${agent.name} to see ${name} ${status}`,
      async () => (await seenBy(agent)).some((member) => member.name === name && member.status === status),
      40_000,
    );
    return performance.now() - started;
  }

  /** Two real agents and two of ours, everybody known to everybody. */
  async function mixed(): Promise<{ ours: [AgentProcess, AgentProcess]; theirs: [RealSerf, RealSerf] }> {
    cluster = new TestCluster();
    const serf1 = await RealSerf.start('serf1', {
      key: cluster.key,
      args: ['-tag', 'role=db', '-tag', 'dc=tokyo'],
    });
    reals.push(serf1);
    const ours1 = await cluster.start({
      name: 'ours1',
      tags: { role: 'web', dc: 'oslo' },
      join: serf1.gossip,
    });
    const serf2 = await RealSerf.start('serf2', { key: cluster.key, join: ours1.gossip });
    reals.push(serf2);
    const ours2 = await cluster.start({ name: 'ours2', tags: { role: 'api' }, join: serf2.gossip });
    for (const name of ['serf1', 'serf2', 'ours1', 'ours2']) {
      await Promise.all([
        serf1.sees(name, 'alive'),
        serf2.sees(name, 'alive'),
        sees(ours1, name, 'alive'),
        sees(ours2, name, 'alive'),
      ]);
    }
    return { ours: [ours1, ours2], theirs: [serf1, serf2] };
  }

  test('each side lists the other with the right tags and status', async () => {
    const { ours, theirs } = await mixed();
    const expected = {
      ours1: { dc: 'oslo', role: 'web' },
      ours2: { role: 'api' },
      serf1: { dc: 'tokyo', role: 'db' },
      serf2: {},
    };
    const tagsOf = (members: readonly Seen[]): unknown =>
      Object.fromEntries(members.map(({ name, tags }) => [name, tags]));
    expect(tagsOf(await theirs[0].members())).toEqual(expected);
    expect(tagsOf(await theirs[1].members())).toEqual(expected);
    expect(tagsOf(await seenBy(ours[0]))).toEqual(expected);
    expect(tagsOf(await seenBy(ours[1]))).toEqual(expected);
  });

  test('a kill -9 on either side is noticed by the other, in the time that Serf takes', async () => {
    const { ours, theirs } = await mixed();
    await stopProcess(theirs[1].child, 'SIGKILL');
    const [byUs, bySerf] = await Promise.all([
      sees(ours[0], 'serf2', 'failed'),
      theirs[0].sees('serf2', 'failed'),
    ]);
    // Whoever finds out tells the others by gossip: the views differ by a few rounds, whoever it was.
    expect(Math.abs(byUs - bySerf)).toBeLessThan(5000);
    await stopProcess(ours[1].child, 'SIGKILL');
    await Promise.all([theirs[0].sees('ours2', 'failed'), sees(ours[0], 'ours2', 'failed')]);
  });

  test('a graceful leave on either side is seen as a leave', async () => {
    const { ours, theirs } = await mixed();
    expect((await theirs[1].cli('leave')).code).toBe(0);
    await Promise.all([sees(ours[0], 'serf2', 'left'), theirs[0].sees('serf2', 'left')]);
    const left = await cluster.fanout(['leave'], { via: ours[1] });
    expect(left).toMatchObject({ code: 0, stdout: 'Graceful leave complete\n' });
    await Promise.all([theirs[0].sees('ours2', 'left'), sees(ours[0], 'ours2', 'left')]);
  });

  test('a killed member comes back under its name', async () => {
    const { ours, theirs } = await mixed();
    await stopProcess(ours[1].child, 'SIGKILL');
    await theirs[0].sees('ours2', 'failed');
    await cluster.start({
      name: 'ours2',
      tags: { role: 'new' },
      join: theirs[0].gossip,
      args: ['--bind', ours[1].gossip],
    });
    await theirs[0].sees('ours2', 'alive');
    await sees(ours[0], 'ours2', 'alive');
    const back = (await theirs[0].members()).find(({ name }) => name === 'ours2');
    expect(back?.tags).toEqual({ role: 'new' });
  });

  test('an agent with another key does not get in, and says why', async () => {
    cluster = new TestCluster();
    const serf = await RealSerf.start('serf1', { key: Buffer.alloc(32, 9).toString('base64') });
    reals.push(serf);
    const stranger = await cluster.start({ name: 'ours1', join: serf.gossip });
    await eventually('the stranger to give up', () => stranger.child.exitCode === 1);
    expect(stranger.log()).toMatch(/could not join[\s\S]*same cluster key/);
    expect((await serf.members()).map(({ name }) => name)).toEqual(['serf1']);
  });
});
