import { afterEach, describe, expect, test } from 'vitest';
import { type AgentProcess, TestCluster } from '../support/cluster.ts';
import { eventually, freePort, runProgram } from '../support/processes.ts';
import { HAS_SERF, RealSerf } from '../support/real-serf.ts';

describe.skipIf(!HAS_SERF)('coordinates in a cluster of real Serf agents and ours', () => {
  let cluster: TestCluster;
  const reals: RealSerf[] = [];

  afterEach(async () => {
    await Promise.all(reals.splice(0).map((real) => real.stop()));
    await cluster.stop();
  });

  const LINE = /^Estimated (\S+) <-> (\S+) rtt: (\d+\.\d{3}) ms\n$/;

  test('both programs tell the same of both kinds of agent, in the same words', async () => {
    cluster = new TestCluster();
    const serf1 = await RealSerf.start('serf1', { key: cluster.key });
    const serf2 = await RealSerf.start('serf2', { key: cluster.key, join: serf1.gossip });
    reals.push(serf1, serf2);
    const rpc = `127.0.0.1:${await freePort()}`;
    const ours1 = await cluster.start({ name: 'ours1', join: serf1.gossip, args: ['--rpc-addr', rpc] });
    const at: AgentProcess = { ...ours1, control: rpc };
    await cluster.start({ name: 'ours2', join: serf1.gossip });
    await cluster.complete(4, at);
    const told = (args: readonly string[]) => cluster.fanout(['rtt', ...args], { via: at });
    for (const name of ['serf1', 'serf2', 'ours2']) {
      await eventually(`our agent to have probed ${name}`, async () => (await told([name])).code === 0);
      await eventually(`the real agent to have probed ${name}`, async () =>
        name === 'serf1' ? true : (await serf1.cli('rtt', name)).code === 0,
      );
    }
    await eventually(
      'the real agent to have probed ours1',
      async () => (await serf1.cli('rtt', 'ours1')).code === 0,
    );
    const pairs: [string[], string, string][] = [
      [['serf1'], 'serf1', 'ours1'],
      [['serf1', 'ours2'], 'serf1', 'ours2'],
      [['ours2', 'serf2'], 'ours2', 'serf2'],
    ];
    for (const [args, from, to] of pairs) {
      const mine = await told(args);
      const theirs = await runProgram('serf', ['rtt', '-rpc-addr', rpc, ...args]);
      expect(LINE.exec(mine.stdout)?.slice(1, 3)).toEqual([from, to]);
      expect(LINE.exec(theirs.stdout)?.slice(1, 3)).toEqual([from, to]);
    }
    // Everybody is on this machine: whoever reckons, it is a matter of milliseconds.
    for (const { stdout } of [await told(['serf1', 'serf2']), await serf1.cli('rtt', 'ours1', 'ours2')]) {
      expect(Number(LINE.exec(stdout)?.[3])).toBeLessThan(100);
    }
    expect((await serf1.cli('info')).stdout).toContain('coordinate_resets = 0');
    expect((await cluster.fanout(['info'], { via: at })).stdout).toContain('coordinate_resets = 0');
  });

  test('of a member that nobody knows there is none, on either side in the same words', async () => {
    cluster = new TestCluster();
    const real = await RealSerf.start('serf1');
    reals.push(real);
    const rpc = `127.0.0.1:${await freePort()}`;
    await cluster.start({ name: 'ours1', args: ['--rpc-addr', rpc] });
    const theirs = await real.cli('rtt', 'nobody', 'serf1');
    const mine = await runProgram('serf', ['rtt', '-rpc-addr', rpc, 'nobody', 'ours1']);
    expect(mine).toEqual(theirs);
    const own = await cluster.fanout(['rtt', 'nobody', '--rpc-addr', real.rpc]);
    expect([own.code, own.stderr]).toEqual([
      1,
      expect.stringContaining('Could not find a coordinate for node "nobody"'),
    ]);
    const alone = await cluster.fanout(['rtt', 'ours1', '--rpc-addr', rpc, '--format', 'json']);
    expect(JSON.parse(alone.stdout)).toEqual({ from: 'ours1', to: 'ours1', rtt_ms: 0.02 });
  });
});
