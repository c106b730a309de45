import { describe, expect, test } from 'vitest';
import { EMPTY } from '../../src/lib/bytes.ts';
import { NEVER } from '../../src/lib/time.ts';
import { LOCAL_PROFILE } from '../../src/memberlist/config.ts';
import { isNewerIncarnation, nextIncarnation } from '../../src/memberlist/incarnation.ts';
import { NODES_MAX } from '../../src/memberlist/node-table.ts';
import { addrOf, aliveOf, PORT, Rooms, remoteOf, SERF_VSN } from './harness.ts';

const LAST = 0xffff_ffff;

/** Self and `count` live peers n1, n2, ... */
function rooms(count: number): Rooms {
  const made = new Rooms();
  made.populate(count);
  return made;
}

describe('alive', () => {
  test('the local node starts at incarnation 1 and is announced', () => {
    const made = new Rooms();
    expect(made.self).toMatchObject({ incarnation: 1, state: 'alive', addr: addrOf(0), port: PORT });
  });

  test('about a stranger: it joins, and the news is passed on', () => {
    const made = new Rooms();
    made.membership.alive(5, aliveOf('n1', { incarnation: 3 }));
    expect(made.node('n1')).toMatchObject({ state: 'alive', incarnation: 3, changedAt: 5, vsn: SERF_VSN });
    expect(made.delegate.told).toEqual([['joined', 'n1']]);
    expect(made.queued()).toEqual([{ kind: 'alive', ...aliveOf('n1', { incarnation: 3 }) }]);
  });

  test('about a stranger at any incarnation but 0: believed', () => {
    for (const incarnation of [1, 2 ** 31, 2 ** 31 + 1, LAST]) {
      const made = new Rooms();
      made.membership.alive(0, aliveOf('n1', { incarnation }));
      expect(made.node('n1')).toMatchObject({ state: 'alive', incarnation });
    }
  });

  test('about a stranger at incarnation 0: ignored', () => {
    const made = new Rooms();
    made.membership.alive(0, aliveOf('n1', { incarnation: 0 }));
    expect(made.table.get('n1')).toBeUndefined();
    expect(made.queued()).toEqual([]);
  });

  test.each([
    [4, false],
    [5, false],
    [6, true],
  ])('about a node known at incarnation 5, with incarnation %i: believed %s', (incarnation, believed) => {
    const made = new Rooms();
    made.membership.alive(0, aliveOf('n1', { incarnation: 5 }));
    made.forget();
    made.membership.alive(1, aliveOf('n1', { incarnation, meta: Uint8Array.of(2) }));
    expect(made.node('n1').meta).toEqual(Uint8Array.of(believed ? 2 : 1));
    expect(made.delegate.told).toEqual(believed ? [['updated', 'n1']] : []);
    expect(made.queued()).toHaveLength(believed ? 1 : 0);
  });

  test('with nothing but other versions: nobody is told', () => {
    const made = rooms(1);
    const vsn = Uint8Array.of(1, 4, 2, 2, 5, 4);
    made.membership.alive(1, aliveOf('n1', { incarnation: 2, vsn }));
    expect(made.node('n1').vsn).toEqual(vsn);
    expect(made.delegate.told).toEqual([]);
  });

  test.each([
    ['another address', { addr: addrOf(9) }],
    ['another port', { port: 1 }],
    [
      'the same address in another form',
      { addr: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 1) },
    ],
  ])('%s for the name of a live, suspect or failed node: a conflict, ignored', (_what, change) => {
    for (const state of ['alive', 'suspect', 'dead'] as const) {
      const made = rooms(1);
      if (state === 'suspect') made.membership.suspect(0, { incarnation: 1, node: 'n1', from: 'x' });
      if (state === 'dead') made.membership.dead(0, { incarnation: 1, node: 'n1', from: 'x' });
      made.forget();
      made.membership.alive(1, aliveOf('n1', { incarnation: 1000, ...change }));
      expect(made.delegate.told).toEqual([['conflict', 'n1']]);
      expect(made.node('n1')).toMatchObject({ state, incarnation: 1, addr: addrOf(1), port: PORT });
      expect(made.queued()).toEqual([]);
    }
  });

  test('another address for a name that left: taken over, whatever the incarnation', () => {
    const made = new Rooms();
    made.membership.alive(0, aliveOf('n1', { incarnation: 7 }));
    made.membership.dead(1, { incarnation: 7, node: 'n1', from: 'n1' });
    made.forget();
    made.membership.alive(2, aliveOf('n1', { incarnation: 1, addr: addrOf(9) }));
    expect(made.node('n1')).toMatchObject({ state: 'alive', incarnation: 1, addr: addrOf(9), changedAt: 2 });
    expect(made.delegate.told).toEqual([['joined', 'n1']]);
  });

  test('the same address for a name that left: only with a higher incarnation', () => {
    const made = rooms(1);
    made.membership.dead(1, { incarnation: 1, node: 'n1', from: 'n1' });
    made.membership.alive(2, aliveOf('n1', { incarnation: 1 }));
    expect(made.node('n1').state).toBe('left');
    made.membership.alive(2, aliveOf('n1', { incarnation: 2 }));
    expect(made.node('n1').state).toBe('alive');
  });

  test('about a suspect: the suspicion is dropped and nobody is told', () => {
    const made = rooms(5);
    made.membership.suspect(1, { incarnation: 1, node: 'n1', from: 'n2' });
    expect(made.membership.nextWake()).toBeLessThan(NEVER);
    made.membership.alive(2, aliveOf('n1', { incarnation: 2 }));
    expect(made.node('n1')).toMatchObject({ state: 'alive', suspicion: undefined, changedAt: 2 });
    expect(made.membership.nextWake()).toBe(NEVER);
    expect(made.delegate.told).toEqual([]);
  });

  test.each([
    [[0, 5, 2, 2, 5, 5], 'alive-bad-version'],
    [[1, 0, 2, 2, 5, 5], 'alive-bad-version'],
    [[4, 3, 2, 2, 5, 5], 'alive-bad-version'],
    [[0, 0, 0, 0, 0, 0], 'alive-bad-version'],
    [[], 'alive-incompatible'],
    [[1, 1, 1, 2, 5, 5], 'alive-incompatible'],
    [[1, 5, 2, 6, 9, 9], 'alive-incompatible'],
  ])('with versions %j: ignored, so that nobody inherits them', (vsn, counter) => {
    const made = rooms(1);
    made.membership.alive(1, aliveOf('odd', { vsn: Uint8Array.from(vsn) }));
    made.membership.alive(1, aliveOf('n1', { vsn: Uint8Array.from(vsn), incarnation: 2 }));
    expect(made.table.get('odd')).toBeUndefined();
    expect(made.node('n1')).toMatchObject({ incarnation: 1, vsn: SERF_VSN });
    expect(made.counters.get(counter)).toBe(2);
    expect(made.queued()).toEqual([]);
  });

  test('with a meta or a name above what members have: ignored', () => {
    const made = new Rooms();
    made.membership.alive(0, aliveOf('n1', { meta: new Uint8Array(513) }));
    made.membership.alive(0, aliveOf('n'.repeat(256)));
    made.membership.alive(0, aliveOf('ü'.repeat(128)));
    expect(made.table.size).toBe(1);
    expect(made.counters.get('alive-too-long')).toBe(3);
    made.membership.alive(0, aliveOf('n'.repeat(255), { meta: new Uint8Array(512) }));
    expect(made.table.size).toBe(2);
  });

  test('about ever new names: the table and the queue stop growing', () => {
    const made = new Rooms();
    for (let i = 0; i < NODES_MAX + 500; i++) made.membership.alive(0, aliveOf(`invented-${i}`));
    expect(made.table.size).toBe(NODES_MAX);
    expect(made.queue.length).toBeLessThanOrEqual(NODES_MAX);
    expect(made.counters.get('node-table-full')).toBe(501);
  });
});

describe('alive about the local node', () => {
  test('with what we said ourselves: ignored', () => {
    const made = new Rooms();
    const { incarnation, addr, meta, vsn } = made.self;
    made.membership.alive(1, aliveOf('self', { incarnation, addr, meta, vsn }));
    expect(made.self.incarnation).toBe(1);
    expect(made.queued()).toEqual([]);
  });

  test.each([
    ['another meta', { meta: Uint8Array.of(9) }, 2],
    ['other versions', { vsn: Uint8Array.of(1, 5, 2, 2, 5, 4) }, 2],
    ['versions that nobody is compatible with', { vsn: Uint8Array.of(9, 9, 9, 9, 9, 9) }, 2],
    ['no versions', { vsn: EMPTY }, 2],
    ['a meta above every bound', { meta: new Uint8Array(600) }, 2],
    ['a higher incarnation', { incarnation: 50 }, 51],
  ])('with %s: refuted', (_what, change, incarnation) => {
    const made = new Rooms();
    made.membership.alive(1, aliveOf('self', { addr: addrOf(0), ...change }));
    expect(made.self).toMatchObject({ incarnation, meta: Uint8Array.of(1), vsn: SERF_VSN });
    expect(made.awareness.score).toBe(1);
    expect(made.queued()).toMatchObject([{ kind: 'alive', node: 'self', incarnation, vsn: SERF_VSN }]);
  });

  test('from another address: a conflict', () => {
    const made = new Rooms();
    made.membership.alive(1, aliveOf('self', { incarnation: 9, addr: addrOf(3) }));
    expect(made.delegate.told).toEqual([['conflict', 'self']]);
    expect(made.self.incarnation).toBe(1);
  });

  test('while leaving: ignored', () => {
    const made = rooms(1);
    made.membership.leave(1, () => {});
    made.forget();
    made.membership.alive(2, aliveOf('self', { incarnation: 9, addr: addrOf(0) }));
    expect(made.self.state).toBe('left');
    expect(made.queued()).toEqual([]);
  });

  test('announcing again raises the incarnation and tells of the new meta', () => {
    const made = new Rooms();
    made.delegate.meta = Uint8Array.of(4, 4);
    made.membership.announceSelf(1);
    expect(made.self).toMatchObject({ incarnation: 2, meta: Uint8Array.of(4, 4) });
    expect(made.delegate.told).toEqual([['updated', 'self']]);
    expect(made.queued()).toMatchObject([{ kind: 'alive', node: 'self', incarnation: 2 }]);
  });
});

describe('refutation', () => {
  test('suspect at 100 is outbid with 101, dead at 101 with 102, and older accusations are ignored', () => {
    const made = rooms(3);
    made.membership.suspect(1, { incarnation: 100, node: 'self', from: 'n1' });
    expect(made.self).toMatchObject({ incarnation: 101, state: 'alive' });
    made.membership.dead(2, { incarnation: 101, node: 'self', from: 'n1' });
    expect(made.self).toMatchObject({ incarnation: 102, state: 'alive' });
    made.forget();
    made.membership.suspect(3, { incarnation: 101, node: 'self', from: 'n1' });
    made.membership.dead(3, { incarnation: 5, node: 'self', from: 'self' });
    expect(made.self.incarnation).toBe(102);
    expect(made.awareness.score).toBe(2);
    expect(made.queued()).toEqual([]);
    made.membership.suspect(4, { incarnation: 102, node: 'self', from: 'n1' });
    expect(made.queued()).toMatchObject([{ kind: 'alive', node: 'self', incarnation: 103 }]);
  });

  test('a restarted node learns how it is remembered and comes back with one more', () => {
    for (const state of [1, 2, 3] as const) {
      const made = new Rooms();
      made.membership.merge(1, [remoteOf('self', { state, incarnation: 7, addr: addrOf(0) })]);
      expect(made.self).toMatchObject({ incarnation: 8, state: 'alive' });
    }
  });

  test('no incarnation is the last: what was accused at 2^32-1 is believed again', () => {
    const victim = new Rooms();
    const witness = rooms(1);
    for (const made of [victim, witness]) {
      const node = made === victim ? 'self' : 'n1';
      made.membership.suspect(1, { incarnation: 2 ** 31, node, from: 'x' });
      made.membership.suspect(1, { incarnation: LAST, node, from: 'x' });
    }
    // The witness took the first for news and the second for a confirmation; the victim answers each.
    expect(victim.self).toMatchObject({ incarnation: 1, state: 'alive' });
    const refutation = victim.queued().at(-1);
    expect(refutation).toMatchObject({ kind: 'alive', incarnation: 1 });
    witness.node('n1').incarnation = LAST;
    witness.membership.alive(2, aliveOf('n1', { incarnation: 1 }));
    expect(witness.node('n1')).toMatchObject({ state: 'alive', incarnation: 1, suspicion: undefined });
  });

  test('incarnations are compared as serial numbers, which honest ones cannot tell from plain numbers', () => {
    expect(isNewerIncarnation(2, 1)).toBe(true);
    expect(isNewerIncarnation(1, 1)).toBe(false);
    expect(isNewerIncarnation(1, 2)).toBe(false);
    expect(isNewerIncarnation(2 ** 31 - 1, 0)).toBe(true);
    expect(isNewerIncarnation(1, LAST)).toBe(true);
    expect(isNewerIncarnation(LAST, 1)).toBe(false);
    expect(nextIncarnation(1)).toBe(2);
    expect(nextIncarnation(LAST)).toBe(1);
  });
});

describe('suspect', () => {
  test('about a live node: it is suspected, the news is passed on, and it dies when its time is over', () => {
    const made = rooms(4);
    made.membership.suspect(10, { incarnation: 1, node: 'n1', from: 'n2' });
    expect(made.node('n1')).toMatchObject({ state: 'suspect', incarnation: 1, changedAt: 10 });
    expect(made.queued()).toEqual([{ kind: 'suspect', incarnation: 1, node: 'n1', from: 'n2' }]);
    // Five nodes: two confirmations are wanted, so it has six times 4 s.
    expect(made.membership.nextWake()).toBe(10 + 24_000);
    made.membership.tick(10 + 23_999);
    expect(made.node('n1').state).toBe('suspect');
    made.membership.tick(10 + 24_000);
    expect(made.node('n1')).toMatchObject({ state: 'dead', changedAt: 10 + 24_000 });
    expect(made.delegate.told).toEqual([['left', 'n1']]);
    expect(made.queued()).toEqual([{ kind: 'dead', incarnation: 1, node: 'n1', from: 'self' }]);
    expect(made.membership.nextWake()).toBe(NEVER);
  });

  test.each([
    [2, 4000],
    [3, 24_000],
  ])('with %i peers the time is %i ms: fewer than four nodes cannot confirm', (peers, time) => {
    const made = rooms(peers);
    made.membership.suspect(0, { incarnation: 1, node: 'n1', from: 'n2' });
    expect(made.membership.nextWake()).toBe(time);
  });

  test('the local profile wants one confirmation', () => {
    const made = new Rooms(LOCAL_PROFILE);
    made.populate(5);
    made.membership.suspect(0, { incarnation: 1, node: 'n1', from: 'n2' });
    expect(made.membership.nextWake()).toBe(18_000);
    made.membership.suspect(1, { incarnation: 1, node: 'n1', from: 'n3' });
    expect(made.membership.nextWake()).toBe(3000);
  });

  test('from further accusers: each new one, while wanted, is passed on and shortens the time', () => {
    const made = rooms(5);
    const accuse = (from: string): number => {
      made.membership.suspect(1, { incarnation: 1, node: 'n1', from });
      return made.queued().length;
    };
    made.membership.suspect(0, { incarnation: 1, node: 'n1', from: 'n2' });
    made.forget();
    expect([accuse('n2'), accuse('n3'), accuse('n3')]).toEqual([0, 1, 0]);
    expect(made.membership.nextWake()).toBe(11_381);
    expect([accuse('n4'), accuse('n5')]).toEqual([1, 0]);
    expect(made.membership.nextWake()).toBe(4000);
  });

  test('ten thousand invented accusers do not pile up', () => {
    const made = rooms(5);
    for (let i = 0; i < 10_000; i++) {
      made.membership.suspect(0, { incarnation: 1, node: 'n1', from: `x${i}`.repeat(100) });
    }
    expect(made.queue.length).toBe(1);
    expect(made.membership.nextWake()).toBe(4000);
  });

  test.each([
    ['an unknown node', { incarnation: 9, node: 'nobody', from: 'n2' }],
    ['an older incarnation', { incarnation: 0, node: 'n1', from: 'n2' }],
  ])('about %s: ignored', (_what, news) => {
    const made = rooms(3);
    made.membership.suspect(1, news);
    expect(made.node('n1').state).toBe('alive');
    expect(made.queued()).toEqual([]);
  });

  test('about a node that is dead or left: ignored', () => {
    const made = rooms(3);
    made.membership.dead(1, { incarnation: 1, node: 'n1', from: 'n2' });
    made.membership.dead(1, { incarnation: 1, node: 'n2', from: 'n2' });
    made.forget();
    for (const node of ['n1', 'n2']) made.membership.suspect(2, { incarnation: 5, node, from: 'n3' });
    expect([made.node('n1').state, made.node('n2').state]).toEqual(['dead', 'left']);
    expect(made.queued()).toEqual([]);
  });

  test('a thousand suspects do not outlive their time', () => {
    const made = rooms(1000);
    for (let i = 1; i <= 1000; i++) made.membership.suspect(i, { incarnation: 1, node: `n${i}`, from: 'x' });
    for (let now = made.membership.nextWake(); now !== NEVER; now = made.membership.nextWake()) {
      const before = made.delegate.told.length;
      made.membership.tick(now);
      expect(made.delegate.told.length).toBeGreaterThan(before);
    }
    expect(made.delegate.told).toHaveLength(1000);
  });
});

describe('dead', () => {
  test.each([
    ['n2', 'dead'],
    ['n1', 'left'],
  ])('said by %s: the node counts as %s', (from, state) => {
    const made = rooms(3);
    made.membership.suspect(1, { incarnation: 1, node: 'n1', from: 'n3' });
    made.forget();
    made.membership.dead(2, { incarnation: 1, node: 'n1', from });
    expect(made.node('n1')).toMatchObject({ state, changedAt: 2, suspicion: undefined });
    expect(made.delegate.told).toEqual([['left', 'n1']]);
    expect(made.queued()).toEqual([{ kind: 'dead', incarnation: 1, node: 'n1', from }]);
    expect(made.membership.nextWake()).toBe(NEVER);
  });

  test('of an older incarnation, about nobody, or twice: ignored', () => {
    const made = new Rooms();
    made.membership.alive(0, aliveOf('n1', { incarnation: 5 }));
    made.forget();
    made.membership.dead(1, { incarnation: 4, node: 'n1', from: 'x' });
    made.membership.dead(1, { incarnation: 4, node: 'nobody', from: 'x' });
    expect(made.node('n1').state).toBe('alive');
    made.membership.dead(1, { incarnation: 5, node: 'n1', from: 'x' });
    made.forget();
    made.membership.dead(2, { incarnation: 6, node: 'n1', from: 'n1' });
    expect(made.node('n1')).toMatchObject({ state: 'dead', incarnation: 5, changedAt: 1 });
    expect(made.queued()).toEqual([]);
  });

  test('leaving: dead about ourselves by ourselves, and its callback fires once it was spread', () => {
    const made = rooms(3);
    let finished = 0;
    made.membership.leave(1, () => finished++);
    expect(made.self).toMatchObject({ state: 'left', incarnation: 1 });
    expect(finished).toBe(0);
    expect(made.queued()).toEqual([{ kind: 'dead', incarnation: 1, node: 'self', from: 'self' }]);
    expect(finished).toBe(1);
    made.membership.leave(2, () => finished++);
    expect(finished).toBe(2);
  });

  test('an accusation after we left is not refuted', () => {
    const made = rooms(3);
    made.membership.leave(1, () => {});
    made.forget();
    made.membership.suspect(2, { incarnation: 9, node: 'self', from: 'n1' });
    made.membership.dead(2, { incarnation: 9, node: 'self', from: 'n1' });
    expect(made.self.state).toBe('left');
    expect(made.queued()).toEqual([]);
  });
});

describe('merging a push/pull', () => {
  test.each([
    [0, 'alive', undefined],
    [1, 'suspect', 'self'],
    [2, 'suspect', 'self'],
    [3, 'left', 'n1'],
  ] as const)('remote state %i makes a live node %s', (state, result, from) => {
    const made = rooms(3);
    made.membership.merge(1, [remoteOf('n1', { state })]);
    expect(made.node('n1').state).toBe(result);
    expect(made.queued()).toMatchObject(from === undefined ? [] : [{ node: 'n1', from }]);
  });

  test('unknown nodes come in when they are alive, not when they are gone', () => {
    const made = new Rooms();
    made.membership.merge(1, [
      remoteOf('alive'),
      remoteOf('suspect', { state: 1 }),
      remoteOf('dead', { state: 2 }),
      remoteOf('left', { state: 3 }),
    ]);
    expect(made.delegate.told).toEqual([['joined', 'alive']]);
    expect(made.table.size).toBe(2);
  });

  test('a missing port is our own', () => {
    const made = new Rooms();
    made.membership.merge(1, [remoteOf('n1', { port: 0 })]);
    expect(made.node('n1').port).toBe(PORT);
  });

  test('a thousand nodes, and the same again, in linear time', () => {
    const made = new Rooms();
    const nodes = Array.from({ length: 1000 }, (_, i) => remoteOf(`n${i}`, { addr: addrOf(i) }));
    made.membership.merge(1, nodes);
    expect(made.delegate.told).toHaveLength(1000);
    made.forget();
    made.membership.merge(2, nodes);
    expect(made.delegate.told).toEqual([]);
    expect(made.queued()).toEqual([]);
  });
});
