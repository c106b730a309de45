import { describe, expect, test } from 'vitest';
import { seededRng } from '../../src/lib/rng.ts';
import { NODES_MAX } from '../../src/memberlist/node-table.ts';
import type { MemberStatus } from '../../src/serf/member.ts';
import { MemberTable, RECENT_INTENT_TIMEOUT_MS } from '../../src/serf/member-table.ts';
import { SERF_TIMINGS } from '../../src/serf/serf-config.ts';
import { encodeTags } from '../../src/serf/tags.ts';
import { addrOf } from '../memberlist/harness.ts';
import { nodeOf } from './harness.ts';

const NOW = 1000;
const { reconnectTimeoutMs: RECONNECT_TIMEOUT_MS, tombstoneTimeoutMs: TOMBSTONE_TIMEOUT_MS } = SERF_TIMINGS;

interface Watched {
  readonly table: MemberTable;
  readonly events: string[];
}

function watched(): Watched {
  const events: string[] = [];
  return { table: new MemberTable('self', (event, { name }) => events.push(`${event} ${name}`)), events };
}

/** A table in which n1 has the status, reached at NOW, resting on Lamport time 10. */
function with1(status: MemberStatus): Watched {
  const made = watched();
  const { table, events } = made;
  table.nodeJoined(nodeOf('n1'));
  table.joinIntent(NOW, 'n1', 9);
  if (status === 'leaving' || status === 'left') table.leaveIntent(NOW, 'n1', 10);
  else table.joinIntent(NOW, 'n1', 10);
  if (status === 'left' || status === 'failed') table.nodeLeft(NOW, nodeOf('n1'));
  events.length = 0;
  expect(table.get('n1')).toMatchObject({ status, statusLTime: 10 });
  return made;
}

describe('what memberlist says', () => {
  test('a new node is an alive member whose status rests on nothing yet', () => {
    const { table, events } = watched();
    const meta = encodeTags(new Map([['role', 'web']]));
    table.nodeJoined(nodeOf('n1', { meta }));
    expect(table.get('n1')).toMatchObject({
      status: 'alive',
      statusLTime: 0,
      tags: new Map([['role', 'web']]),
    });
    expect(events).toEqual(['member-join n1']);
  });

  test.each(['leaving', 'left', 'failed'] as const)(
    'a known node that was %s and joins is alive again',
    (status) => {
      const { table, events } = with1(status);
      table.nodeJoined(nodeOf('n1', { addr: addrOf(9), port: 1, meta: encodeTags(new Map([['a', 'b']])) }));
      expect(table.get('n1')).toMatchObject({
        status: 'alive',
        statusLTime: 10,
        addr: addrOf(9),
        port: 1,
        tags: new Map([['a', 'b']]),
      });
      expect(events).toEqual(['member-join n1']);
    },
  );

  test.each([
    ['alive', 'failed', ['member-failed n1']],
    ['leaving', 'left', ['member-leave n1']],
    ['left', 'left', []],
    ['failed', 'failed', []],
  ] as const)('a node that was %s and goes is %s', (before, after, told) => {
    const { table, events } = with1(before);
    table.nodeLeft(NOW + 1, nodeOf('n1'));
    expect(table.get('n1')?.status).toBe(after);
    expect(events).toEqual(told);
  });

  test('an update brings tags, versions and address', () => {
    const { table, events } = with1('alive');
    const vsn = Uint8Array.of(1, 5, 2, 2, 5, 4);
    table.nodeUpdated(nodeOf('n1', { vsn, meta: encodeTags(new Map([['x', 'y']])) }));
    expect(table.get('n1')).toMatchObject({ vsn, tags: new Map([['x', 'y']]), status: 'alive' });
    expect(events).toEqual(['member-update n1']);
  });

  test('nodes that Serf does not know neither go nor change', () => {
    const { table, events } = watched();
    table.nodeLeft(NOW, nodeOf('n1'));
    table.nodeUpdated(nodeOf('n1'));
    expect(events).toEqual([]);
    expect(table.size).toBe(0);
  });

  test('broken meta makes a member without tags, meta without the magic byte is the role', () => {
    const { table } = watched();
    table.nodeJoined(nodeOf('broken', { meta: Uint8Array.of(0xff, 0xc1) }));
    table.nodeJoined(nodeOf('old', { meta: new TextEncoder().encode('db') }));
    expect(table.get('broken')?.tags).toEqual(new Map());
    expect(table.get('old')?.tags).toEqual(new Map([['role', 'db']]));
  });
});

describe('intents', () => {
  test.each([
    ['join', 'alive', 'alive', []],
    ['join', 'leaving', 'alive', []],
    ['join', 'left', 'left', []],
    ['join', 'failed', 'failed', []],
    ['leave', 'alive', 'leaving', []],
    ['leave', 'leaving', 'leaving', []],
    ['leave', 'left', 'left', []],
    ['leave', 'failed', 'left', ['member-leave n1']],
  ] as const)(
    'a newer %s intent about a member that is %s: it is %s, and the intent is passed on',
    (kind, before, after, told) => {
      const { table, events } = with1(before);
      const apply = (ltime: number): boolean =>
        kind === 'join' ? table.joinIntent(NOW, 'n1', ltime) : table.leaveIntent(NOW, 'n1', ltime);
      for (const old of [0, 9, 10]) expect(apply(old)).toBe(false);
      expect(table.get('n1')).toMatchObject({ status: before, statusLTime: 10 });
      expect(apply(11)).toBe(true);
      expect(table.get('n1')).toMatchObject({ status: after, statusLTime: 11 });
      expect(events).toEqual(told);
      expect(apply(11)).toBe(false);
    },
  );

  test('about a node that is not there yet decide how it comes in', () => {
    const { table } = watched();
    expect(table.joinIntent(NOW, 'a', 5)).toBe(true);
    expect(table.leaveIntent(NOW, 'b', 6)).toBe(true);
    table.nodeJoined(nodeOf('a'));
    table.nodeJoined(nodeOf('b'));
    expect(table.get('a')).toMatchObject({ status: 'alive', statusLTime: 5 });
    expect(table.get('b')).toMatchObject({ status: 'leaving', statusLTime: 6 });
  });

  test('of several about an unknown node the latest by Lamport time counts', () => {
    const { table } = watched();
    expect(table.leaveIntent(NOW, 'a', 5)).toBe(true);
    expect(table.joinIntent(NOW, 'a', 5)).toBe(false);
    expect(table.joinIntent(NOW, 'a', 4)).toBe(false);
    expect(table.joinIntent(NOW, 'a', 6)).toBe(true);
    table.nodeJoined(nodeOf('a'));
    expect(table.get('a')).toMatchObject({ status: 'alive', statusLTime: 6 });
  });

  test('about an unknown node are forgotten after five minutes', () => {
    const { table } = watched();
    table.leaveIntent(NOW, 'a', 5);
    table.reap(NOW + RECENT_INTENT_TIMEOUT_MS);
    expect(table.leaveIntent(NOW, 'a', 5)).toBe(false);
    table.reap(NOW + RECENT_INTENT_TIMEOUT_MS + 1);
    table.nodeJoined(nodeOf('a'));
    expect(table.get('a')).toMatchObject({ status: 'alive', statusLTime: 0 });
  });

  test('about a hundred thousand invented names are neither all kept nor all passed on', () => {
    const { table } = watched();
    let news = 0;
    for (let i = 0; i < 100_000; i++) if (table.leaveIntent(NOW, `invented-${i}`, i + 1)) news++;
    expect(news).toBe(8192);
    expect(table.size).toBe(0);
    table.reap(NOW + RECENT_INTENT_TIMEOUT_MS + 1);
    expect(table.leaveIntent(NOW, 'real', 1)).toBe(true);
  });

  test('about a name that is longer than any node has are dropped', () => {
    const { table } = watched();
    expect(table.joinIntent(NOW, 'n'.repeat(256), 1)).toBe(false);
    expect(table.leaveIntent(NOW, 'n'.repeat(60_000), 1)).toBe(false);
  });
});

describe('forgetting', () => {
  test.each([
    ['failed', RECONNECT_TIMEOUT_MS],
    ['left', TOMBSTONE_TIMEOUT_MS],
  ] as const)('a member that is %s is reaped after a day', (status, timeout) => {
    const { table, events } = with1(status);
    expect(timeout).toBe(86_400_000);
    table.reap(NOW + timeout);
    expect(events).toEqual([]);
    table.reap(NOW + timeout + 1);
    expect(events).toEqual(['member-reap n1']);
    expect(table.get('n1')).toBeUndefined();
  });

  test('the day of a failed member that was then forced out counts from its failure', () => {
    const { table, events } = with1('failed');
    table.leaveIntent(NOW + 50_000, 'n1', 11);
    events.length = 0;
    table.reap(NOW + TOMBSTONE_TIMEOUT_MS + 1);
    expect(events).toEqual(['member-reap n1']);
  });

  test.each(['alive', 'leaving'] as const)('a member that is %s is never reaped', (status) => {
    const { table } = with1(status);
    table.reap(NOW + 10 * RECONNECT_TIMEOUT_MS);
    expect(table.get('n1')?.status).toBe(status);
  });

  test.each(['failed', 'left'] as const)('pruning a member that is %s forgets it at once', (status) => {
    const { table, events } = with1(status);
    table.prune('n1');
    expect(events).toEqual(['member-reap n1']);
    expect(table.size).toBe(0);
  });

  test('pruning a leaving member forgets it once it has left', () => {
    const { table, events } = with1('leaving');
    table.prune('n1');
    expect(table.get('n1')?.status).toBe('leaving');
    table.nodeLeft(NOW, nodeOf('n1'));
    expect(events).toEqual(['member-leave n1', 'member-reap n1']);
    expect(table.get('n1')).toBeUndefined();
  });

  test('a pruned member that answers with a join intent stays, also when it leaves later', () => {
    const { table, events } = with1('leaving');
    table.prune('n1');
    expect(table.joinIntent(NOW, 'n1', 11)).toBe(true);
    expect(table.get('n1')?.status).toBe('alive');
    table.leaveIntent(NOW, 'n1', 12);
    table.nodeLeft(NOW, nodeOf('n1'));
    expect(table.get('n1')?.status).toBe('left');
    expect(events).toEqual(['member-leave n1']);
  });

  test('the local member is never forgotten', () => {
    const { table, events } = watched();
    table.nodeJoined(nodeOf('self'));
    table.leaveIntent(NOW, 'self', 1);
    table.prune('self');
    table.nodeLeft(NOW, nodeOf('self'));
    table.prune('self');
    table.reap(NOW + 10 * TOMBSTONE_TIMEOUT_MS);
    expect(table.get('self')?.status).toBe('left');
    expect(events).toEqual(['member-join self', 'member-leave self']);
  });

  test('ever new names that come and fail: the longest gone make room for the next', () => {
    const { table } = watched();
    table.nodeJoined(nodeOf('here'));
    for (let i = 0; i < NODES_MAX + 100; i++) {
      table.nodeJoined(nodeOf(`invented-${i}`));
      table.nodeLeft(i, nodeOf(`invented-${i}`));
    }
    expect(table.size).toBe(NODES_MAX);
    expect(table.get('here')?.status).toBe('alive');
    expect(table.get('invented-0')).toBeUndefined();
    expect(table.get(`invented-${NODES_MAX + 99}`)?.status).toBe('failed');
  });
});

describe('reconnecting', () => {
  function tableOf(alive: number, failed: number): MemberTable {
    const { table } = watched();
    for (let i = 0; i < alive; i++) table.nodeJoined(nodeOf(`a${i}`));
    for (let i = 0; i < failed; i++) {
      table.nodeJoined(nodeOf(`f${i}`));
      table.nodeLeft(NOW, nodeOf(`f${i}`));
    }
    return table;
  }

  test('nobody failed, nobody to reach', () => {
    expect(tableOf(5, 0).reconnectCandidate(seededRng(1))).toBeUndefined();
  });

  test.each([
    [10, 1, 0.1],
    [4, 2, 0.5],
    [2, 5, 1],
    [0, 1, 1],
  ])('with %i alive and %i failed one is chosen with probability %f', (alive, failed, probability) => {
    const table = tableOf(alive, failed);
    const rng = seededRng(3);
    let chosen = 0;
    for (let i = 0; i < 4000; i++) {
      const candidate = table.reconnectCandidate(rng);
      if (candidate === undefined) continue;
      expect(candidate.status).toBe('failed');
      chosen++;
    }
    expect(chosen / 4000).toBeCloseTo(probability, 1);
  });
});
