import { spawn } from 'node:child_process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectAgent } from '../../src/asker/connect.ts';
import { parseControlAddress } from '../../src/net/control-address.ts';
import { processesWith, uniqueWord } from '../runtime/command-helper.ts';
import { type AgentProcess, TestCluster } from '../support/cluster.ts';
import { eventually, FANOUT } from '../support/processes.ts';

const RULES = `
  - id: anything
    effect: allow
    operators: [alice]
    dangerous: a test of what a command can do to its agent
    limits: { tasks: 64 }
    commands: [{ program: perl, argv: ["-e", "any:4096", "any:100"] }]
`;
/** Forks as fast as it can, each child for a moment: the number is bounded by the rule, the rate by nothing. */
const FORK_BOMB =
  'while (1) { my $p = fork(); if (defined $p and !$p) { select undef, undef, undef, 0.02; exit } 1 while waitpid(-1, 1) > 0 }';
const FLOOD = 'fork() for 1..3; print "x" x 65536 while 1';
const ROUND_TRIPS = 40;
/** An agent answers in a millisecond. This is for two cores that a whole test suite shares. */
const ROUND_TRIP_MS_MAX = 3000;
const TIMEOUT_MS = 8000;

const cluster = new TestCluster();
let agent: AgentProcess;

beforeAll(async () => {
  await cluster.operator();
  const policy = cluster.addPolicy('open', RULES, 'sandbox: [standard, none]');
  agent = await cluster.start({ name: 'web1', policy });
});
afterAll(() => cluster.stop());

/** Runs a command whose output nobody reads but the command line. */
function runaway(code: string, word: string): Promise<number | null> {
  const args = [FANOUT, '--timeout', `${TIMEOUT_MS}ms`, '--node', 'web1', '--', 'perl', '-e', code, word];
  const env = { ...cluster.env, FANOUT_RPC_ADDR: agent.control };
  const child = spawn(process.execPath, args, { env, stdio: 'ignore' });
  return new Promise((resolve) => child.once('exit', resolve));
}

test('an agent answers while a fork bomb and a flood of output run in it, and nothing of them is left', async () => {
  const word = uniqueWord();
  const runs = [runaway(FORK_BOMB, word), runaway(FLOOD, word)];
  const isCommand = (): boolean => processesWith(word).length > 2 + 2;
  await eventually('both to run', isCommand);
  const client = await connectAgent(parseControlAddress(agent.control));
  const times: number[] = [];
  for (let i = 0; i < ROUND_TRIPS; i++) {
    const started = performance.now();
    await client.stats();
    times.push(performance.now() - started);
  }
  client.close();
  expect(processesWith(word).length, 'the commands still run').toBeGreaterThan(2);
  expect(Math.max(...times), 'ms of the longest round trip').toBeLessThan(ROUND_TRIP_MS_MAX);
  // 4: the command did not come to its end.
  expect(await Promise.all(runs)).toEqual([4, 4]);
  await eventually('everything to be gone', () => processesWith(word).length === 0, 5000);
}, 120_000);
