import { expect, test } from 'vitest';
import { startScript } from '../../src/runtime/shell-script.ts';
import { eventually, expectNoSurvivors, processesWith, uniqueWord } from './command-helper.ts';

const run = (
  line: string,
  more: Partial<Parameters<typeof startScript>[0]> = {},
): ReturnType<typeof startScript>['ended'] =>
  startScript({ line, variables: {}, input: new Uint8Array(0), timeoutMs: 30_000, ...more }).ended;
const text = ({ output }: { output: Uint8Array }): string => Buffer.from(output).toString('latin1');

test('a script has its variables, its input and a shell that is called as Serf calls it', async () => {
  const end = await run('echo "$0 $1 $# $WHO"; cat', {
    variables: { WHO: '$(id); x' },
    input: Buffer.from('a\0b\n'),
  });
  expect(text(end)).toBe('/bin/sh  0 $(id); x\na\0b\n');
  expect(end).toMatchObject({ cause: 'exit', code: 0, problem: '' });
});

test('who asked is what the agent says, not what stands in its own environment', async () => {
  process.env.FANOUT_OPERATOR = 'mallory';
  process.env.FANOUT_RPC_ADDR = 'kept';
  try {
    const line = `echo "\${FANOUT_OPERATOR-nobody} $FANOUT_RPC_ADDR"`;
    expect(text(await run(line))).toBe('nobody kept\n');
    expect(text(await run(line, { variables: { FANOUT_OPERATOR: 'alice' } }))).toBe('alice kept\n');
  } finally {
    delete process.env.FANOUT_OPERATOR;
    delete process.env.FANOUT_RPC_ADDR;
  }
});

test('both outputs come in the order of their writes', async () => {
  const end = await run('for i in 1 2 3 4 5; do echo out$i; echo err$i >&2; done');
  expect(text(end)).toBe([1, 2, 3, 4, 5].map((i) => `out${i}\nerr${i}\n`).join(''));
});

test('of a flood the last 8 KiB are kept, and all of it is counted', async () => {
  const end = await run('head -c 10000000 /dev/zero | tr "\\0" x; echo end');
  expect(end.outputBytes).toBe(10_000_004);
  expect(end.output).toHaveLength(8192);
  expect(text(end)).toMatch(/^x{8188}end\n$/);
});

test('a script that does not read its input is no problem', async () => {
  const end = await run('true', { input: new Uint8Array(4 * 1024 * 1024) });
  expect(end).toMatchObject({ code: 0, problem: '' });
});

test('an exit code and a signal are told', async () => {
  expect(await run('exit 3')).toMatchObject({ code: 3, problem: 'exit status 3' });
  expect(await run('kill -TERM $$')).toMatchObject({ code: null, problem: 'signal: SIGTERM' });
});

test('at the time limit everything that it started is killed, also what has left its session', async () => {
  const word = uniqueWord();
  const line = `setsid sh -c 'sleep 1000; : ${word}' & sh -c 'trap "" TERM; sleep 1000; : ${word}'`;
  const script = startScript({ line, variables: {}, input: new Uint8Array(0), timeoutMs: 3000 });
  await eventually(() => processesWith(word).length >= 2);
  expect(await script.ended).toMatchObject({ cause: 'timeout', problem: 'took too long and was killed' });
  await expectNoSurvivors(word);
});

test('whoever holds the output when the shell is gone is waited for, and killed at the time limit', async () => {
  const word = uniqueWord();
  const end = await run(`sh -c 'sleep 1000; : ${word}' & echo started`, { timeoutMs: 500 });
  expect(end).toMatchObject({ cause: 'timeout' });
  expect(text(end)).toBe('started\n');
  await expectNoSurvivors(word);
});

/** Whether there was a group of processes with this leader. */
function killGroup(leader: number): boolean {
  try {
    return process.kill(-leader, 'SIGKILL');
  } catch {
    return false;
  }
}

test('a service that it started lives on when the script has ended', async () => {
  const word = uniqueWord();
  const end = await run(`setsid sh -c 'sleep 1000; : ${word}' >/dev/null 2>&1 & echo started`);
  expect(end).toMatchObject({ cause: 'exit', code: 0 });
  // The process that has the word first is not yet the one that leads a session of its own.
  await eventually(() => processesWith(word).some((pid) => killGroup(pid)));
  await expectNoSurvivors(word);
});

test('a name that no variable can hold does not start anything, and throws nothing', async () => {
  const end = await run('echo ran', { variables: { SERF_USER_EVENT: 'a\0b' } });
  expect(end).toMatchObject({ cause: 'failed', code: null });
  expect(end.problem).toContain('could not be started');
  expect(text(end)).toBe('');
});

test('stopping it kills it at once', async () => {
  const word = uniqueWord();
  const script = startScript({
    line: `sh -c 'sleep 1000; : ${word}'`,
    variables: {},
    input: new Uint8Array(0),
    timeoutMs: 60_000,
  });
  await eventually(() => processesWith(word).length > 0);
  script.kill();
  expect(await script.ended).toMatchObject({ cause: 'cancelled' });
  await expectNoSurvivors(word);
});
