import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { type AgentProcess, TestCluster } from '../support/cluster.ts';
import { eventually, freePort, stopProcess } from '../support/processes.ts';
import { HAS_SERF, RealSerf } from '../support/real-serf.ts';

function lastEvent(file: string): number | undefined {
  const found = /.*\nevent-clock: (\d+)\n/s.exec(readFileSync(file, 'utf8'));
  return found === null ? undefined : Number(found[1]);
}

describe.skipIf(!HAS_SERF)('snapshots, handed between real Serf agents and ours', () => {
  let cluster: TestCluster;
  let keeper: RealSerf;
  const reals: RealSerf[] = [];

  afterEach(async () => {
    await Promise.all(reals.splice(0).map((real) => real.stop()));
    await cluster.stop();
  });

  async function begin(): Promise<{ file: string; bind: string }> {
    cluster = new TestCluster();
    keeper = await RealSerf.start('keeper', { key: cluster.key });
    reals.push(keeper);
    return { file: join(cluster.dir, 'snapshot'), bind: `127.0.0.1:${await freePort()}` };
  }

  async function theirs(at: { file: string; bind: string }, ...args: string[]): Promise<RealSerf> {
    const real = await RealSerf.start('nomad', {
      key: cluster.key,
      args: ['-bind', at.bind, '-snapshot', at.file, ...args],
    });
    reals.push(real);
    return real;
  }

  const ours = (at: { file: string; bind: string }, ...args: string[]): Promise<AgentProcess> =>
    cluster.start({ name: 'nomad', args: ['--bind', at.bind, '--snapshot', at.file, ...args] });

  const eventTime = async (agent: AgentProcess): Promise<number> => {
    const { stdout } = await cluster.fanout(['info'], { via: agent });
    return Number(/event_time = (\d+)/.exec(stdout)?.[1]);
  };

  test('our agent goes on where a killed real one was, and a real one where ours was', async () => {
    const at = await begin();
    const first = await theirs(at, '-join', keeper.gossip);
    await keeper.sees('nomad', 'alive');
    // What the real one has to write stays with it until it has more to write.
    const written = await eventually('events to be written down', async () => {
      await keeper.cli('event', 'deploy');
      return lastEvent(at.file);
    });
    await first.stop('SIGKILL');
    const second = await ours(at);
    await eventually('our agent to rejoin', () => second.log().includes('rejoined through keeper'));
    await keeper.sees('nomad', 'alive');
    expect(await eventTime(second)).toBeGreaterThan(written);
    await keeper.cli('event', 'deploy');
    await eventually('the next event to be written down', () => (lastEvent(at.file) ?? 0) > written);
    await stopProcess(second.child, 'SIGKILL');
    const third = await theirs(at);
    await eventually('the real agent to rejoin', async () =>
      (await third.members()).some(({ name, status }) => name === 'keeper' && status === 'alive'),
    );
    await keeper.sees('nomad', 'alive');
    const time = Number(/event_time = (\d+)/.exec((await third.cli('info')).stdout)?.[1]);
    expect(time).toBeGreaterThan(written + 1);
  });

  test('after a leave nobody rejoins by itself, unless told so, on either side', async () => {
    const at = await begin();
    const first = await ours(at, '--join', keeper.gossip);
    await keeper.sees('nomad', 'alive');
    expect((await cluster.fanout(['leave'], { via: first })).code).toBe(0);
    await keeper.sees('nomad', 'left');
    expect(readFileSync(at.file, 'utf8')).toMatch(/^leave$/m);

    const alone = await theirs(at);
    expect((await alone.members()).map(({ name }) => name)).toEqual(['nomad']);
    await alone.stop('SIGKILL');
    const told = await ours(at, '--rejoin');
    await eventually('our agent to rejoin', () => told.log().includes('rejoined through keeper'));
    await keeper.sees('nomad', 'alive');
  });

  test('a hostile file stops nobody, and leads nowhere', async () => {
    const at = await begin();
    writeFileSync(
      at.file,
      `alive: a example.invalid:7946\nalive: b 127.0.0.1:0\nalive: nomad ${at.bind}\nalive: c ::\nclock: 99999999999999999999\n\xff\xfe\nalive: ${keeper.gossip}`,
    );
    const agent = await ours(at);
    await eventually('our agent to give up', () => agent.log().includes('none of the members of before'));
    expect(agent.log()).toMatch(/snapshot .*: \d lines say nothing/);
    expect((await cluster.fanout(['join', keeper.gossip], { via: agent })).code).toBe(0);
    await keeper.sees('nomad', 'alive');
  });
});
