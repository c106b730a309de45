import { createHash, randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createOperatorKey, type LocalKey } from '../../src/identity/operator-key.ts';
import { encodeGossip } from '../../src/lib/msgpack.ts';
import { encodeUserStream } from '../../src/memberlist/stream.ts';
import { encodeNodeFilter, encodeTagFilter } from '../../src/serf/filters.ts';
import { encodeRelay } from '../../src/serf/messages.ts';
import { type AgentProcess, TestCluster } from '../support/cluster.ts';
import { processorMsOf } from '../support/cost.ts';
import { keyIn } from '../support/key-file.ts';
import { eventually, stopProcess } from '../support/processes.ts';
import {
  auditOf,
  counters,
  FLAG_NO_BROADCAST,
  isAlive,
  memoryMiB,
  operatorKey,
  Rogue,
  starts,
} from './rogue.ts';

const RULES = `
  - id: basics
    effect: allow
    operators: ["group:sre"]
    commands:
      - { program: echo, positionals: { max: 60, match: ["any:4096"] } }
      - { program: sleep, argv: ["int:1..10000"] }
`;

describe('a member that holds the cluster key and no operator key', () => {
  const cluster = new TestCluster();
  let web1: AgentProcess;
  let web2: AgentProcess;
  let rogue: Rogue;
  let alice: LocalKey;
  let mallory: LocalKey;
  let policy: string;

  beforeAll(async () => {
    await cluster.operator();
    alice = operatorKey(cluster);
    createOperatorKey(join(cluster.dir, 'mallory.key'), 'mallory');
    mallory = keyIn(join(cluster.dir, 'mallory.key'));
    policy = cluster.addPolicy('open', RULES);
    web1 = await cluster.start({ name: 'web1', tags: { role: 'web' }, policy });
    web2 = await cluster.start({ name: 'web2', tags: { role: 'web' }, policy, join: web1.gossip });
    rogue = await Rogue.join(cluster, web1, { tags: { role: 'rogue' } });
    await cluster.complete(3);
    await cluster.complete(3, web2);
  });

  afterAll(async () => {
    await rogue.leave();
    await cluster.stop();
  });

  /**
   * Sends a command that an operator did sign, with answers to the rogue, and waits until the node brings its greeting.
   * What the node got before has been dealt with by then. The rogue cannot open the greeting, so this does not run.
   */
  async function settled(node: AgentProcess): Promise<void> {
    const id = new Uint8Array(randomBytes(16));
    const run = Buffer.from(id).toString('hex');
    rogue.query(node, rogue.envelope(alice, ['echo', 'settled'], { id }));
    await eventually('the node to greet', () => rogue.visits.some((visit) => visit.run === run));
    expect(starts(node, 'echo', 'settled'), 'nothing runs without the word of the asker').toBe(0);
  }

  /** How much each counter of an agent has grown since it read `before`. */
  async function grown(node: AgentProcess, before: Record<string, number>): Promise<Record<string, number>> {
    const now = await counters(cluster, node);
    const differences = Object.entries(now).map(([name, count]) => [name, count - (before[name] ?? 0)]);
    return Object.fromEntries(differences.filter(([, count]) => count !== 0));
  }

  const PAYLOAD = ['sleep', '4711'];

  test('forged, unsigned, changed and misdirected commands are ignored and not answered', async () => {
    const before = await counters(cluster, web1);
    const visited = rogue.visits.length;
    const good = rogue.envelope(alice, PAYLOAD);
    for (let bit = 0; bit < good.length * 8; bit += 37) {
      const changed = Uint8Array.from(good);
      changed[bit >>> 3] = (changed[bit >>> 3] as number) ^ (1 << (bit & 7));
      rogue.query(web1, changed);
    }
    for (let cut = 0; cut < good.length; cut += 29) rogue.query(web1, good.subarray(0, cut));
    rogue.query(web1, randomBytes(300));
    const claimed = { keyId: rogue.body(alice, PAYLOAD).keyId };
    rogue.query(web1, rogue.envelope(mallory, PAYLOAD, claimed));
    rogue.query(web1, rogue.envelope(mallory, PAYLOAD));
    rogue.query(web1, rogue.envelope(alice, PAYLOAD, { environment: 'production' }));
    rogue.query(web1, rogue.envelope(alice, PAYLOAD, { cluster: 'another' }));
    rogue.query(web1, rogue.envelope(alice, PAYLOAD, { selector: 'node=web2' }));
    rogue.query(web1, rogue.envelope(alice, PAYLOAD, { selector: 'role=db' }));
    await settled(web1);
    expect(rogue.visits.length - visited, 'only the signed command is answered').toBe(1);
    expect(starts(web1, ...PAYLOAD)).toBe(0);
    const counted = await grown(web1, before);
    expect(counted['fanout-bad-signature']).toBeGreaterThan(1);
    expect(counted).toMatchObject({ 'fanout-unknown-operator': 1, 'fanout-other-cluster': 1 });
    expect(counted['fanout-other-environment']).toBeGreaterThan(0);
    expect(counted['fanout-not-selected']).toBeGreaterThan(1);
  });

  test('a signed command out of its time is refused, once, and its replays are not even answered', async () => {
    const before = await counters(cluster, web1);
    const now = Math.floor(Date.now() / 1000);
    const outOfTime = [
      { issuedAt: now - 86_400 },
      { issuedAt: now + 86_400 },
      { issuedAt: now, ttlSeconds: 86_400 },
    ].map((fields) => rogue.envelope(alice, PAYLOAD, fields));
    const visited = rogue.visits.length;
    for (const envelope of outOfTime) rogue.query(web1, envelope);
    await eventually('three refusals', () => rogue.visits.length === visited + 3);
    for (const envelope of outOfTime) rogue.query(web1, envelope, { port: 9 });
    await settled(web1);
    expect(rogue.visits.length - visited).toBe(4);
    expect(await grown(web1, before)).toMatchObject({ 'fanout-replayed': 3 });
    expect(
      auditOf(web1)
        .filter(({ argv }) => argv?.join() === PAYLOAD.join())
        .map(({ event }) => event),
    ).toEqual(['denied', 'denied', 'denied']);
  });

  test('a command that was run is not run again: not there, not elsewhere, not after a restart', async () => {
    expect((await cluster.fanout(['echo once', '--tag', 'role=web'])).code).toBe(0);
    const { bytes, query } = await rogue.capture('echo', 'once');
    const replay = async (node: AgentProcess): Promise<void> => {
      const before = await counters(cluster, node);
      for (const fields of [{}, { ltime: 77 }, { addr: query.addr, port: query.port, sourceNode: 'web1' }]) {
        rogue.query(node, bytes, fields);
      }
      await settled(node);
      expect((await grown(node, before))['fanout-replayed']).toBeGreaterThan(0);
    };
    await replay(web1);
    await replay(web2);
    await stopProcess(web2.child, 'SIGKILL');
    const again = { tags: { role: 'web' }, policy, join: web1.gossip, args: ['--bind', web2.gossip] };
    web2 = await cluster.start({ name: 'web2', ...again });
    await cluster.complete(3, web2);
    await replay(web2);
    // It matches, and has never seen the command: it greets the asker, whose run is over, and ends there.
    const late = await cluster.start({ name: 'web3', ...again, args: [] });
    rogue.query(late, bytes);
    await eventually('web3 to admit it', () => late.log().includes('allowed by rule "basics"'));
    await settled(late);
    expect([
      starts(web1, 'echo', 'once'),
      starts(web2, 'echo', 'once'),
      starts(late, 'echo', 'once'),
    ]).toEqual([1, 1, 0]);
    await stopProcess(late.child, 'SIGKILL');
  });

  test('a copy with filters or a source of its own does not keep the honest one from being run', async () => {
    const envelope = rogue.envelope(alice, ['echo', 'settled']);
    const visited = rogue.visits.length;
    rogue.query(web1, envelope, { filters: [encodeNodeFilter(['nobody'])] });
    rogue.query(web1, envelope, { filters: [encodeTagFilter('role', '(')] });
    rogue.query(web1, envelope);
    await eventually('the node to greet', () => rogue.visits.length === visited + 1);
  });

  test('an ack in the name of a node neither ends a run nor the repeats to that node', async () => {
    const silent = await Rogue.join(cluster, web1, { name: 'web9', tags: { role: 'silent' } });
    await eventually('web9', async () =>
      (await cluster.fanout(['members', '--node', 'web9'])).stdout.includes('alive'),
    );
    const run = cluster.fanout(['echo unheard', '--tag', 'role=silent', '--timeout', '5s']);
    const { query } = await silent.capture('echo', 'unheard');
    for (const from of ['web9', 'web9', 'web1', 'nobody', 'x'.repeat(5000)])
      rogue.forgeAck(web1, query, from);
    const repeats = (): number => silent.seen.filter(({ flags }) => (flags & FLAG_NO_BROADCAST) !== 0).length;
    await eventually('the query to be repeated', () => repeats() >= 2);
    const { code, stderr } = await run;
    expect(code).toBe(4);
    expect(stderr).toMatch(/web9.*acknowledged/);
    await silent.leave();
  });

  test('references to envelopes that do not come, or not as announced, hold up nobody', async () => {
    const before = await counters(cluster, web1);
    const visited = rogue.visits.length;
    const envelope = rogue.envelope(alice, PAYLOAD);
    const reference = (bytes: Uint8Array, { size = bytes.length, from = rogue.name } = {}): Uint8Array =>
      encodeGossip({ from, hash: createHash('sha256').update(bytes).digest(), size });
    const answers: ((socket: Socket) => void)[] = [
      (socket) => socket.end(),
      (socket) => socket.destroy(),
      (socket) => socket.end(randomBytes(envelope.length)),
      (socket) => socket.write(randomBytes(70_000)),
    ];
    const serve = (socket: Socket): void => {
      socket.on('error', () => {});
      answers.pop()?.(socket);
    };
    rogue.onVisit = ({ op, socket }) => op === 'fetch' && serve(socket);
    for (const [i] of answers.entries()) rogue.query(web1, reference(randomBytes(500 + i)));
    await eventually('the fetches to fail', async () => {
      const counted = await grown(web1, before);
      const failed = ['failed', 'other', 'oversize'].map(
        (why) => counted[`fanout-envelope-fetch-${why}`] ?? 0,
      );
      return failed.reduce((sum, count) => sum + count) === 4;
    });
    rogue.query(web1, reference(envelope, { size: 2 ** 32 - 1 }));
    rogue.query(web1, encodeGossip({ from: rogue.name, hash: randomBytes(31), size: 500 }));
    rogue.query(web1, reference(envelope, { from: 'nobody' }));
    // Now every fetch is left without an answer, and there are more than an agent has places for.
    for (let i = 0; i < 400; i++) rogue.query(web1, reference(randomBytes(500)));
    await eventually('fetches in vain', () => rogue.visits.filter(({ op }) => op === 'fetch').length > 30);
    const words = Array.from({ length: 30 }, (_, i) => `long-${i}-${'x'.repeat(60)}`);
    const run = await cluster.fanout(['--node', 'web1', '--timeout', '20s', '--', 'echo', ...words], {
      via: web2,
    });
    expect([run.code, run.stdout]).toEqual([0, `web1: ${words.join(' ')}\n`]);
    expect(rogue.visits.slice(visited).some(({ op }) => op === 'answer')).toBe(false);
    expect(await grown(web1, before)).toMatchObject({
      'fanout-envelope-reference': 2,
      'fanout-envelope-fetch-stranger': 1,
    });
    expect(starts(web1, ...PAYLOAD)).toBe(0);
    // A byte now and then does not keep a place for longer than silence does.
    const dripping = rogue.visits.filter(({ op }) => op === 'fetch').map(({ socket }) => socket);
    const drip = setInterval(() => {
      for (const socket of dripping) if (socket.writable) socket.write('x');
    }, 500);
    try {
      await eventually('the fetches to be given up', async () => {
        const counted = await grown(web1, before);
        return (counted['fanout-envelope-fetch-timeout'] ?? 0) >= 30;
      });
    } finally {
      clearInterval(drip);
      rogue.onVisit = () => {};
    }
  });

  test('thousands of streams that ask for what is not there cost nothing that lasts', async () => {
    const descriptors = (): number => readdirSync(`/proc/${web1.child.pid}/fd`).length;
    const [open, memory] = [descriptors(), memoryMiB(web1.child.pid)];
    for (let batch = 0; batch < 10; batch++) {
      const sockets = await Promise.all(
        Array.from({ length: 300 }, (_, i) => {
          if (i % 3 === 0) return rogue.open(web1, { op: 'fetch', hash: randomBytes(32) });
          if (i % 3 === 1) return rogue.open(web1, { op: 'collect', run: randomBytes(16) });
          return rogue.open(web1, { op: 'answer', run: randomBytes(16), node: 'web2' });
        }),
      );
      // The rogue keeps its half open: it is the agent that must close.
      await Promise.all(
        sockets.map((socket) => new Promise((resolve) => socket.resume().once('close', resolve))),
      );
    }
    await eventually('the descriptors to be free again', () => descriptors() <= open + 5);
    expect(memoryMiB(web1.child.pid) - memory, 'MiB more than before').toBeLessThan(60);
    expect((await cluster.fanout(['echo hi', '--tag', 'role=web'])).code).toBe(0);
  });

  test('no single message ends or freezes an agent', async () => {
    const before = await counters(cluster, web1);
    const nothing = new Uint8Array(3);
    rogue.query(web1, nothing, { port: 0 });
    rogue.query(web1, nothing, { addr: randomBytes(16) });
    rogue.query(web1, nothing, { addr: new Uint8Array(4) });
    const inner = rogue.queryBytes(nothing);
    const relay = (port: number): Uint8Array =>
      encodeRelay({ destAddr: { ip: Uint8Array.of(127, 0, 0, 1), port, zone: '' }, destName: '', inner });
    for (const port of [0, 9, rogue.port]) rogue.send(web1, relay(port));
    // Linear time is not enough where a repeat count multiplies the program: each of these takes a second or more.
    const dear = (i: number): Uint8Array => encodeTagFilter('role', `${'(.*){1000}'.repeat(80)}x{0,${i}}`);
    const taken = processorMsOf(web1.child.pid);
    for (const batch of [0, 10, 20, 30]) {
      const nine = Array.from({ length: 9 }, (_, i) => dear(batch + i));
      rogue.query(web1, nothing, { name: `dear-${batch}`, filters: nine });
    }
    for (const [i, expr] of [
      '((a{30}){30})*'.repeat(50),
      '('.repeat(900),
      '\\pL{999}'.repeat(99),
    ].entries()) {
      rogue.query(web1, nothing, { name: `any-${i}`, filters: [encodeTagFilter('role', expr)] });
    }
    const conflict = rogue.queryBytes(Buffer.from('n'.repeat(900)), { name: '_serf_conflict' });
    const stream = await rogue.dial(web1);
    stream.write(rogue.sealed(encodeUserStream(conflict)));
    await new Promise((resolve) => stream.resume().once('close', resolve));
    await settled(web1);
    expect(processorMsOf(web1.child.pid) - taken, 'ms for all of them').toBeLessThan(5000);
    expect(isAlive(web1)).toBe(true);
    expect(await grown(web1, before)).toMatchObject({ 'serf-relay-refused': 3 });
  });
});
