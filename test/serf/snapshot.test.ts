import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { utf8 } from '../../src/lib/bytes.ts';
import type { SerfEvent } from '../../src/serf/events.ts';
import { LTIME_MAX } from '../../src/serf/lamport-clock.ts';
import type { Member, MemberEventKind } from '../../src/serf/member.ts';
import { encodeQuery, encodeUserEvent } from '../../src/serf/messages.ts';
import { readSnapshot, Snapshot } from '../../src/serf/snapshot.ts';
import { addrOf, PORT } from '../memberlist/harness.ts';
import { queryOf, Solo } from './harness.ts';

const EMPTY_CONTENT = { alive: new Map(), clock: 0, eventClock: 0, queryClock: 0, unread: 0 };

const member = (name: string, index = 1, addr = addrOf(index)): Member => ({
  name,
  addr,
  port: PORT,
  tags: new Map(),
  vsn: new Uint8Array(6),
  status: 'alive',
  statusLTime: 0,
  goneAt: 0,
});

const news = (event: MemberEventKind, name: string, index = 1): SerfEvent => ({
  kind: 'member',
  event,
  member: member(name, index),
});

const userEvent = (ltime: number): SerfEvent => ({
  kind: 'user',
  ltime,
  name: 'x',
  payload: null,
  coalesce: false,
});

describe('what an agent writes down', () => {
  test('are Serf’s lines, each once', () => {
    const snapshot = new Snapshot(EMPTY_CONTENT, false);
    const written = [
      news('member-join', 'web 1'),
      news('member-join', 'web 1'),
      news('member-update', 'web 1'),
      userEvent(7),
      userEvent(5),
      { kind: 'query', query: queryOf({ ltime: 3 }), from: '', deadline: 0 } as const,
      { kind: 'internal-query', ltime: 4 } as const,
      news('member-failed', 'web 1'),
      news('member-leave', 'web 1'),
      news('member-reap', 'web 1'),
    ].map((event) => snapshot.event(event));
    expect(written).toEqual([
      `alive: web 1 10.0.0.1:${PORT}\n`,
      '',
      '',
      'event-clock: 7\n',
      '',
      'query-clock: 3\n',
      'query-clock: 4\n',
      'not-alive: web 1\n',
      '',
      '',
    ]);
    expect(snapshot.clockIs(10)).toBe('clock: 9\n');
    expect(snapshot.clockIs(10)).toBe('');
  });

  test('is over with a leave, the clock aside', () => {
    const snapshot = new Snapshot(EMPTY_CONTENT, false);
    expect(snapshot.leave()).toBe('leave\n');
    expect(snapshot.event(news('member-leave', 'a'))).toBe('');
    expect(snapshot.event(userEvent(9))).toBe('');
    expect(snapshot.clockIs(3)).toBe('clock: 2\n');
  });

  test('no name makes a second record', () => {
    const snapshot = new Snapshot(EMPTY_CONTENT, false);
    expect(snapshot.event(news('member-join', 'x\nleave'))).toBe('');
    expect(snapshot.event(news('member-failed', 'x\nleave'))).toBe('');
    expect(snapshot.compacted()).not.toContain('leave');
  });

  test('an address of version 6 stands in brackets', () => {
    const addr = new Uint8Array(16);
    addr[15] = 1;
    const snapshot = new Snapshot(EMPTY_CONTENT, false);
    expect(snapshot.joined(member('six', 1, addr))).toBe(`alive: six [::1]:${PORT}\n`);
  });

  test('compacted it says the same in less', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat({ max: 5 }), fc.boolean(), fc.nat({ max: 100 })), { maxLength: 60 }),
        (steps) => {
          const snapshot = new Snapshot(EMPTY_CONTENT, false);
          let text = '';
          for (const [who, isJoin, ltime] of steps) {
            text += snapshot.event(news(isJoin ? 'member-join' : 'member-failed', `n${who}`, who));
            text += snapshot.event(userEvent(ltime)) + snapshot.clockIs(ltime);
          }
          expect(readSnapshot(snapshot.compacted(), false)).toEqual(readSnapshot(text, false));
        },
      ),
    );
  });

  test('may grow with the cluster', () => {
    const snapshot = new Snapshot(EMPTY_CONTENT, false);
    expect(snapshot.bytesMax).toBe(131_072);
    for (let i = 0; i < 1000; i++) snapshot.event(news('member-join', `n${i}`));
    expect(snapshot.bytesMax).toBe(256_000);
  });
});

describe('what an agent reads', () => {
  const text =
    'alive: a 10.0.0.1:7946\nalive: b b 10.0.0.2:7946\nnot-alive: a\nclock: 9\nevent-clock: 7\nquery-clock: 5\n';
  const content = {
    alive: new Map([['b b', '10.0.0.2:7946']]),
    clock: 9,
    eventClock: 7,
    queryClock: 5,
    unread: 0,
  };

  test('is what was written', () => {
    expect(readSnapshot(text, false)).toEqual(content);
    expect(readSnapshot(`# a comment\ncoordinate: {"Vec":[]}\n${text}`, false)).toEqual(content);
  });

  test('is nothing after a leave, unless it rejoins', () => {
    expect(readSnapshot(`${text}leave\n`, false)).toEqual(EMPTY_CONTENT);
    expect(readSnapshot(`${text}leave\n`, true)).toEqual(content);
    expect(readSnapshot(`${text}leave\nclock: 2\n`, false)).toEqual({ ...EMPTY_CONTENT, clock: 2 });
  });

  test.each([
    ['a torn line', 'alive: c 10.0.0.3:79', 0],
    ['a torn leave', 'leave', 0],
    ['noise', '\0\u{fffd}\u{fffd}\n', 1],
    ['an unknown record', 'role: admin\n', 1],
    ['a member without an address', 'alive: c\n', 1],
    ['a name beyond all bounds', `alive: ${'x'.repeat(300)} 10.0.0.1:1\n`, 1],
    ['a clock that nobody has reached', `clock: ${LTIME_MAX + 2}\n`, 1],
    ['a clock that is none', 'event-clock: -1\nquery-clock: 1e9\nclock: \n', 3],
    ['a line without end', `${'y'.repeat(100_000)}\n`, 1],
  ])('%s changes nothing', (_what, more, unread) => {
    expect(readSnapshot(text + more, false)).toEqual({ ...content, unread });
  });

  test('any text gives an answer', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 500 }), fc.boolean(), (any, rejoins) => {
        const { alive, clock } = readSnapshot(any, rejoins);
        expect(alive.size).toBeLessThan(100);
        expect(clock).toBeLessThanOrEqual(LTIME_MAX);
      }),
    );
  });

  test('of millions of members, as many as there can be are believed', () => {
    const lines = Array.from({ length: 50_000 }, (_, i) => `alive: n${i} 10.0.0.1:7946\n`).join('');
    expect(readSnapshot(lines, false).alive.size).toBe(10_000);
  });
});

describe('a member that was here before', () => {
  const restored = { clock: 20, eventClock: 30, queryClock: 40 };

  test('goes on with its clocks', () => {
    const { serf } = new Solo(0, { restored });
    expect([serf.memberTime, serf.stats().event_time, serf.stats().query_time]).toEqual([21, '31', '41']);
  });

  test('hears no event and no query again, and each that is new', () => {
    const solo = new Solo(2, { restored });
    const event = (ltime: number): void =>
      solo.hear(encodeUserEvent({ ltime, name: 'deploy', payload: utf8(String(ltime)), cc: false }));
    const query = (ltime: number): void => solo.hear(encodeQuery(queryOf({ ltime, id: ltime })));
    for (const ltime of [29, 30, 31]) event(ltime);
    for (const ltime of [39, 40, 41]) query(ltime);
    const heard = solo
      .events()
      .map((one) => (one.kind === 'user' ? one.ltime : one.kind === 'query' ? one.query.ltime : 0));
    expect(heard).toEqual([31, 41]);
  });

  test('hears what happened while it was away, when it comes back by itself', () => {
    const solo = new Solo(1, { restored });
    const slot = (ltime: number) => ({ ltime, events: [{ name: 'deploy', payload: null }] });
    solo.serf.rejoin(solo.now, { host: '10.0.0.1', port: PORT }, () => {});
    solo.answerDial({ eventLTime: 35, events: [slot(29), slot(33)] });
    expect(solo.events().flatMap((one) => (one.kind === 'user' ? [one.ltime] : []))).toEqual([33]);
    expect(solo.queued().filter(({ kind }) => kind === 'join')).toEqual([]);
  });

  test('a join passes the past over, unless it is to be replayed', () => {
    for (const replays of [false, true]) {
      const solo = new Solo(1);
      solo.serf.join(solo.now, { host: '10.0.0.1', port: PORT }, () => {}, { replays });
      solo.answerDial({
        eventLTime: 35,
        events: [{ ltime: 33, events: [{ name: 'deploy', payload: null }] }],
      });
      expect(solo.events().filter(({ kind }) => kind === 'user').length).toBe(replays ? 1 : 0);
    }
  });
});
