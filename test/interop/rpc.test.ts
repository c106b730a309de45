import { spawn } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { VERSION } from '../../src/lib/version.ts';
import { type AgentProcess, TestCluster } from '../support/cluster.ts';
import { eventually, freePort, type Result, runProgram, stopProcess } from '../support/processes.ts';
import { HAS_SERF, RealSerf } from '../support/real-serf.ts';

describe.skipIf(!HAS_SERF)('the real serf command line on our agent', () => {
  let cluster: TestCluster;
  let real: RealSerf;
  let ours: AgentProcess;
  let rpc: string;

  beforeAll(async () => {
    cluster = new TestCluster();
    real = await RealSerf.start('serf1', {
      key: cluster.key,
      args: ['-tag', 'role=db', '-event-handler', 'query:hello=echo hi'],
    });
    rpc = `127.0.0.1:${await freePort()}`;
    ours = await cluster.start({ name: 'ours1', tags: { role: 'web' }, args: ['--rpc-addr', rpc] });
  });

  afterAll(async () => {
    await real.stop();
    await cluster.stop();
  });

  const serf = (command: string, ...args: string[]): Promise<Result> =>
    runProgram('serf', [command, '-rpc-addr', rpc, ...args]);

  test('join, members and its filters', async () => {
    expect(await serf('join', real.gossip)).toMatchObject({
      code: 0,
      stdout: 'Successfully joined cluster by contacting 1 nodes.\n',
    });
    await real.sees('ours1', 'alive');
    const { stdout } = await serf('members', '-tag', 'role=w.*');
    expect(stdout).toContain(`ours1  ${ours.gossip}  alive  role=web`);
    expect(stdout).not.toContain('serf1');
    expect((await serf('members', '-status', 'failed')).stdout.trim()).toBe('');
  });

  test('a query is acknowledged and answered across both kinds of agent', async () => {
    const asked = await serf('query', '-timeout', '2s', 'hello');
    expect(asked.code).toBe(0);
    expect(asked.stdout).toContain("Ack from 'ours1'");
    expect(asked.stdout).toContain("Response from 'serf1': hi");
    expect(asked.stdout).toContain('Total Acks: 2');
    const back = await real.cli('query', '-timeout', '2s', '-tag', 'role=web', 'hello');
    expect(back.stdout).toContain("Ack from 'ours1'");
    expect(back.stdout).toContain('Total Acks: 1');
  });

  test('info, tags, events, reachability', async () => {
    const info = await serf('info');
    expect(info.stdout).toMatch(/serf:\n[\s\S]*encrypted = true/);
    expect((await serf('tags', '-set', 'rack=7')).stdout).toContain('Successfully updated agent tags');
    await eventually('the new tag on the other side', async () => {
      const { stdout } = await real.cli('members', '-name', 'ours1');
      return stdout.includes('rack=7');
    });
    expect((await serf('event', 'deploy', 'v1')).code).toBe(0);
    expect((await real.cli('reachability')).stdout).toContain('Successfully contacted all live nodes');
  });

  test('monitor shows the log and events as they happen', async () => {
    const child = spawn('serf', ['monitor', '-rpc-addr', rpc, '-log-level', 'debug'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    child.stdout.on('data', (chunk) => {
      said += String(chunk);
    });
    try {
      await eventually('the recent lines of the log', () =>
        said.includes('[INFO] agent: member-join: serf1'),
      );
      await eventually('an event of the other side', async () => {
        await real.cli('event', 'deploy', 'v2');
        return /Event Info:[\s\S]*deploy[\s\S]*0x76, 0x32/.test(said);
      });
    } finally {
      await stopProcess(child);
    }
    expect((await serf('members')).code).toBe(0);
  });

  test('monitor refuses a level that is none', async () => {
    const { code, stdout } = await serf('monitor', '-log-level', 'LOUD');
    expect([code, stdout]).toEqual([1, expect.stringContaining('Unknown log level: LOUD')]);
  });

  test('every agent of ours answers what it is to the real query command', async () => {
    const { stdout } = await real.cli('query', '-timeout', '2s', 'fanout-about');
    expect(stdout).toContain(`Response from 'ours1': {"version":"${VERSION}"`);
    expect(stdout).toContain('Total Responses: 1');
  });
});
