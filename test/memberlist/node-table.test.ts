import { expect, test } from 'vitest';
import { seededRng } from '../../src/lib/rng.ts';
import { NODES_MAX, type NodeEntry, NodeTable, protocolMax } from '../../src/memberlist/node-table.ts';
import { entryOf } from './harness.ts';

function tableOf(count: number, more: (index: number) => Partial<NodeEntry> = () => ({})): NodeTable {
  const table = new NodeTable(seededRng(7));
  for (let i = 0; i < count; i++) table.add(entryOf(`n${i}`, more(i)));
  return table;
}

test('a node is found by its name and stands once in the probing order', () => {
  const table = tableOf(50);
  expect(table.size).toBe(50);
  expect(table.get('n17')?.name).toBe('n17');
  expect(table.get('n50')).toBeUndefined();
  expect(new Set(table.all().map((node) => node.name)).size).toBe(50);
});

test('a new node stands anywhere in the probing order', () => {
  const places = new Set<number>();
  for (let seed = 1; seed <= 200; seed++) {
    const table = new NodeTable(seededRng(seed));
    for (let i = 0; i < 9; i++) table.add(entryOf(`n${i}`));
    const late = entryOf('late');
    table.add(late);
    places.add(table.all().indexOf(late));
  }
  expect(places.size).toBe(10);
});

test('a sweep forgets who is gone and leaves the others in another order', () => {
  const table = tableOf(40, (i) => ({ state: i % 2 === 0 ? 'alive' : 'dead' }));
  const before = table.all().filter((node) => node.state === 'alive');
  table.sweep((node) => node.state === 'dead');
  expect(table.size).toBe(20);
  expect(table.get('n1')).toBeUndefined();
  expect(new Set(table.all())).toEqual(new Set(before));
  expect(table.all()).not.toEqual(before);
});

test.each([
  [100, 3],
  [5, 3],
  [2, 3],
  [100, 0],
])('of %i nodes %i are picked: distinct, and only wanted ones', (size, count) => {
  const table = tableOf(size);
  for (let i = 0; i < 100; i++) {
    const picked = table.pick(count, (node) => node.name !== 'n0');
    expect(new Set(picked).size).toBe(Math.min(count, size - 1));
    expect(picked.every((node) => node.name !== 'n0')).toBe(true);
  }
});

test('every wanted node is picked equally often', () => {
  const table = tableOf(30);
  const times = new Map<string, number>();
  for (let i = 0; i < 10_000; i++) {
    for (const node of table.pick(3, (node) => node.name !== 'n0')) {
      times.set(node.name, (times.get(node.name) ?? 0) + 1);
    }
  }
  const expected = 30_000 / 29;
  for (const count of times.values()) expect(Math.abs(count - expected)).toBeLessThan(expected * 0.15);
  expect(times.size).toBe(29);
});

test('the one wanted node among a thousand is always found, after at most one look at each', () => {
  const table = tableOf(1000);
  for (let i = 0; i < 50; i++) {
    let looks = 0;
    const picked = table.pick(3, (node) => {
      looks++;
      return node.name === 'n500';
    });
    expect(picked.map((node) => node.name)).toEqual(['n500']);
    expect(looks).toBeLessThan(1000 + 20);
  }
});

test('a full table takes nobody while all are here', () => {
  const table = tableOf(NODES_MAX);
  expect(table.add(entryOf('one-more'))).toBe(false);
  expect(table.size).toBe(NODES_MAX);
  expect(table.get('one-more')).toBeUndefined();
});

test('in a full table the node that is gone for longest makes room', () => {
  const table = tableOf(NODES_MAX, (i) => (i === 5 || i === 6 ? { state: 'dead', changedAt: 10 - i } : {}));
  expect(table.add(entryOf('one-more'))).toBe(true);
  expect(table.size).toBe(NODES_MAX);
  expect(table.get('one-more')).toBeDefined();
  expect(table.get('n6')).toBeUndefined();
  expect(table.get('n5')).toBeDefined();
});

test('the highest protocol version decides what a node is sent, and is 0 when it never told', () => {
  expect(protocolMax(entryOf('a'))).toBe(5);
  expect(protocolMax(entryOf('a', { vsn: new Uint8Array(0) }))).toBe(0);
});
