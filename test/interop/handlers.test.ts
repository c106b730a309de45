import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type AgentProcess, TestCluster } from '../support/cluster.ts';
import { eventually, freePort, type Result, runProgram } from '../support/processes.ts';
import { HAS_SERF, RealSerf } from '../support/real-serf.ts';

/** Writes everything that a handler gets into one file, named by event and number. */
const DUMP = `#!/bin/sh
dir=$1
temporary=$(mktemp "$dir/.XXXXXX")
{ echo "arguments: $0 $#"; pwd; umask; env | grep -v '^FANOUT_' | LC_ALL=C sort; echo "input:"; cat; } > "$temporary"
number=1
while ! ln "$temporary" "$dir/$SERF_EVENT.$SERF_USER_EVENT$SERF_QUERY_NAME.$number" 2>/dev/null; do number=$((number + 1)); done
rm "$temporary"
echo "answer of $SERF_SELF_ROLE"
`;

describe.skipIf(!HAS_SERF)('the same handler under the real Serf and under ours', () => {
  const cluster = new TestCluster();
  const reals: RealSerf[] = [];
  let real: RealSerf;
  let ours: AgentProcess;
  let rpc: string;

  const start = async (name: string, ...args: string[]): Promise<RealSerf> => {
    const serf = await RealSerf.start(name, { key: cluster.key, args, env: cluster.env });
    reals.push(serf);
    return serf;
  };
  const folder = (name: string): string => join(cluster.dir, name);

  beforeAll(async () => {
    const script = folder('dump.sh');
    writeFileSync(script, DUMP);
    chmodSync(script, 0o755);
    for (const name of ['real', 'ours']) mkdirSync(folder(name));
    const more = [
      '-event-handler',
      'query:much=head -c 2000 /dev/zero',
      '-event-handler',
      'query:bad=echo x; exit 1',
    ];
    real = await start('real1', '-tag', 'role=web', '-event-handler', `${script} ${folder('real')}`, ...more);
    rpc = `127.0.0.1:${await freePort()}`;
    ours = await cluster.start({
      name: 'ours1',
      tags: { role: 'web' },
      args: [
        ...['--rpc-addr', rpc, '--event-handler', `${script} ${folder('ours')}`, '--allow-unsigned-queries'],
        ...more.map((word) => word.replace(/^-event/, '--event')),
      ],
    });
    // Both tell of what happens within a second in one event: each has to be done with itself first.
    await both('member-join..1');
    await real.cli('join', ours.gossip);
    await real.sees('ours1', 'alive');
    // What the two make of themselves and of each other is not what is compared.
    await both('member-join..2');
  });

  afterAll(async () => {
    await Promise.all(reals.map((serf) => serf.stop()));
    await cluster.stop();
  });

  /** What each of the two handlers got; its own agent's name apart, it has to be the same. */
  async function both(file: string): Promise<string> {
    const read = (name: string): Promise<string> =>
      eventually(`${file} in ${name}; there are ${readdirSync(folder(name))}`, () =>
        readdirSync(folder(name)).includes(file) ? readFileSync(join(folder(name), file), 'utf8') : undefined,
      );
    const [theirs, own] = await Promise.all([read('real'), read('ours')]);
    if (file !== 'member-join..1' && file !== 'member-join..2') {
      expect(
        own.replace('SERF_SELF_NAME=ours1\n', 'SERF_SELF_NAME=real1\n').replaceAll(folder('ours'), 'X'),
      ).toBe(theirs.replaceAll(folder('real'), 'X'));
    }
    return own.split('input:\n')[1] ?? '';
  }

  test('user events with and without a payload', async () => {
    for (const [name, payload] of [
      ['one', 'v1'],
      ['none', ''],
      ['lines', 'a\nb\n'],
      ['odd', '\ttab $(id) `id` "quoted" %s \\n'],
    ]) {
      await real.cli('event', '-coalesce=false', name!, ...(payload === '' ? [] : [payload!]));
    }
    expect(await both('user.one.1')).toBe('v1\n');
    expect(await both('user.none.1')).toBe('');
    expect(await both('user.lines.1')).toBe('a\nb\n');
    expect(await both('user.odd.1')).toBe('\ttab $(id) `id` "quoted" %s \\n\n');
  });

  test('queries, and both answers', async () => {
    const asked = await real.cli('query', '-timeout', '8s', '-format', 'json', 'load', 'please');
    expect(JSON.parse(asked.stdout)).toEqual({
      Acks: expect.arrayContaining(['real1', 'ours1']),
      Responses: { real1: 'answer of web\n', ours1: 'answer of web\n' },
    });
    expect(await both('query.load.1')).toBe('please\n');
  });

  test('an answer that is too long and a handler that fails are silence, here as there', async () => {
    const ask = (name: string): Promise<Result> =>
      real.cli('query', '-timeout', '5s', '-format', 'json', name);
    for (const asked of await Promise.all(['much', 'bad'].map(ask))) {
      const { Responses } = JSON.parse(asked.stdout) as { Responses: Record<string, string> };
      // The handler for everything answers; of the two lines the first answer counts.
      expect(Object.keys(Responses).sort()).toEqual(['ours1', 'real1']);
    }
    await eventually('the line in the log', () =>
      ours
        .log()
        .includes("[WARN] agent: Failed to respond to query 'much': response exceeds limit of 1024 bytes"),
    );
    expect(ours.log()).toContain("[ERR] agent: Error invoking script 'echo x; exit 1': exit status 1");
  });

  test('members that join, change, leave, fail and are reaped', async () => {
    const mover = await start('mover', '-tag', 'role=db');
    await mover.cli('join', real.gossip);
    const line = (role: string): string => `mover\t127.0.0.1\t${role}\trole=${role}\n`;
    expect(await both('member-join..3')).toBe(line('db'));
    await mover.cli('tags', '-set', 'role=cache');
    expect(await both('member-update..1')).toBe(line('cache'));
    await mover.cli('leave');
    expect(await both('member-leave..1')).toBe(line('cache'));
    await real.cli('force-leave', '-prune', 'mover');
    expect(await both('member-reap..1')).toBe(line('cache'));
    const lost = await start('lost', '-tag', 'role=a\tb');
    await lost.cli('join', real.gossip);
    expect(await both('member-join..4')).toBe('lost\t127.0.0.1\ta\\tb\trole=a\\tb\n');
    await lost.stop();
    expect(await both('member-failed..1')).toBe('lost\t127.0.0.1\ta\\tb\trole=a\\tb\n');
  });

  test('info shows the handlers as the stats of Serf have them', async () => {
    const stats = async (address: string): Promise<unknown> => {
      const { stdout } = await runProgram('serf', ['info', '-rpc-addr', address, '-format', 'json']);
      return (JSON.parse(stdout) as { event_handlers: unknown }).event_handlers;
    };
    const theirs = JSON.stringify(await stats(real.rpc)).replaceAll(folder('real'), folder('ours'));
    expect(await stats(rpc)).toEqual(JSON.parse(theirs));
  });
});
