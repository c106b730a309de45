import { expect, test } from 'vitest';
import { SimCluster } from './cluster.ts';

/** One seed takes about a second. FANOUT_SEEDS=1000 looks further, for a change of the protocol. */
const SEEDS = Number(process.env.FANOUT_SEEDS ?? 8);
const NODES = 50;

function joined(seed: number): SimCluster {
  const cluster = new SimCluster({ seed, nodes: NODES, loss: 0.01 });
  for (const node of cluster.nodes.slice(1)) cluster.join(node, cluster.node(0));
  return cluster;
}

/** Names the seed of a failure, so that one run can be repeated alone: FANOUT_SEED=n. */
function eachSeed(check: (seed: number) => void): void {
  const only = process.env.FANOUT_SEED;
  const seeds = only === undefined ? Array.from({ length: SEEDS }, (_, i) => i + 1) : [Number(only)];
  for (const seed of seeds) {
    try {
      check(seed);
    } catch (error) {
      throw new Error(`FANOUT_SEED=${seed}`, { cause: error });
    }
  }
}

test('fifty nodes survive join, crash, partition and heal, and converge, on every seed', {
  timeout: 400_000,
}, () => {
  eachSeed((seed) => {
    const cluster = joined(seed);
    expect(
      cluster.runUntil(() => cluster.converged, 40_000),
      'everybody sees everybody after joining',
    ).toBe(true);

    const crashed = cluster.nodes.slice(10, 13);
    for (const node of crashed) cluster.crash(node);
    expect(
      cluster.runUntil(() => cluster.converged, 90_000),
      'the crashed are found out',
    ).toBe(true);
    for (const node of crashed) expect(cluster.statusOf(cluster.node(0), node)).toBe('failed');

    cluster.partition((_node, index) => (index % 3 === 0 ? 1 : 0));
    const [a, b] = [cluster.node(0), cluster.node(1)];
    const split = cluster.runUntil(
      () => cluster.statusOf(a, b) === 'failed' && cluster.statusOf(b, a) === 'failed',
      120_000,
    );
    expect(split, 'both sides of the partition declare the other failed').toBe(true);

    cluster.heal();
    for (const node of crashed) cluster.restart(node);
    for (const node of crashed) cluster.join(node, cluster.node(1));
    expect(
      cluster.runUntil(() => cluster.converged, 240_000),
      'everybody is back after the heal',
    ).toBe(true);
  });
});

test('the same seed gives the same run', () => {
  const trace = (seed: number): string => {
    const cluster = joined(seed);
    cluster.runFor(5000);
    cluster.crash(cluster.node(3));
    cluster.runFor(15_000);
    const seen = cluster.nodes.map((node) => node.events.map(({ at, event }) => [at, event.kind]));
    return JSON.stringify([cluster.packets, seen]);
  };
  expect(trace(42)).toBe(trace(42));
  expect(trace(42)).not.toBe(trace(43));
});

test('a graceful leave is seen as a leave by everybody, never as a failure', () => {
  for (let seed = 1; seed <= 10; seed++) {
    const cluster = new SimCluster({ seed, nodes: 12 });
    for (const node of cluster.nodes.slice(1)) cluster.join(node, cluster.node(0));
    cluster.runFor(10_000);
    const leaver = cluster.node(5);
    cluster.leave(leaver);
    expect(cluster.runUntil(() => leaver.events.some(({ event }) => event.kind === 'left'), 15_000)).toBe(
      true,
    );
    cluster.crash(leaver);
    cluster.runFor(20_000);
    for (const observer of cluster.nodes) {
      if (observer === leaver) continue;
      expect(cluster.statusOf(observer, leaver)).toBe('left');
      const failures = observer.events.filter(
        ({ event }) => event.kind === 'member' && event.event === 'member-failed',
      );
      expect(failures).toEqual([]);
    }
  }
});
