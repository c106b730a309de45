import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { TestCluster } from '../support/cluster.ts';
import { eventually, freePort, stopProcess } from '../support/processes.ts';
import { HAS_SERF, RealSerf } from '../support/real-serf.ts';

describe.skipIf(!HAS_SERF)('two members with one name', () => {
  let cluster: TestCluster;
  const reals: RealSerf[] = [];

  afterEach(async () => {
    await Promise.all(reals.splice(0).map((real) => real.stop()));
    await cluster.stop();
  });

  async function three(): Promise<{ real: RealSerf; gossip: string }> {
    cluster = new TestCluster();
    const real = await RealSerf.start('serf1', { key: cluster.key });
    reals.push(real);
    const first = await cluster.start({ name: 'twin', join: real.gossip });
    await cluster.start({ name: 'ours2', join: real.gossip });
    await cluster.complete(3, first);
    return { real, gossip: first.gossip };
  }

  test('ours that comes second is voted out and stops, the first one stays', async () => {
    const { real } = await three();
    const own = ['--rpc-addr', join(cluster.dir, 'second.sock'), '--data-dir', join(cluster.dir, 'second')];
    const second = await cluster.start({ name: 'twin', join: real.gossip, args: own });
    await eventually('the second to stop', () => second.child.exitCode !== null);
    expect(second.child.exitCode).toBe(0);
    expect(second.log()).toMatch(/two members call themselves "twin"/);
    expect(second.log()).toMatch(/is another member's: 0 of 2 members say that it is ours/);
    expect(cluster.agents[0]?.child.exitCode).toBeNull();
    await real.sees('twin', 'alive');
  });

  test('a real one that comes second is voted out by ours', async () => {
    const { real } = await three();
    const bind = `127.0.0.1:${await freePort()}`;
    const rpc = `127.0.0.1:${await freePort()}`;
    const args = ['agent', '-node', 'twin', '-bind', bind, '-rpc-addr', rpc, '-encrypt', cluster.key];
    const second = spawn('serf', [...args, '-join', real.gossip], { stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [second.stdout, second.stderr])
      stream.on('data', (chunk) => (said += String(chunk)));
    try {
      await eventually('the real one to stop', () => second.exitCode !== null);
      expect(said).toMatch(/minority in name conflict resolution/i);
    } finally {
      await stopProcess(second);
    }
    expect(cluster.agents[0]?.child.exitCode).toBeNull();
  });
});
