import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { type AgentProcess, TestCluster } from '../support/cluster.ts';
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

  /** Three of ours and a real one; each of ours knows the key of "twin", which has then left. */
  async function twinIsGone(): Promise<{ real: RealSerf; voters: AgentProcess[] }> {
    const { real } = await three();
    const [twin, ours2] = cluster.agents as [AgentProcess, AgentProcess];
    const voters = [ours2, await cluster.start({ name: 'ours3', join: real.gossip })];
    await eventually('both to know the key of twin', () => voters.every(({ dataDir }) => pins(dataDir)));
    await stopProcess(twin.child, 'SIGINT');
    await real.sees('twin', 'left');
    return { real, voters };
  }

  function pins(dataDir: string): boolean {
    const file = join(dataDir, 'known_nodes');
    return existsSync(file) && /^twin cluster /m.test(readFileSync(file, 'utf8'));
  }

  test('the owner of a name comes back and keeps it, though somebody has taken it meanwhile', async () => {
    const { real, voters } = await twinIsGone();
    const own = ['--rpc-addr', join(cluster.dir, 'taker.sock'), '--data-dir', join(cluster.dir, 'taker')];
    const taker = await cluster.start({ name: 'twin', join: real.gossip, args: own });
    await real.sees('twin', 'alive');
    for (const voter of voters) {
      await eventually(`${voter.name} to warn`, () => voter.log().includes('the key of "twin" has changed'));
    }
    const owner = await cluster.start({ name: 'twin', join: real.gossip });
    // The real member goes by the address that it knows.
    await eventually('the vote', () =>
      owner.log().includes('the name "twin" stays ours: 2 of 3 members say so'),
    );
    expect(owner.child.exitCode).toBeNull();

    // Who took it asks in its turn, once it hears of the owner; nobody who knows better votes for it.
    await cluster.fanout(['join', owner.gossip], {
      via: { ...taker, control: join(cluster.dir, 'taker.sock') },
    });
    await eventually('who took it to stop', () => taker.child.exitCode !== null);
    expect(taker.log()).toContain("is another member's: 1 of 3 members say that it is ours");
    for (const voter of voters) {
      expect(voter.log()).toContain(
        `does not prove the node key that ${join(voter.dataDir, 'known_nodes')} has for that name: it gets no vote`,
      );
    }
  });

  test('a machine that was set up anew gets votes again when its pins are forgotten', async () => {
    const { real, voters } = await twinIsGone();
    for (const { dataDir } of voters) {
      const list = await cluster.fanout(['known-nodes', '--data-dir', dataDir, '--format', 'json']);
      expect(JSON.parse(list.stdout)).toContainEqual(expect.objectContaining({ node: 'twin' }));
      const gone = await cluster.fanout(['known-nodes', 'forget', 'twin', '--data-dir', dataDir]);
      expect(gone).toMatchObject({
        code: 0,
        stdout: expect.stringMatching(/^forgotten: twin cluster SHA256:/),
      });
      expect(await cluster.fanout(['known-nodes', 'forget', 'twin', '--data-dir', dataDir])).toMatchObject({
        code: 3,
        stderr: expect.stringContaining(`fanout known-nodes --data-dir ${dataDir}`),
      });
    }
    const own = ['--rpc-addr', join(cluster.dir, 'anew.sock'), '--data-dir', join(cluster.dir, 'anew')];
    await cluster.start({ name: 'twin', join: real.gossip, args: own });
    await eventually('both to know its new key', () => voters.every(({ dataDir }) => pins(dataDir)));
    expect(voters.map((voter) => voter.log()).join()).not.toContain('has changed');
  });

  test('a real member answers pings that ask for a proof, and says nothing of them', async () => {
    const { real } = await three();
    const pinged = async (): Promise<boolean> => {
      const { stdout } = await cluster.fanout(['rtt', 'twin', 'serf1']);
      return /ms/.test(stdout);
    };
    await eventually('its coordinate, which comes with its acks', pinged);
    expect(real.log()).not.toMatch(/\[(ERR|WARN)\]/);
  });
});
