import { existsSync, readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { probeAbilities } from '../../src/runtime/abilities-probe.ts';
import type { Budget, CommandSpec } from '../../src/runtime/command-spec.ts';
import { testWhere } from '../support/applies.ts';
import { eventually, expectNoSurvivors, has, PROFILES, run, start, uniqueWord } from './command-helper.ts';

const { groupHome, limits } = await probeAbilities([]);
for (const { limit, isForAll, reason } of limits) {
  if (!isForAll) console.info(`tests of the limit of ${limit} are skipped: ${reason}`);
}

/** Takes so much memory, touches it, and says so. */
const hog = (mib: number): string => `my $x = "x" x (${mib} * 1048576); print "took ${mib} "; sleep 1000`;
const budget = (some: Partial<Budget>): Partial<CommandSpec> => ({
  groupHome,
  budget: { cpuMs: undefined, memoryBytes: undefined, tasks: undefined, ...some },
});
const MIB = 2 ** 20;

/** Folders of groups that are there for commands of this process. */
function groupsLeft(): string[] {
  return Object.values(groupHome).flatMap(({ folder }) =>
    readdirSync(folder).filter((name) => name.startsWith(`fanout-job-${process.pid}-`)),
  );
}

describe.each(PROFILES)('in sandbox "%s"', (sandbox) => {
  testWhere(groupHome.memory !== undefined)('one process that takes too much memory is killed', async () => {
    const word = uniqueWord();
    const { end, stdout } = await run(['perl', '-e', `$| = 1; ${hog(200)}`, word], {
      sandbox,
      ...budget({ memoryBytes: 64 * MIB }),
    });
    expect(end).toMatchObject({ cause: 'memory-limit', limit: 64 * MIB });
    expect(stdout).toBe('');
    await expectNoSurvivors(word);
  });

  testWhere(groupHome.memory !== undefined)(
    'many that take little are killed all the same, and all of them',
    async () => {
      const word = uniqueWord();
      const code = `$| = 1; for (1..12) { fork() or do { ${hog(12)} } } sleep 1000`;
      const { end } = await run(['perl', '-e', code, word], {
        sandbox,
        ...budget({ memoryBytes: 64 * MIB }),
      });
      expect(end).toMatchObject({ cause: 'memory-limit' });
      await expectNoSurvivors(word);
    },
  );

  testWhere(groupHome.memory !== undefined && sandbox !== 'none')('files in /tmp are memory', async () => {
    const { end } = await run(['dd', 'if=/dev/zero', 'of=/tmp/x', 'bs=1M', 'count=15'], {
      sandbox,
      ...budget({ memoryBytes: 8 * MIB }),
    });
    expect(end.cause).toBe('memory-limit');
  });

  testWhere(groupHome.memory !== undefined)('who stays below is left alone', async () => {
    const { end, stdout } = await run(['perl', '-e', 'my $x = "x" x 8388608; print "done"'], {
      sandbox,
      ...budget({ memoryBytes: 64 * MIB, cpuMs: 5000, tasks: 16 }),
    });
    expect(end).toMatchObject({ code: 0, cause: 'exit' });
    expect(end).not.toHaveProperty('limit');
    expect(stdout).toBe('done');
  });

  test('a program that uses up its processor time ends, and it is said why', async () => {
    const word = uniqueWord();
    const { end } = await run(['perl', '-e', '1 while 1', word], {
      sandbox,
      budget: { cpuMs: 1000, memoryBytes: undefined, tasks: undefined },
    });
    // Here by the kernel's limit of each process: there is no group.
    expect(end).toMatchObject({ cause: 'cpu-limit', limit: 1000 });
    await expectNoSurvivors(word);
  });

  testWhere(groupHome.cpu !== undefined)('forking does not renew the processor time', async () => {
    const word = uniqueWord();
    // Each process ends before it has used a second of its own, and hands over to the next.
    const code =
      'while (1) { my $p = fork() // last; if ($p) { waitpid($p, 0) } else { my $t = times; 1 while times - $t < 0.3; exit } }';
    const { end } = await run(['perl', '-e', code, word], { sandbox, ...budget({ cpuMs: 1000 }) });
    expect(end).toMatchObject({ cause: 'cpu-limit', limit: 1000 });
    await expectNoSurvivors(word);
  });

  test('forks end at the tasks of the rule', async () => {
    const word = uniqueWord();
    const code =
      '$| = 1; my $n = 0; for (1..500) { my $p = fork(); last unless defined $p; $p or do { sleep 1000; exit }; $n++ } print "$n ready"; sleep 1000';
    const { command, stdout, shows } = start(['perl', '-e', code, word], {
      sandbox,
      ...budget({ tasks: 20 }),
    });
    await shows('ready');
    const forks = Number(stdout().split(' ')[0]);
    expect(forks).toBeLessThan(500);
    // Without a namespace and without groups, the other processes of the account are counted and given room as they
    // were at the start: when many come or go meanwhile, as beside other tests, the number of forks says no more.
    if (sandbox !== 'none' || groupHome.pids !== undefined) expect(forks).toBeLessThan(20);
    if (groupHome.pids !== undefined) expect(forks).toBeGreaterThan(14);
    command.kill('cancelled');
    await command.ended;
    await expectNoSurvivors(word);
  });
});

testWhere(Object.keys(groupHome).length > 0)(
  'nothing is left of a group when its command is over',
  async () => {
    await run(['true'], budget({ cpuMs: 5000, tasks: 16 }));
    const cancelled = start(['sleep', '1000'], budget({ cpuMs: 5000, tasks: 16 }));
    expect(groupsLeft()).not.toEqual([]);
    cancelled.command.kill('cancelled');
    await cancelled.command.ended;
    await eventually(() => groupsLeft().length === 0);
  },
);

test('a limit of memory without a group for it starts nothing', async () => {
  const command = start(['true'], { budget: { memoryBytes: 64 * MIB, cpuMs: undefined, tasks: undefined } });
  expect(await command.command.ended).toMatchObject({
    kind: 'failed',
    reason: 'there is no control group to bound its memory with',
  });
});

test('a group that cannot be made starts nothing', async () => {
  const home = { memory: { version: 2, folder: '/proc/fanout' } } as const;
  const spec = { groupHome: home, budget: { memoryBytes: 64 * MIB, cpuMs: undefined, tasks: undefined } };
  const { command } = start(['true'], spec);
  expect(await command.ended).toMatchObject({ kind: 'failed' });
  expect(existsSync('/proc/fanout')).toBe(false);
});

testWhere(has('standard') && groupHome.pids !== undefined)(
  'arguments are no text of the shell that waits',
  async () => {
    const nasty = ['$(id)', '`id`', '; id', '"', "'", '\n', '*', '-c'];
    const { stdout } = await run(['printf', '[%s]', ...nasty], {
      sandbox: 'standard',
      ...budget({ tasks: 16 }),
    });
    expect(stdout).toBe(nasty.map((word) => `[${word}]`).join(''));
  },
);
