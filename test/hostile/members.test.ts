import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { toHex } from '../../src/lib/bytes.ts';
import { encodeAlive, encodeDead, encodeSuspect } from '../../src/memberlist/messages.ts';
import { encodeUserStream } from '../../src/memberlist/stream.ts';
import {
  encodeJoin,
  encodeLeave,
  encodePushPull,
  encodeQueryResponse,
  encodeUserEvent,
} from '../../src/serf/messages.ts';
import { encodeTags } from '../../src/serf/tags.ts';
import { type AgentProcess, TestCluster } from '../support/cluster.ts';
import { eventually } from '../support/processes.ts';
import { endpointOf, isAlive, memoryMiB, operatorKey, Rogue, starts } from './rogue.ts';

const RULES = `
  - id: basics
    effect: allow
    operators: ["group:sre"]
    commands:
      - { program: echo, positionals: { max: 60, match: ["any:4096"] } }
      - { program: sleep, argv: ["int:1..10000"] }
`;
const VERSIONS = Uint8Array.of(1, 5, 2, 2, 5, 5);
/** Stands for a Lamport time until the bytes of a hostile one take its place. */
const PLACEHOLDER = 0x1_1223_3445;
const HOSTILE_TIMES = {
  'the largest that is believed': 2n ** 52n,
  'one more': 2n ** 52n + 1n,
  'beyond what is exact': 2n ** 53n + 1n,
  'the sign bit': 2n ** 63n,
  'the largest there is': 2n ** 64n - 1n,
};

/** A message with its Lamport times replaced by one that no encoder of ours would write. */
function withTime(message: Uint8Array, time: bigint): Uint8Array {
  const bytes = Buffer.from(message);
  const mark = Buffer.alloc(9, 0xcf);
  mark.writeBigUInt64BE(BigInt(PLACEHOLDER), 1);
  for (let at = bytes.indexOf(mark); at >= 0; at = bytes.indexOf(mark, at + 9))
    bytes.writeBigUInt64BE(time, at + 1);
  return bytes;
}

describe('a member that lies about members and times', () => {
  const cluster = new TestCluster();
  const sockets: Socket[] = [];
  let ops: AgentProcess;
  let web1: AgentProcess;
  let web2: AgentProcess;
  let rogue: Rogue;
  let memoryBefore: number[];

  beforeAll(async () => {
    await cluster.operator();
    const policy = cluster.addPolicy('open', RULES);
    ops = await cluster.start({ name: 'ops', args: ['--env', 'test'] });
    web1 = await cluster.start({ name: 'web1', tags: { role: 'web' }, policy, join: ops.gossip });
    web2 = await cluster.start({ name: 'web2', tags: { role: 'web' }, policy, join: ops.gossip });
    rogue = await Rogue.join(cluster, ops);
    await cluster.complete(4);
    expect((await cluster.fanout(['echo met', '--tag', 'role=web'])).code).toBe(0);
    memoryBefore = [ops, web1, web2].map(({ child }) => memoryMiB(child.pid));
  });

  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    for (const [i, agent] of [ops, web1, web2].entries()) {
      expect(isAlive(agent), agent.name).toBe(true);
      expect(memoryMiB(agent.child.pid) - memoryBefore[i]!, 'MiB more than before').toBeLessThan(120);
    }
  });

  afterAll(async () => {
    await rogue.leave();
    await cluster.stop();
  });

  /** Both web nodes are alive again to the asker, and an honest run has exactly their two answers. */
  async function honestRun(): Promise<void> {
    await eventually('both to be alive', async () => {
      const { stdout } = await cluster.fanout(['nodes', '--tag', 'role=web']);
      return stdout === 'web1\nweb2\n';
    });
    const word = randomBytes(6).toString('hex');
    const { code, stdout, stderr } = await cluster.fanout([
      `echo ${word}`,
      '--tag',
      'role=web',
      '--timeout',
      '30s',
    ]);
    expect([code, stdout.split('\n').sort()], stderr).toEqual([0, ['', `web1: ${word}`, `web2: ${word}`]]);
    expect([starts(web1, 'echo', word), starts(web2, 'echo', word)]).toEqual([1, 1]);
  }

  function incarnationOf(node: string): number {
    return rogue.driver.serf.memberlist.table.get(node)?.incarnation ?? 0;
  }

  function forgeAlive(
    node: string,
    fields: { host?: string; port?: number; tags?: Record<string, string> },
  ): Uint8Array {
    const entry = rogue.driver.serf.memberlist.table.get(node);
    const addr =
      fields.host === undefined
        ? (entry?.addr ?? new Uint8Array(4))
        : Uint8Array.from(fields.host.split('.').map(Number));
    const meta = encodeTags(new Map(Object.entries(fields.tags ?? { role: 'web' })));
    const incarnation = incarnationOf(node) + 5;
    return encodeAlive({
      incarnation,
      node,
      addr,
      port: fields.port ?? entry?.port ?? 0,
      meta,
      vsn: VERSIONS,
    });
  }

  test.each(Object.entries(HOSTILE_TIMES))('Lamport times: %s', async (_what, time) => {
    const name = 'n'.repeat(8);
    const messages = [
      encodeUserEvent({ ltime: PLACEHOLDER, name, payload: randomBytes(20), cc: false }),
      encodeJoin({ ltime: PLACEHOLDER, node: 'web1' }),
      encodeJoin({ ltime: PLACEHOLDER, node: 'nobody' }),
      encodeLeave({ ltime: PLACEHOLDER, node: 'nobody', prune: true }),
      encodeQueryResponse({ ltime: PLACEHOLDER, id: 7, from: 'web1', flags: 1, payload: null }),
      rogue.queryBytes(new Uint8Array(3), { ltime: PLACEHOLDER, name }),
      rogue.queryBytes(rogue.envelope(operatorKey(cluster), ['sleep', '4711']), { ltime: PLACEHOLDER }),
    ].map((message) => withTime(message, time));
    for (const agent of [ops, web1, web2]) {
      for (const message of messages) rogue.send(agent, message);
      const stream = await rogue.dial(agent);
      for (const message of messages) stream.write(rogue.sealed(encodeUserStream(message)));
      sockets.push(stream.resume());
    }
    await honestRun();
    expect([starts(web1, 'sleep', '4711'), starts(web2, 'sleep', '4711')]).toEqual([0, 0]);
  });

  test('a whole state with the largest times, handed over at a join', async () => {
    const hostile = encodePushPull({
      ltime: 2 ** 52,
      statusLTimes: new Map([
        ['web1', 2 ** 52],
        ['ops', 2 ** 52],
      ]),
      leftMembers: ['web1', 'web2', 'ops'],
      eventLTime: 2 ** 52,
      events: [],
      queryLTime: 2 ** 52,
    });
    const { serf } = rogue.driver;
    Reflect.set(serf, 'localState', () => hostile);
    const failure = await new Promise((resolve) => {
      rogue.driver.act((core, now) => core.join(now, endpointOf(web1), resolve));
    });
    Reflect.deleteProperty(serf, 'localState');
    expect(failure).toBeUndefined();
    await honestRun();
  });

  test.each<[string, (to: AgentProcess, node: string) => void]>([
    ['leaves', (to, node) => rogue.send(to, encodeLeave({ ltime: 2 ** 51, node, prune: false }))],
    [
      'leaves and is to be forgotten',
      (to, node) => rogue.send(to, encodeLeave({ ltime: 2 ** 51 + 9, node, prune: true })),
    ],
    [
      'is suspected',
      (to, node) =>
        rogue.packet(to, encodeSuspect({ incarnation: incarnationOf(node), node, from: 'mallory' })),
    ],
    [
      'is suspected in its neighbours’ names',
      (to, node) => {
        for (const from of ['ops', 'web1', 'web2', 'x', 'y', 'z']) {
          rogue.packet(to, encodeSuspect({ incarnation: incarnationOf(node), node, from }));
        }
      },
    ],
    [
      'is dead',
      (to, node) => rogue.packet(to, encodeDead({ incarnation: incarnationOf(node), node, from: 'mallory' })),
    ],
    [
      'has left by its own word',
      (to, node) => rogue.packet(to, encodeDead({ incarnation: incarnationOf(node), node, from: node })),
    ],
    [
      'has the highest incarnation there is',
      (to, node) => rogue.packet(to, encodeDead({ incarnation: 2 ** 32 - 1, node, from: 'mallory' })),
    ],
    [
      'has another address',
      (to, node) => rogue.packet(to, forgeAlive(node, { host: '127.0.0.66', port: rogue.port })),
    ],
    ['has no address', (to, node) => rogue.packet(to, forgeAlive(node, { host: '0.0.0.0', port: 0 }))],
    ['has other tags', (to, node) => rogue.packet(to, forgeAlive(node, { tags: { role: 'db' } }))],
  ])('web1 %s, says the rogue to everybody: soon an honest run has its answer again', async (_what, lie) => {
    for (const agent of [ops, web2, web1]) lie(agent, 'web1');
    await honestRun();
  });

  test('the asker itself is said to be dead, and elsewhere, in the middle of a run', async () => {
    const run = cluster.fanout(['sleep 3', '--tag', 'role=web', '--timeout', '30s']);
    await eventually('both to run', () => starts(web1, 'sleep', '3') + starts(web2, 'sleep', '3') === 2);
    for (const agent of [web1, web2]) {
      rogue.packet(agent, forgeAlive('ops', { host: '127.0.0.66', port: rogue.port, tags: {} }));
      rogue.packet(
        agent,
        encodeDead({ incarnation: incarnationOf('ops') + 5, node: 'ops', from: 'mallory' }),
      );
    }
    expect((await run).code).toBe(0);
    await honestRun();
  });

  test('a node that is given tags runs only what its own tags are selected by', async () => {
    const word = randomBytes(6).toString('hex');
    const repeat = setInterval(() => {
      for (const agent of [ops, web2]) rogue.packet(agent, forgeAlive('web1', { tags: { role: 'db' } }));
    }, 20);
    try {
      await eventually('the asker to believe it', async () => {
        return (await cluster.fanout(['nodes', '--tag', 'role=db'])).stdout === 'web1\n';
      });
      const { code, stdout } = await cluster.fanout([`echo ${word}`, '--tag', 'role=db', '--timeout', '2s']);
      // Either it was selected by the lie and stayed silent, or the lie was refuted first.
      expect([3, 4]).toContain(code);
      expect(stdout).toBe('');
    } finally {
      clearInterval(repeat);
    }
    expect(starts(web1, 'echo', word)).toBe(0);
    await honestRun();
  });

  test('a second member with the name of the asker, and one with the name of a node', async () => {
    const twins = await Promise.allSettled(
      ['ops', 'web1'].map((name) => Rogue.join(cluster, web2, { name, tags: { role: 'web' } })),
    );
    await honestRun();
    const known = await cluster.fanout(['members', '--format', 'json']);
    const members = (JSON.parse(known.stdout) as { members: { name: string; addr: string }[] }).members;
    for (const name of ['ops', 'web1'])
      expect(members.filter((member) => member.name === name)).toHaveLength(1);
    for (const twin of twins) if (twin.status === 'fulfilled') await twin.value.leave();
    await honestRun();
  });

  test('who comes for the answer to another’s run can neither open it nor start it, nor speak for the node', async () => {
    const run = cluster.fanout(['sleep 2', '--tag', 'role=web', '--timeout', '30s']);
    const { body } = await rogue.capture('sleep', '2');
    for (let i = 0; i < 20; i++) {
      for (const agent of [web1, web2]) {
        const stream = await rogue.open(agent, { op: 'collect', run: body.id });
        stream.on('data', () => {}).write(randomBytes(200));
        sockets.push(stream);
      }
      const claim = await rogue.impersonate(ops, body, `web${3 + i}`, 'LIE\n');
      sockets.push(claim.resume());
    }
    const { code, stdout, stderr } = await run;
    expect([code, stdout], stderr).toEqual([0, '']);
    expect([starts(web1, 'sleep', '2'), starts(web2, 'sleep', '2')], toHex(body.id)).toEqual([1, 1]);
  });

  test('hundreds of half-open streams in every stage, and lengths of four gigabytes', async () => {
    const label = Uint8Array.of(10, 0xff, 0xff, 0xff, 0xff);
    const stages: Uint8Array[] = [
      new Uint8Array(0),
      label,
      label.subarray(0, 3),
      Uint8Array.of(10, 0, 0, 0, 0),
      Uint8Array.of(10, 0, 0, 0, 1, 1),
      rogue.sealed(encodeUserStream(new Uint8Array(50))).subarray(0, 20),
      Uint8Array.of(244, 5, 1),
      Uint8Array.of(9, 0xff),
      randomBytes(64),
    ];
    const open = (agent: AgentProcess, i: number): Promise<void> => {
      const { host, port } = endpointOf(agent);
      const socket = connect({ host, port, localAddress: `127.0.1.${1 + (i % 50)}` });
      sockets.push(socket);
      socket.on('error', () => {});
      return new Promise((resolve) => {
        socket.once('close', () => resolve());
        socket.once('connect', () => {
          socket.resume().write(stages[i % stages.length]!);
          resolve();
        });
      });
    };
    const opening = [ops, web1, web2].flatMap((agent) =>
      Array.from({ length: 300 }, (_, i) => open(agent, i)),
    );
    await Promise.all(opening);
    await honestRun();
  });
});
