import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestCluster } from '../support/cluster.ts';
import { eventually, FANOUT, freePort, type Result, runProgram } from '../support/processes.ts';
import { HAS_SERF, RealSerf } from '../support/real-serf.ts';

describe.skipIf(!HAS_SERF)("Serf's command lines, with either program in front", () => {
  let cluster: TestCluster;
  let real: RealSerf;
  let rpc: string;

  beforeAll(async () => {
    cluster = new TestCluster();
    real = await RealSerf.start('db1', { key: cluster.key, args: ['-tag', 'role=db', '-tag', 'dc=oslo'] });
    rpc = `127.0.0.1:${await freePort()}`;
    await cluster.start({
      name: 'web1',
      join: real.gossip,
      // As an old line has it; the first half is the test's own.
      args: ['-rpc-addr', rpc, '-tag', 'role=web', '-tag=dc=tokyo', '-protocol=4', '-disable-compression'],
    });
    await real.sees('web1', 'alive');
    await eventually('both', async () => (await byUs(['members'])).stdout.includes('db1'));
  });

  afterAll(async () => {
    await real.stop();
    await cluster.stop();
  });

  const bySerf = (words: readonly string[]): Promise<Result> =>
    runProgram('serf', [words[0]!, `-rpc-addr=${rpc}`, ...words.slice(1)]);
  const byUs = (words: readonly string[]): Promise<Result> =>
    runProgram(process.execPath, [FANOUT, words[0]!, `-rpc-addr=${rpc}`, ...words.slice(1)]);
  /** Serf lists members and tags in any order, and warns of -role where a script expects members. */
  const sorted = (text: string): string[] =>
    text
      .trim()
      .split('\n')
      .filter((line) => !line.startsWith('Deprecation warning'))
      .map((line) => line.trim().replace(/\S+=\S+/, (tags) => tags.split(',').sort().join(',')))
      .sort();

  test.each([
    ['members'],
    ['members -detailed'],
    ['members -status=alive'],
    ['members -status=alive|failed -name=web.*'],
    ['members -status failed'],
    ['members -name web'],
    ['members -name=(web|db)1 -tag role=.b'],
    ['members -tag=dc=oslo -tag role=db -detailed'],
    ['members -tag dc=osl'],
    ['members -role=web'],
  ])('%s', async (line) => {
    const words = line.split(' ');
    const [theirs, mine] = [await bySerf(words), await byUs(words)];
    expect(sorted(mine.stdout)).toEqual(sorted(theirs.stdout));
    expect(mine.code).toBe(theirs.code);
  });

  test('members -format json -status=alive', async () => {
    const words = ['members', '-format', 'json', '-status=alive'];
    const [theirs, mine] = [await bySerf(words), await byUs(words)].map(
      ({ stdout }) => JSON.parse(stdout) as { members: { name: string }[] },
    );
    const order = (all: typeof theirs): unknown => all!.members.sort((a, b) => (a.name < b.name ? -1 : 1));
    expect(order(mine)).toEqual(order(theirs));
  });

  test('an agent of protocol 4 is seen as one by the real agent', async () => {
    const { stdout } = await real.cli('members', '-detailed', '-name=web1');
    expect(stdout).toMatch(/web1 .*alive .*Protocol Version: 4 .*Available Protocol Range: \[2, 5\]/);
  });

  test('an expression that is none is an error, and the agent goes on', async () => {
    const broken = await byUs(['members', '-name=(']);
    expect(broken.code).not.toBe(0);
    expect(broken.stderr).toContain('fanout:');
    expect((await byUs(['members'])).code).toBe(0);
  });
});
