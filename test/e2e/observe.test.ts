import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ABOUT_QUERY } from '../../src/agent/about.ts';
import { connectAgent } from '../../src/asker/connect.ts';
import { keyId } from '../../src/identity/ssh-key.ts';
import { EMPTY, utf8, utf8Text } from '../../src/lib/bytes.ts';
import { VERSION } from '../../src/lib/version.ts';
import type { RpcClient } from '../../src/rpc/client.ts';
import type { EventRecord, QueryRecord } from '../../src/rpc/views.ts';
import { type AgentProcess, TestCluster } from '../support/cluster.ts';
import { keyIn } from '../support/key-file.ts';
import { eventually, FANOUT } from '../support/processes.ts';

const QUERY = {
  name: 'load',
  payload: EMPTY,
  filterNodes: [],
  filterTags: new Map<string, string>(),
  requestAck: false,
  relayFactor: 0,
  timeoutNs: 0,
};
const RULES = `
  - { id: look, effect: allow, readOnly: true, operators: [alice], commands: [{ program: uptime, argv: [] }] }
`;

describe('what an agent shows to its operators', () => {
  const cluster = new TestCluster();
  let web1: AgentProcess;
  let web2: AgentProcess;
  let client: RpcClient;
  let other: RpcClient;

  beforeAll(async () => {
    await cluster.operator();
    const policy = cluster.addPolicy('policy', RULES);
    web1 = await cluster.start({ name: 'web1', policy });
    web2 = await cluster.start({ name: 'web2', join: web1.gossip });
    await cluster.complete(2);
    await cluster.complete(2, web2);
    client = await connectAgent({ path: web1.control });
    other = await connectAgent({ path: web2.control });
  });

  afterAll(async () => {
    client.close();
    other.close();
    await cluster.stop();
  });

  /** Asks the cluster and returns all that came of it. */
  async function ask(options: Parameters<RpcClient['query']>[0], via = client): Promise<QueryRecord[]> {
    const records: QueryRecord[] = [];
    await via.query(options, (record) => records.push(record));
    await eventually('the end of the query', () => records.some(({ kind }) => kind === 'done'));
    return records;
  }

  test('streams events through their filter, and an operator answers a query by hand', async () => {
    const events: EventRecord[] = [];
    const stop = await client.stream('user:deploy,query:load,member-update', (event) => events.push(event));
    await other.event('other', utf8('no'), false);
    await other.event('deploy', utf8('v1'), true);
    await eventually('the event', () => events.length === 1);
    expect(events[0]).toMatchObject({ event: 'user', name: 'deploy', payload: utf8('v1'), coalesce: true });

    const records: QueryRecord[] = [];
    const options = { ...QUERY, payload: utf8('now'), requestAck: true, timeoutNs: 2e9 };
    await other.query(options, (record) => records.push(record));
    const query = await eventually('the query', () => events.find(({ event }) => event === 'query'));
    if (!('id' in query)) throw new Error(query.event);
    expect(query).toMatchObject({ name: 'load', payload: utf8('now') });
    await expect(client.respond(query.id, new Uint8Array(1100))).rejects.toThrow('response exceeds limit');
    await client.respond(query.id, utf8('0.42'));
    await expect(client.respond(query.id, utf8('0.43'))).rejects.toThrow('response already sent');
    await expect(client.respond(query.id + 1, utf8('x'))).rejects.toThrow('No pending queries matching ID');
    await expect(other.respond(query.id, utf8('x'))).rejects.toThrow('No pending queries matching ID');
    await eventually('the end of the query', () => records.some(({ kind }) => kind === 'done'));
    expect(records.filter(({ kind }) => kind === 'ack').length).toBe(2);
    expect(records).toContainEqual({ kind: 'response', from: 'web1', payload: utf8('0.42') });
    // Up to its deadline a query is known, and has its answer already.
    const late = client.respond(query.id, utf8('late'));
    await expect(late).rejects.toThrow(/No pending queries matching ID|response already sent/);

    await other.tags(new Map([['role', 'db']]));
    const update = await eventually('the update', () =>
      events.find(({ event }) => event === 'member-update'),
    );
    expect(update).toMatchObject({ event: 'member-update', members: [{ name: 'web2' }] });
    stop();
    const seen = events.length;
    await other.event('deploy', utf8('v2'), false);
    await eventually('the event to be here', async () => {
      const stats = await client.stats();
      return Number(stats.get('serf')?.get('event_time')) > 3;
    });
    expect(events.length).toBe(seen);
  });

  test('refuses filters and levels that are none, as Serf does', async () => {
    await expect(client.stream('users', () => {})).rejects.toThrow('Invalid event filter');
    await expect(client.monitor('LOUD', () => {})).rejects.toThrow('Unknown log level: LOUD');
    await expect(client.monitor('__proto__', () => {})).rejects.toThrow('Unknown log level');
  });

  test('shows its last log lines and then new ones, below the level that it prints as well', async () => {
    const quiet = await cluster.start({ name: 'quiet', args: ['--log-level', 'error'] });
    const listener = await connectAgent({ path: quiet.control });
    const [debug, errors]: [string[], string[]] = [[], []];
    await listener.monitor('debug', (line) => debug.push(line));
    const second = await connectAgent({ path: quiet.control });
    await second.monitor('ERR', (line) => errors.push(line));
    expect(await listener.join([web1.gossip])).toBe(1);
    await eventually('the join to be logged', () => debug.some((line) => /member-join: web2/.test(line)));
    expect(debug[0]).toMatch(/^\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d \[\w+\] agent: /);
    expect(quiet.log()).not.toContain('member-join');
    expect(errors).toEqual([]);
    const late: string[] = [];
    const third = await connectAgent({ path: quiet.control });
    await third.monitor('INFO', (line) => late.push(line));
    await eventually('the lines of before', () => late.some((line) => /member-join: web2/.test(line)));
    await listener.leave();
    for (const one of [listener, second, third]) one.close();
  });

  test('knows how far its peers are', async () => {
    const peer = await eventually('web2 to be probed', async () => {
      const found = (await client.peers()).find(({ name }) => name === 'web2');
      return found?.rttMs === undefined ? undefined : found;
    });
    expect(peer).toMatchObject({ name: 'web2', isSuspect: false });
    expect(peer.rttMs).toBeLessThan(1000);
  });

  test('says which programs its own policy allows to whom', async () => {
    const key = keyIn(join(cluster.dir, 'config', 'fanout', 'operator.key'));
    const alice = keyId(key.publicKey);
    expect(await client.programs(alice)).toEqual([{ program: 'uptime', readOnly: true, rule: 'look' }]);
    expect(await client.programs(new Uint8Array(8))).toEqual([]);
    expect(await client.programs(new Uint8Array(0))).toEqual([]);
    expect(await other.programs(alice), 'it has no policy').toEqual([]);
  });

  test('tells every member that asks what it is, whatever the question carries, and never streams it', async () => {
    const events: EventRecord[] = [];
    const stop = await other.stream('*', (event) => events.push(event));
    const records = await ask({ ...QUERY, name: ABOUT_QUERY, payload: utf8('uptime'), timeoutNs: 1.5e9 });
    const answers = new Map(
      records.flatMap((record) =>
        record.kind === 'response'
          ? [[record.from, JSON.parse(utf8Text(record.payload) ?? '') as unknown] as const]
          : [],
      ),
    );
    const info = await client.info();
    expect(answers.get('web1')).toMatchObject({
      version: VERSION,
      environment: 'test',
      policyHash: info.policyHash,
      nodeKey: /node key:\s+(\S+)/.exec(web1.log())?.[1],
    });
    expect(answers.get('web2')).toMatchObject({ environment: '', policyHash: '' });
    expect(events.filter(({ event }) => event === 'query')).toEqual([]);
    expect(readFileSync(join(web1.dataDir, 'audit.jsonl'), 'utf8')).not.toContain('uptime');
    stop();
  });

  /** `fanout monitor` with what it has printed so far. */
  function monitor(via: AgentProcess, ...args: string[]): { shown: () => string; child: ChildProcess } {
    const argv = [FANOUT, 'monitor', '--rpc-addr', via.control, ...args];
    const child = spawn(process.execPath, argv, { env: cluster.env, stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
    return { shown: () => text, child };
  }

  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    'prints all that with fanout monitor, until %s',
    async (signal) => {
      for (const format of ['text', 'ndjson']) {
        const { shown, child } = monitor(web1, '--format', format, '--log-level', 'info');
        const code = new Promise((resolve) => child.once('close', resolve));
        await eventually('the log', () => shown().includes('member-join: web2'));
        // The log comes first, and then the events from then on.
        await eventually('the event', async () => {
          await other.event('deploy', utf8(`v-${signal}`), false);
          return shown().includes(`v-${signal}`);
        });
        child.kill(signal);
        expect(await code, shown()).toBe(0);
        if (format === 'ndjson') {
          for (const line of shown().trim().split('\n')) expect(JSON.parse(line)).toHaveProperty('event');
        }
      }
    },
  );

  test('ends its monitors with an error when it stops', async () => {
    const brief = await cluster.start({ name: 'brief', join: web1.gossip });
    const { shown, child } = monitor(brief, '--log-level', 'debug', '--format', 'ndjson');
    const code = new Promise((resolve) => child.once('close', resolve));
    await eventually('it to be followed', () => shown().includes('"event"'));
    brief.child.kill('SIGTERM');
    expect(await code).toBe(69);
    expect(shown()).toContain('the agent is gone');
  });

  test('does not fall for a name that makes its answer too long', async () => {
    const long = await cluster.start({ name: 'long', args: ['--env', 'e'.repeat(1500)], join: web1.gossip });
    const there = await connectAgent({ path: long.control });
    await eventually('it to be a member', async () => (await there.members()).length >= 3);
    const records = await ask({ ...QUERY, name: ABOUT_QUERY, timeoutNs: 1.5e9 }, there);
    expect(records).toContainEqual(expect.objectContaining({ kind: 'response', from: 'web1' }));
    expect(records).not.toContainEqual(expect.objectContaining({ from: 'long' }));
    expect((await there.stats()).get('counters')?.get('fanout-about-response-size')).toBe('1');
    there.close();
  });
});
