import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { TestCluster } from '../support/cluster.ts';
import { eventually, FANOUT, freePort, runProgram } from '../support/processes.ts';
import { HAS_SERF, RealSerf } from '../support/real-serf.ts';

let cluster: TestCluster;
beforeEach(() => {
  cluster = new TestCluster();
});
afterEach(() => cluster.stop());

const agent = (...args: string[]) =>
  runProgram(
    process.execPath,
    [FANOUT, 'agent', '--data-dir', `${cluster.dir}/d`, '--bind', '127.0.0.1:0', ...args],
    {
      env: cluster.env,
    },
  );

test('a line that makes everybody root is refused, and the way out is told', async () => {
  for (const line of ['query:ssh=/bin/sh', 'user:x=exec bash', 'sh -s']) {
    const { code, stderr } = await agent('--event-handler', line);
    expect(code).toBe(2);
    expect(stderr).toContain('is a shell: whoever holds the cluster key runs what they like');
    expect(stderr).toContain('fanout "uptime"');
    expect(stderr).toContain('--allow-shell-handler');
  }
});

test('with the flag it starts, and warns', async () => {
  const started = await cluster.start({
    name: 'a',
    args: ['--event-handler', 'query:ssh=/bin/sh', '--allow-shell-handler'],
  });
  await eventually('the warning', () =>
    /\[WARN\] agent: the event handler '\/bin\/sh' is a shell/.test(started.log()),
  );
  expect(started.log()).toContain("the query 'ssh' has a handler and is not answered");
});

test('a filter that is none is refused in the words of Serf', async () => {
  const { code, stderr } = await agent('--event-handler', 'foo=bar');
  expect([code, stderr]).toEqual([
    2,
    expect.stringContaining("Invalid event script: Event 'foo' invoking 'bar'"),
  ]);
});

test('lines come from a configuration file too, and SIGHUP puts others in their place', async () => {
  const file = `${cluster.dir}/agent.json`;
  const write = (...lines: string[]): void => writeFileSync(file, JSON.stringify({ event_handlers: lines }));
  const ran = (): string =>
    existsSync(`${cluster.dir}/ran`) ? readFileSync(`${cluster.dir}/ran`, 'utf8') : '';
  write(`member-join=cut -f1 >> ${cluster.dir}/ran`);
  const started = await cluster.start({ name: 'a', args: ['--config-file', file] });
  await eventually('its own join', () => ran() === 'a\n');
  write('foo=bar');
  started.child.kill('SIGHUP');
  await eventually('the complaint', () => started.log().includes("Invalid event script: Event 'foo'"));
  write(`member-update=echo updated >> ${cluster.dir}/ran`);
  started.child.kill('SIGHUP');
  await eventually('the new lines', () => started.log().includes('configuration reloaded'));
  await cluster.start({ name: 'b', join: started.gossip });
  await eventually('the other one', () => started.log().includes('member-join: b'));
  expect(ran()).toBe('a\n');
});

test('a query that nobody signed is in the audit log: what ran and how it ended, and what was refused', async () => {
  await cluster.operator();
  const policy = cluster.addPolicy(
    'named',
    '  - { id: none, effect: deny, programs: [sh] }\nqueries: [{ name: load, from: any }]\n',
  );
  const args = ['--event-handler', 'query:load=echo ran; exit 3', '--event-handler', 'query:other=echo ran'];
  const { dataDir } = await cluster.start({ name: 'a', policy, args });
  for (const name of ['load', 'other', 'unknown']) {
    const asked = await cluster.fanout(['query', name, 'what', '--timeout', '2s']);
    expect([asked.code, asked.stdout]).toEqual([0, expect.not.stringContaining('ran')]);
  }
  const log = `${dataDir}/audit.jsonl`;
  const records = await eventually('its end', () => {
    const lines = readFileSync(log, 'utf8').trim().split('\n');
    const all = lines
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    return all.some(({ event }) => event === 'unsigned-query-end') && all.length === 3 ? all : undefined;
  });
  const load = { query: 'load', handler: 'echo ran; exit 3', node: 'a' };
  expect(records).toMatchObject([
    { event: 'unsigned-query', ...load, rule: 'query:load', from: 'a', payload: 'what' },
    { event: 'unsigned-query-end', ...load, cause: 'exit', code: 3, request: records[0]?.request },
    { event: 'unsigned-query-refused', query: 'other', handler: 'echo ran', reason: expect.any(String) },
  ]);
  const shown = await cluster.fanout(['audit', 'show', log]);
  expect(shown.stdout).toMatch(/unsigned-query-end .* query load {2}handler echo ran; exit 3 {2}code 3/);
  expect((await cluster.fanout(['audit', 'verify', log])).code).toBe(0);
});

describe.skipIf(!HAS_SERF)('a query of the real Serf', () => {
  test('is answered where the policy names it, or without a policy where that was asked for', async () => {
    await cluster.operator();
    const allow = '  - { id: none, effect: deny, programs: [sh] }\n';
    const named = cluster.addPolicy('named', `${allow}queries: [{ name: load, from: any }]\n`);
    const signed = cluster.addPolicy('signed', `${allow}queries: [{ name: load, operators: [alice] }]\n`);
    const silent = cluster.addPolicy('silent', allow);
    const args = ['--event-handler', 'query:load=echo ran', '--event-handler', 'query:other=echo ran'];
    const rpc = `127.0.0.1:${await freePort()}`;
    const first = await cluster.start({ name: 'named', policy: named, args: ['--rpc-addr', rpc, ...args] });
    for (const [name, policy] of Object.entries({ signed, silent })) {
      await cluster.start({ name, policy, args: [...args, '--allow-unsigned-queries'], join: first.gossip });
    }
    await cluster.start({ name: 'bare', args, join: first.gossip });
    await cluster.start({ name: 'open', args: [...args, '--allow-unsigned-queries'], join: first.gossip });
    const real = await RealSerf.start('real', { key: cluster.key, join: first.gossip });
    try {
      for (const { name } of cluster.agents) await real.sees(name, 'alive');
      const responses = async (query: string): Promise<unknown> => {
        const { stdout } = await real.cli('query', '-timeout', '6s', '-format', 'json', query);
        return (JSON.parse(stdout) as { Responses: unknown }).Responses;
      };
      expect(await Promise.all([responses('load'), responses('other')])).toEqual([
        { named: 'ran\n', open: 'ran\n' },
        { open: 'ran\n' },
      ]);
    } finally {
      await real.stop();
    }
  });
});
