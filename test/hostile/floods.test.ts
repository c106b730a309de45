import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodeAlive, encodeSuspect } from '../../src/memberlist/messages.ts';
import { encodeJoin, encodeLeave, encodeQueryResponse, encodeUserEvent } from '../../src/serf/messages.ts';
import { type AgentProcess, TestCluster } from '../support/cluster.ts';
import { eventually } from '../support/processes.ts';
import { counters, endpointOf, isAlive, memoryMiB, operatorKey, Rogue } from './rogue.ts';

const RULES = `
  - id: basics
    effect: allow
    operators: ["group:sre"]
    commands:
      - { program: echo, positionals: { max: 60, match: ["any:4096"] } }
`;
/**
 * What an agent may take at its peak. Idle it has some 75 MiB; half messages may fill 64 MiB and the buffers that they
 * grow in as much again; the rest is garbage that waits to be collected.
 */
const PEAK_MIB_MAX = 400;
/** What stays of them all, once their garbage was collected: tables at their bounds, and a heap that was once larger. */
const AFTERWARDS_MIB_MAX = 250;

describe('an agent under a flood', () => {
  const cluster = new TestCluster();
  const sockets = new Set<Socket>();
  let ops: AgentProcess;
  let web1: AgentProcess;
  let rogue: Rogue;

  beforeAll(async () => {
    await cluster.operator();
    const policy = cluster.addPolicy('open', RULES);
    ops = await cluster.start({ name: 'ops', args: ['--env', 'test'] });
    web1 = await cluster.start({ name: 'web1', tags: { role: 'web' }, policy, join: ops.gossip });
    rogue = await Rogue.join(cluster, ops);
    await cluster.complete(3);
    expect((await cluster.fanout(['echo met', '--node', 'web1'])).code).toBe(0);
  });

  afterAll(async () => {
    for (const socket of sockets) socket.destroy();
    await rogue.leave();
    await cluster.stop();
  });

  async function stillWorks(): Promise<void> {
    const said: string[] = [];
    // On a busy machine a flood can make a member look failed for a moment; it must not last.
    await eventually(
      () => `an honest run among\n${said}`,
      async () => {
        const run = await cluster.fanout(['echo ready', '--node', 'web1', '--timeout', '15s']);
        said.push(run.stderr);
        return run.code === 0 && run.stdout === 'web1: ready\n';
      },
    );
    for (const agent of [ops, web1]) {
      expect(isAlive(agent)).toBe(true);
      expect(memoryMiB(agent.child.pid, 'VmHWM'), 'MiB at the peak').toBeLessThan(PEAK_MIB_MAX);
    }
  }

  function open(to: AgentProcess): Promise<Socket | undefined> {
    const { host, port } = endpointOf(to);
    const socket = connect({ host, port, localAddress: `127.0.0.${100 + (sockets.size % 100)}` });
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => sockets.delete(socket));
    return new Promise((resolve) => {
      socket.once('connect', () => resolve(socket.resume()));
      socket.once('close', () => resolve(undefined));
    });
  }

  test('ten thousand connections that say nothing, and two thousand that drip', async () => {
    // An honest run in the middle of the onslaught, and one after it.
    const during = (async () => {
      await eventually('the first thousand', () => sockets.size >= 1000);
      await stillWorks();
    })();
    for (let batch = 0; batch < 20; batch++) await Promise.all(Array.from({ length: 500 }, () => open(ops)));
    await during;
    const dripping: Socket[] = [];
    for (let batch = 0; batch < 4; batch++) {
      const opened = await Promise.all(Array.from({ length: 500 }, () => open(web1)));
      dripping.push(...opened.filter((socket) => socket !== undefined));
    }
    const drip = (): void => {
      for (const socket of dripping) if (socket.writable) socket.write(Uint8Array.of(10));
    };
    drip();
    const timer = setInterval(drip, 1000);
    try {
      await stillWorks();
      await eventually('them to be thrown out', () =>
        dripping.every((socket) => socket.destroyed || socket.readableEnded),
      );
    } finally {
      clearInterval(timer);
    }
    await stillWorks();
    for (const socket of sockets) socket.destroy();
  });

  test('half messages of many megabytes do not shut the others out', async () => {
    const announced = Buffer.alloc(12 * 1024 * 1024, 1);
    announced[0] = 10;
    announced.writeUInt32BE(20 * 1024 * 1024, 1);
    for (const agent of [ops, web1]) {
      const hoard = await Promise.all(Array.from({ length: 8 }, () => open(agent)));
      for (const socket of hoard) socket?.write(announced);
    }
    await eventually(
      'some to be thrown out',
      async () => ((await counters(cluster, ops))['stream-memory'] ?? 0) > 0,
    );
    await stillWorks();
    for (const socket of sockets) socket.destroy();
  });

  /** Sends so many messages, and waits now and then: a burst that the kernel drops attacks nobody. */
  async function flood(count: number, send: (i: number) => void): Promise<void> {
    for (let i = 0; i < count; i++) {
      send(i);
      if (i % 200 === 199) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  test('twenty thousand garbage packets under the cluster key', async () => {
    await flood(20_000, (i) => rogue.packet(i % 2 === 0 ? web1 : ops, randomBytes(1 + (i % 1200))));
    await flood(5000, (i) => rogue.send(web1, randomBytes(1 + (i % 1000))));
    await stillWorks();
  });

  test('twenty thousand events, queries, intents and members with invented names', async () => {
    const long = 'n'.repeat(200);
    await flood(20_000, (i) => {
      const name = `${long}${i}`;
      const to = i % 3 === 0 ? ops : web1;
      switch (i % 5) {
        case 0:
          return rogue.send(to, encodeUserEvent({ ltime: 5000, name, payload: randomBytes(250), cc: false }));
        case 1:
          return rogue.query(to, randomBytes(400), { name, ltime: i, flags: 0 });
        case 2:
          return rogue.send(
            to,
            i % 2 === 0
              ? encodeJoin({ ltime: i, node: name })
              : encodeLeave({ ltime: i, node: name, prune: true }),
          );
        case 3:
          return rogue.send(
            to,
            encodeQueryResponse({ ltime: i % 50, id: i, from: name, flags: 1, payload: null }),
          );
        default:
          return rogue.packet(to, encodeSuspect({ incarnation: 1, node: 'web1', from: name }));
      }
    });
    await stillWorks();
    const addr = Uint8Array.of(127, 0, 0, 66);
    const vsn = Uint8Array.of(1, 5, 2, 2, 5, 5);
    await flood(20_000, (i) =>
      rogue.packet(
        i % 2 === 0 ? ops : web1,
        encodeAlive({ incarnation: 1, node: `${long}${i}`, addr, port: 9, meta: randomBytes(500), vsn }),
      ),
    );
    await stillWorks();
  });

  test('a thousand and more forged commands in the name of an operator in one second', async () => {
    const alice = operatorKey(cluster);
    const forged = rogue.envelope(alice, ['echo', 'forged']);
    await flood(3000, () => {
      const changed = Uint8Array.from(forged);
      changed.set(randomBytes(8), changed.length - 8);
      rogue.query(web1, changed);
    });
    await stillWorks();
  });

  test('all of that has left little in the memory of the agents', async () => {
    await eventually('the garbage to be collected', async () => {
      await stillWorks();
      return [ops, web1].every((agent) => memoryMiB(agent.child.pid) < AFTERWARDS_MIB_MAX);
    });
  });
});
