import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type AgentProcess, TestCluster } from '../support/cluster.ts';
import { eventually } from '../support/processes.ts';
import { counters, isAlive } from './rogue.ts';

const RULES =
  '  - { id: all, effect: allow, operators: [alice], commands: [{ program: echo, positionals: { max: 1, match: ["*"] } }] }';

/** Stands for a bug that nobody knows: SIGUSR2 makes the core's next tick throw, SIGHUP is a rejection that nobody handles. */
const PRELOAD = `
const { performance } = require('node:perf_hooks');
const now = performance.now.bind(performance);
const bug = () => new Error('provoked by the test');
process.on('SIGUSR2', () => {
  performance.now = () => {
    if (!new Error().stack.includes('processImmediate')) return now();
    performance.now = now;
    throw bug();
  };
});
process.on('SIGHUP', () => void Promise.reject(bug()));
`;

describe('an error that no part of an agent has caught', () => {
  const cluster = new TestCluster();
  let ops: AgentProcess;
  let web1: AgentProcess;

  beforeAll(async () => {
    await cluster.operator();
    const preload = join(cluster.dir, 'preload.cjs');
    writeFileSync(preload, PRELOAD);
    ops = await cluster.start({ name: 'ops', args: ['--env', 'test'] });
    web1 = await cluster.start({
      name: 'web1',
      policy: cluster.addPolicy('open', RULES),
      join: ops.gossip,
      env: { NODE_OPTIONS: `--require ${preload}` },
    });
    await cluster.complete(2);
  });

  afterAll(() => cluster.stop());

  const errors = async (): Promise<number> => (await counters(cluster, web1))['unforeseen-error'] ?? 0;

  test.each(['SIGUSR2', 'SIGHUP'] as const)(
    'is logged with its place and counted, and the agent goes on (%s)',
    async (signal) => {
      for (let provoked = 0; provoked < 5; provoked++) {
        const before = await errors();
        web1.child.kill(signal);
        await eventually('the error', async () => (await errors()) > before);
      }
      expect(isAlive(web1)).toBe(true);
      expect(web1.log()).toMatch(
        /\[ERR\] agent: a bug in fanout itself.* provoked by the test +at .*preload\.cjs/,
      );
      const run = await cluster.fanout(['echo hi', '--node', 'web1']);
      expect([run.code, run.stdout]).toEqual([0, 'web1: hi\n']);
    },
  );

  test('does not keep it from looking after the others by itself, where nothing that comes in wakes it', async () => {
    const before = await errors();
    ops.child.kill('SIGSTOP');
    web1.child.kill('SIGUSR2');
    await eventually('the error', async () => (await errors()) > before);
    await eventually('ops to be seen as failed', async () => {
      const { stdout } = await cluster.fanout(['members', '--status', 'failed'], { via: web1 });
      return stdout.includes('ops');
    });
  });
});
