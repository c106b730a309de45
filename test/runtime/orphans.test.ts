import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { toHex } from '../../src/lib/bytes.ts';
import { beginningOf } from '../../src/runtime/kill-tree.ts';
import { MARKER_VARIABLE } from '../../src/runtime/launch.ts';
import { killOrphans, ownerOf } from '../../src/runtime/orphans.ts';
import { processorMs } from '../support/cost.ts';
import { runProgram, stopProcess } from '../support/processes.ts';
import { sharedProgram } from '../support/program.ts';
import {
  eventually,
  expectNoSurvivors,
  PROFILES,
  processesWith,
  specOf,
  start,
  uniqueWord,
} from './command-helper.ts';

/** Nobody else's on this machine, whatever else is tested there. */
const NODE = Uint8Array.from(randomBytes(64));
const OTHER = Uint8Array.from(randomBytes(64));
const RANDOM = '0123456789abcdef0123456789abcdef';

/** Somebody who carries a marker, and a child of theirs that carries none. */
async function carrier(marker: string): Promise<string> {
  const word = uniqueWord();
  const code = 'delete $ENV{FANOUT_JOB}; fork() or do { exec $^X, "-e", "sleep 1000", $ARGV[0] }; sleep 1000';
  const env = { PATH: process.env.PATH, [MARKER_VARIABLE]: marker };
  spawn('perl', ['-e', code, word], { env, stdio: 'ignore', detached: true }).unref();
  await eventually(() => processesWith(word).length === 2);
  return word;
}

/** Those of the word's processes that carry a marker already. */
function markedOf(word: string): readonly number[] {
  return processesWith(word).filter((pid) =>
    readFileSync(`/proc/${pid}/environ`, 'latin1').includes(MARKER_VARIABLE),
  );
}

/** The owner that an agent in another process would be, which has ended since. */
async function endedOwner(node: Uint8Array): Promise<string> {
  const agent = spawn('sleep', ['1000'], { stdio: 'ignore' });
  const owner = ownerOf(node).replace(/-\d+-\d+$/, `-${agent.pid}-${beginningOf(agent.pid as number)}`);
  await stopProcess(agent);
  return owner;
}

test('what an ended agent of the node left is killed, with what came of it; what others left is not', async () => {
  const left = await carrier(`${await endedOwner(NODE)}-${RANDOM}`);
  // The number may be somebody else's by now: it is not the process that began then.
  const reused = await carrier(`${ownerOf(NODE).replace(/\d+$/, '1')}-${RANDOM}`);
  const others = await Promise.all(
    [`${ownerOf(NODE)}-${RANDOM}`, `${await endedOwner(OTHER)}-${RANDOM}`, RANDOM, `x${RANDOM}`, ''].map(
      carrier,
    ),
  );
  try {
    expect(killOrphans(NODE)).toBe(4);
    await expectNoSurvivors(left);
    await expectNoSurvivors(reused);
    for (const word of others) expect(processesWith(word)).toHaveLength(2);
    expect(killOrphans(NODE)).toBe(0);
  } finally {
    for (const pid of others.flatMap((word) => processesWith(word))) process.kill(pid, 'SIGKILL');
  }
});

test('however many processes somebody makes with markers of the node, its agent starts', async () => {
  const owner = await endedOwner(NODE);
  const word = uniqueWord();
  const code =
    'for my $n (1..300) { fork() or do { $ENV{FANOUT_JOB} = sprintf("%s-%032x", $ARGV[1], $n); exec $^X, "-e", "sleep 1000", $ARGV[0] } } sleep 1000';
  const parent = spawn('perl', ['-e', code, word, owner], { stdio: 'ignore' });
  try {
    await eventually(() => processesWith(word).length === 301);
    await eventually(() => markedOf(word).length === 300);
    expect(processorMs(() => expect(killOrphans(NODE)).toBe(300))).toBeLessThan(1500);
  } finally {
    await stopProcess(parent);
  }
  await expectNoSurvivors(word);
});

describe('an agent in a process of its own', () => {
  const agentFile = sharedProgram(`
      import { killOrphans, ownerOf } from './runtime/orphans.ts';
      import { startCommand } from './runtime/process.ts';
      const node = Buffer.from(process.argv[2], 'hex');
      const [spec] = process.argv.slice(3);
      if (spec === undefined) console.log('killed', killOrphans(node));
      else startCommand({ ...JSON.parse(spec), owner: ownerOf(node) }, () => {});`);

  test('that was itself started by a command of a dead agent ends the others, and goes on', async () => {
    const marker = `${await endedOwner(NODE)}-${RANDOM}`;
    const word = await carrier(marker);
    const { code, stdout } = await runProgram(process.execPath, [agentFile(), toHex(NODE)], {
      env: { ...process.env, [MARKER_VARIABLE]: marker },
    });
    expect([code, stdout]).toEqual([0, 'killed 2\n']);
    await expectNoSurvivors(word);
  });

  test.each(PROFILES)(
    'and is killed while it starts a command in sandbox "%s" has a successor',
    async (sandbox) => {
      const word = uniqueWord();
      const code = '$SIG{HUP} = "IGNORE"; fork() for 1..2; sleep 1000';
      const spec = JSON.stringify(specOf(['perl', '-e', code, word], { sandbox }));
      for (let round = 0; round < 6; round++) {
        const agent = spawn(process.execPath, [agentFile(), toHex(NODE), spec], { stdio: 'ignore' });
        const children = (): string => readFileSync(`/proc/${agent.pid}/task/${agent.pid}/children`, 'utf8');
        await eventually(() => children() !== '');
        // No pause, so that each round ends it a little further in what it makes.
        for (let look = 0; look < round * 100; look++) children();
        await stopProcess(agent);
      }
      killOrphans(NODE);
      await expectNoSurvivors(word);
    },
  );
});

test.each(PROFILES)('commands in sandbox "%s" carry their owner', async (sandbox) => {
  const owner = ownerOf(NODE);
  const { command, stdout, shows } = start(['printenv', MARKER_VARIABLE], { sandbox, owner });
  await shows(owner);
  await command.ended;
  expect(stdout()).toMatch(new RegExp(`^${owner}-[0-9a-f]{32}\n$`));
});
