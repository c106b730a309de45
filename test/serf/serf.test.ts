import { describe, expect, test } from 'vitest';
import { EMPTY, utf8 } from '../../src/lib/bytes.ts';
import { encodeAck, encodeAlive, encodePing, encodeSuspect } from '../../src/memberlist/messages.ts';
import { NODES_MAX } from '../../src/memberlist/node-table.ts';
import { encodePushPull as encodeExchange, StreamReader } from '../../src/memberlist/stream.ts';
import { LTIME_MAX } from '../../src/serf/lamport-clock.ts';
import {
  decodeSerfMessage,
  encodeJoin,
  encodeLeave,
  encodeQuery,
  encodeUserEvent,
  type SerfPushPull,
} from '../../src/serf/messages.ts';
import { encodeTags } from '../../src/serf/tags.ts';
import { addrOf, aliveOf, PORT, remoteOf, sentOf } from '../memberlist/harness.ts';
import { exchangeOf, NO_TAGS, queryOf, Solo, stateOf } from './harness.ts';

const join = (node: string, ltime: number): Uint8Array => encodeJoin({ node, ltime });
const leave = (node: string, ltime: number, prune = false): Uint8Array => encodeLeave({ node, ltime, prune });
const event = (name: string, ltime: number, payload = ''): Uint8Array =>
  encodeUserEvent({ name, ltime, payload: utf8(payload), cc: false });

function userEvents(solo: Solo): string[] {
  return solo.events().flatMap((told) => (told.kind === 'user' ? [told.name] : []));
}

/** What a push/pull with the member tells. */
function localState(solo: Solo): SerfPushPull {
  const { memberlist } = solo.serf;
  solo.serf.drain();
  const id = memberlist.acceptedStream(solo.now);
  const ask = encodeExchange({ join: false, nodes: [], userState: EMPTY });
  memberlist.receivedStream(solo.now, id, { host: '10.0.0.1', port: 40_000 }, ask);
  const [write] = solo.serf.drain().filter((output) => output.kind === 'write');
  const message = write === undefined ? undefined : new StreamReader(undefined).push(write.bytes);
  const state = message?.kind === 'pushPull' ? decodeSerfMessage(message.userState) : undefined;
  if (state?.kind !== 'pushPull') throw new Error('no state was sent');
  return state;
}

function memberTime(solo: Solo): number {
  return Number(solo.serf.stats().member_time);
}

describe('intents', () => {
  test('a leave intent, then memberlist saying that the node is gone: it left', () => {
    const solo = new Solo(2);
    solo.hear(leave('n1', 5));
    expect(solo.member('n1').status).toBe('leaving');
    expect(solo.queued()).toEqual([{ kind: 'leave', node: 'n1', ltime: 5, prune: false }]);
    solo.fails('n1');
    expect(solo.memberEvents()).toEqual([['member-leave', 'n1']]);
    expect(memberTime(solo)).toBe(6);
  });

  test('memberlist saying so without an intent before: it failed', () => {
    const solo = new Solo(2);
    solo.fails('n1');
    expect(solo.memberEvents()).toEqual([['member-failed', 'n1']]);
  });

  test('old ones are not passed on', () => {
    const solo = new Solo(2);
    solo.hear(join('n1', 9));
    solo.quiet();
    solo.hear(leave('n1', 9));
    solo.hear(leave('n1', 8));
    solo.hear(join('n1', 9));
    expect(solo.queued()).toEqual([]);
    expect(solo.member('n1').status).toBe('alive');
  });

  test('a leave intent about ourselves while we stay is answered with a join intent, not passed on', () => {
    const solo = new Solo(2);
    solo.hear(leave('self', 30));
    expect(solo.queued()).toEqual([{ kind: 'join', node: 'self', ltime: 31 }]);
    expect(solo.member('self')).toMatchObject({ status: 'alive', statusLTime: 31 });
    expect(memberTime(solo)).toBe(32);
    solo.hear(leave('self', 31));
    expect(solo.queued()).toEqual([]);
  });

  test('about thousands of invented names: no more are passed on than are remembered', () => {
    const solo = new Solo(2);
    for (let i = 0; i < 20_000; i++) solo.hear(leave(`invented-${i}`, i + 1, true));
    expect(solo.serf.members.size).toBe(3);
    expect(solo.depths()).toEqual([4096, 0, 0]);
    solo.quiet();
    solo.hear(leave('one-more', 99_999));
    expect(solo.queued()).toEqual([]);
  });

  test('with prune: who is gone is forgotten at once, who lives answers and stays', () => {
    const solo = new Solo(3);
    solo.fails('n1');
    solo.quiet();
    solo.hear(leave('n1', 5, true));
    expect(solo.memberEvents()).toEqual([
      ['member-leave', 'n1'],
      ['member-reap', 'n1'],
    ]);
    solo.hear(leave('n2', 5, true));
    solo.hear(join('n2', 6));
    expect(solo.member('n2').status).toBe('alive');
    expect(solo.memberEvents()).toEqual([]);
  });
});

describe('joining', () => {
  test('is announced with our clock once the exchange was a success', () => {
    const solo = new Solo();
    const ends: (string | undefined)[] = [];
    solo.serf.join(0, { host: '10.0.0.1', port: PORT }, (failure) => ends.push(failure));
    expect(solo.queued()).toEqual([]);
    solo.answerDial({ ltime: 20 });
    expect(ends).toEqual([undefined]);
    expect(solo.queued()).toEqual([{ kind: 'join', node: 'self', ltime: 20 }]);
    expect(solo.member('self').statusLTime).toBe(20);
    expect(memberTime(solo)).toBe(21);
  });

  test('that fails is not announced', () => {
    const solo = new Solo();
    const ends: (string | undefined)[] = [];
    solo.serf.join(0, { host: '10.0.0.1', port: PORT }, (failure) => ends.push(failure));
    solo.serf.tick(10_000);
    expect(ends).toEqual(['10.0.0.1:7946: timed out']);
    expect(solo.queued()).toEqual([]);
  });

  const old = { eventLTime: 10, events: [{ ltime: 5, events: [{ name: 'old', payload: null }] }] };

  test('old events are not for who joins, later ones are', () => {
    const solo = new Solo();
    solo.joins(old);
    expect(userEvents(solo)).toEqual([]);
    solo.hear(event('older', 9));
    solo.hear(event('new', 10));
    expect(userEvents(solo)).toEqual(['new']);
  });

  test('who is joined takes the events of who joins, whatever clock that one claims', () => {
    const solo = new Solo(1);
    solo.exchange({ ...old, eventLTime: 400 }, true);
    expect(userEvents(solo)).toEqual(['old']);
    solo.hear(event('from-before', 300));
    expect(userEvents(solo)).toEqual(['from-before']);
  });

  test('who joins while somebody else joins it keeps the events from before its own time', () => {
    const solo = new Solo(1);
    solo.serf.join(0, { host: '10.0.0.1', port: PORT }, () => {});
    solo.exchange({ ...old, eventLTime: 400 }, true);
    solo.hear(event('from-before', 300));
    expect(userEvents(solo)).toEqual(['old', 'from-before']);
  });

  test('reconnecting is no joining: what happened meanwhile is news', () => {
    const solo = new Solo(1);
    solo.joins({});
    solo.fails('n1');
    solo.quiet();
    solo.now = 40_000;
    solo.serf.tick(solo.now);
    solo.answerDial(old);
    expect(userEvents(solo)).toEqual(['old']);
    expect(solo.queued().filter(({ kind }) => kind === 'join')).toEqual([]);
  });
});

describe('push/pull of Serf', () => {
  test('tells clocks, status times, who left, and events', () => {
    const solo = new Solo(3);
    solo.hear(join('n1', 7));
    solo.hear(leave('n2', 8));
    solo.fails('n2');
    solo.hear(event('deploy', 4, 'x'));
    solo.hear(encodeQuery(queryOf({ ltime: 3 })));
    expect(localState(solo)).toEqual({
      kind: 'pushPull',
      ltime: 9,
      eventLTime: 5,
      queryLTime: 4,
      statusLTimes: new Map([
        ['self', 0],
        ['n1', 7],
        ['n2', 8],
        ['n3', 0],
      ]),
      leftMembers: ['n2'],
      events: [{ ltime: 4, events: [{ name: 'deploy', payload: utf8('x') }] }],
    });
  });

  test('is merged: clocks less one, leaves with one more, joins, and events that are not passed on', () => {
    const solo = new Solo(3);
    solo.hear(leave('n1', 3));
    solo.fails('n2');
    solo.quiet();
    solo.exchange({
      ltime: 50,
      eventLTime: 60,
      queryLTime: 70,
      statusLTimes: new Map([
        ['n1', 9],
        ['n2', 10],
        ['n3', 11],
      ]),
      leftMembers: ['n2'],
      events: [null, { ltime: 58, events: [{ name: 'missed', payload: null }] }],
    });
    expect(solo.serf.stats()).toMatchObject({ member_time: '50', event_time: '60', query_time: '70' });
    expect(solo.member('n1')).toMatchObject({ status: 'alive', statusLTime: 9 });
    expect(solo.member('n2')).toMatchObject({ status: 'left', statusLTime: 11 });
    expect(solo.member('n3')).toMatchObject({ status: 'alive', statusLTime: 11 });
    expect(userEvents(solo)).toEqual(['missed']);
    expect(solo.queued()).toEqual([]);
  });

  test('that says that we left is answered with a join intent', () => {
    const solo = new Solo(1);
    solo.exchange({ ltime: 20, statusLTimes: new Map([['self', 19]]), leftMembers: ['self'] });
    expect(solo.queued()).toEqual([{ kind: 'join', node: 'self', ltime: 21 }]);
    expect(solo.member('self').status).toBe('alive');
  });

  test.each([
    ['nothing', EMPTY, undefined],
    ['another message', join('n1', 5), 'serf-state-unexpected'],
    ['garbage', Uint8Array.of(2, 0xc1), 'serf-state-msgpack'],
  ])('with %s is ignored; the nodes that came along are not', (_what, userState, counter) => {
    const solo = new Solo();
    const id = solo.serf.memberlist.acceptedStream(0);
    const bytes = encodeExchange({ join: false, nodes: [remoteOf('n1', { meta: NO_TAGS })], userState });
    solo.serf.memberlist.receivedStream(0, id, { host: '10.0.0.1', port: 1 }, bytes);
    expect(solo.member('n1')).toMatchObject({ status: 'alive', statusLTime: 0 });
    if (counter !== undefined) expect(solo.serf.memberlist.counters.get(counter)).toBe(1);
  });
});

describe('Lamport times at their end', () => {
  test('whatever was witnessed, what we say next can be read by all', () => {
    const solo = new Solo(2);
    solo.hear(join('invented', LTIME_MAX));
    solo.hear(event('e', LTIME_MAX));
    solo.hear(encodeQuery(queryOf({ ltime: LTIME_MAX })));
    solo.fails('n1');
    solo.exchange({
      ltime: LTIME_MAX,
      eventLTime: LTIME_MAX,
      queryLTime: LTIME_MAX,
      statusLTimes: new Map([['n1', LTIME_MAX]]),
      leftMembers: ['n1'],
    });
    solo.quiet();
    solo.serf.userEvent(0, 'mine', EMPTY, false);
    solo.serf.queries.ask(0, { ...queryOf(), payload: EMPTY, wantsAcks: false, timeoutMs: 1, targets: [] });
    solo.serf.forceLeave(0, 'n2', false);
    // Reading them back throws when a time is beyond belief.
    expect(solo.queued().map(({ kind }) => kind)).toEqual(['leave', 'query', 'userEvent']);
    expect(localState(solo)).toMatchObject({
      ltime: LTIME_MAX,
      eventLTime: LTIME_MAX,
      queryLTime: LTIME_MAX,
    });
  });

  test('signed fanout queries still come through', () => {
    const solo = new Solo(2);
    solo.hear(encodeQuery(queryOf({ ltime: LTIME_MAX })));
    solo.quiet();
    for (const id of [1, 2]) {
      solo.hear(encodeQuery(queryOf({ name: 'fanout', ltime: 1, id, payload: utf8(`signed ${id}`) })));
    }
    expect(solo.events().filter(({ kind }) => kind === 'query')).toHaveLength(2);
  });

  test('a time beyond belief is dropped and moves nothing', () => {
    const solo = new Solo(1);
    solo.hear(join('n1', LTIME_MAX + 2));
    solo.exchange({ ltime: LTIME_MAX + 2 });
    expect(memberTime(solo)).toBe(1);
    expect(solo.serf.memberlist.counters.get('serf-ltime')).toBe(1);
    expect(solo.serf.memberlist.counters.get('serf-state-ltime')).toBe(1);
  });
});

describe('user events', () => {
  test('are delivered once and passed on byte by byte', () => {
    const solo = new Solo(2);
    const bytes = encodeUserEvent({ name: 'deploy', ltime: 5, payload: utf8('v2'), cc: true });
    solo.hear(bytes);
    solo.hear(bytes);
    expect(solo.events()).toEqual([
      { kind: 'user', ltime: 5, name: 'deploy', payload: utf8('v2'), coalesce: true },
    ]);
    expect(solo.queued()).toEqual([decodeSerfMessage(bytes)]);
    expect(solo.serf.stats().event_time).toBe('6');
  });

  test('of our own carry the clock before it moves, and are not delivered again when they come back', () => {
    const solo = new Solo(2);
    solo.hear(event('e', 5));
    solo.quiet();
    solo.serf.userEvent(0, 'mine', utf8('x'), false);
    const [mine] = solo.queued();
    expect(mine).toEqual({ kind: 'userEvent', ltime: 6, name: 'mine', payload: utf8('x'), cc: false });
    expect(userEvents(solo)).toEqual(['mine']);
    solo.hear(event('mine', 6, 'x'));
    expect(userEvents(solo)).toEqual([]);
  });

  test('above 512 bytes are refused at the source and move nothing', () => {
    const solo = new Solo();
    expect(() => solo.serf.userEvent(0, 'e', new Uint8Array(512), false)).toThrow(
      'user event exceeds configured limit of 512 bytes before encoding',
    );
    expect(solo.serf.stats().event_time).toBe('1');
    expect(userEvents(solo)).toEqual([]);
  });

  test('in a flood do not fill the memory, and do not swell what each push/pull carries', () => {
    const solo = new Solo(5);
    for (let i = 0; i < 5000; i++) solo.hear(event(`flood-${i}`, 1 + Math.floor(i / 100), 'x'.repeat(9000)));
    expect(solo.depths()).toEqual([0, 0, 0]);
    const { events } = localState(solo);
    const bytes = events
      .flatMap((slot) => slot?.events ?? [])
      .reduce((sum, e) => sum + (e.payload?.length ?? 0), 0);
    expect(bytes).toBeLessThan(1.1e6);
  });
});

describe('leaving', () => {
  test('first the intent, then the farewell, then a second of answering probes, then gone', () => {
    const solo = new Solo(2);
    solo.serf.leave(0);
    expect(solo.serf.isLeaving).toBe(true);
    expect(solo.member('self').status).toBe('leaving');
    const told: string[] = [];
    for (let i = 0; i < 200 && !told.includes('left'); i++) {
      solo.wake();
      for (const { to, messages } of sentOf(solo.serf.drain())) {
        for (const message of messages) {
          if (message.kind === 'user') told.push(decodeSerfMessage(message.payload).kind);
          if (message.kind === 'dead') told.push('dead');
          if (message.kind === 'ping') {
            solo.serf.memberlist.receivedPacket(
              solo.now,
              to,
              encodeAck({ seqNo: message.seqNo, payload: null }),
            );
          }
        }
      }
      if (solo.events().some(({ kind }) => kind === 'left')) told.push('left');
    }
    expect(told.filter((what, i) => told.indexOf(what) === i)).toEqual(['leave', 'dead', 'left']);
    expect(told.lastIndexOf('leave')).toBeLessThan(told.indexOf('dead'));
    expect(solo.member('self').status).toBe('left');
    expect(solo.now).toBeLessThan(12_000);
    const { node, seqNo } = { node: 'self', seqNo: 5 };
    const from = { host: '10.0.0.1', port: PORT };
    const ping = { node, seqNo, sourceAddr: EMPTY, sourceNode: '', sourcePort: 0 };
    solo.serf.memberlist.receivedPacket(solo.now, from, encodePing(ping));
    expect(sentOf(solo.serf.drain())[0]?.messages[0]).toMatchObject({ kind: 'ack', seqNo: 5 });
  });

  test('alone is over after the pause, without waiting for anybody', () => {
    const solo = new Solo();
    solo.serf.leave(0);
    while (!solo.events().some(({ kind }) => kind === 'left')) {
      expect(solo.now).toBeLessThanOrEqual(2000);
      solo.wake();
    }
    expect(solo.member('self').status).toBe('left');
  });

  test('when nobody takes the news it takes eleven seconds at most', () => {
    const solo = new Solo(200);
    // All peers die at once, and each is suspected for long: nobody is left to gossip to, yet they count as live.
    solo.serf.leave(0);
    while (!solo.events().some(({ kind }) => kind === 'left')) {
      solo.wake();
      solo.serf.drain();
      expect(solo.now).toBeLessThan(11_500);
    }
  });

  test('while a join is under way: nothing is announced that would take it back', () => {
    const solo = new Solo(1);
    solo.serf.join(solo.now, { host: '10.0.0.1', port: PORT }, () => {});
    const dial = solo.serf.drain().find((output) => output.kind === 'dial');
    solo.serf.leave(solo.now);
    const answer = exchangeOf({}, true);
    solo.serf.memberlist.receivedStream(solo.now, dial?.id ?? 0, { host: '10.0.0.1', port: PORT }, answer);
    expect(solo.queued().map(({ kind }) => kind)).toEqual(['leave']);
    expect(solo.member('self').status).toBe('leaving');
  });

  test('accusations and leave intents about us are not refuted any more', () => {
    const solo = new Solo(2);
    solo.serf.leave(0);
    solo.quiet();
    solo.hear(leave('self', 99));
    expect(solo.queued()).toEqual([{ kind: 'leave', node: 'self', ltime: 99, prune: false }]);
    expect(solo.member('self').status).toBe('leaving');
  });
});

describe('forcing out', () => {
  test('a failed member counts as left, here and everywhere', () => {
    const solo = new Solo(3);
    solo.fails('n1');
    solo.hear(join('n2', 20));
    solo.quiet();
    solo.serf.forceLeave(0, 'n1', false);
    expect(solo.member('n1').status).toBe('left');
    expect(solo.memberEvents()).toEqual([['member-leave', 'n1']]);
    expect(solo.queued()).toEqual([{ kind: 'leave', node: 'n1', ltime: 21, prune: false }]);
    expect(memberTime(solo)).toBe(22);
  });

  test('with prune it is forgotten', () => {
    const solo = new Solo(3);
    solo.fails('n1');
    solo.quiet();
    solo.serf.forceLeave(0, 'n1', true);
    expect(solo.memberEvents()).toEqual([
      ['member-leave', 'n1'],
      ['member-reap', 'n1'],
    ]);
    expect(solo.queued()).toMatchObject([{ kind: 'leave', prune: true }]);
  });

  test('a live member with prune does not vanish from the list', () => {
    const solo = new Solo(2);
    solo.serf.forceLeave(0, 'n1', true);
    expect(solo.member('n1').status).toBe('leaving');
    solo.hear(join('n1', 50));
    expect(solo.member('n1').status).toBe('alive');
  });

  test('ourselves is answered like any such intent: we stay', () => {
    const solo = new Solo(2);
    solo.serf.forceLeave(0, 'self', true);
    expect(solo.member('self').status).toBe('alive');
    const [first, second] = solo.queued().sort((a, b) => (a.kind < b.kind ? -1 : 1));
    expect(first).toMatchObject({ kind: 'join', node: 'self' });
    expect(second).toMatchObject({ kind: 'leave', node: 'self' });
    if (first?.kind === 'join' && second?.kind === 'leave') expect(first.ltime).toBeGreaterThan(second.ltime);
  });
});

describe('the local member', () => {
  test('says Serf protocol 5 on memberlist protocol 2', () => {
    expect(new Solo().member('self').vsn).toEqual(Uint8Array.of(1, 5, 2, 2, 5, 5));
  });

  test('new tags are spread with a higher incarnation, and too long ones are refused', () => {
    const solo = new Solo(2);
    const tags = new Map([['role', 'db']]);
    solo.serf.setTags(0, tags);
    expect(solo.memberEvents()).toEqual([['member-update', 'self']]);
    expect(solo.member('self').tags).toEqual(tags);
    expect(solo.serf.memberlist.self).toMatchObject({ incarnation: 2, meta: encodeTags(tags) });
    expect(() => solo.serf.setTags(0, new Map([['role', 'x'.repeat(512)]]))).toThrow('512');
    expect(solo.serf.localTags).toEqual(tags);
    expect(solo.serf.memberlist.self?.incarnation).toBe(2);
  });

  test('a name conflict is reported', () => {
    const solo = new Solo(1);
    solo.packet(encodeAlive(aliveOf('self', { addr: addrOf(9), incarnation: 3, meta: NO_TAGS })));
    expect(solo.events()).toEqual([
      {
        kind: 'conflict',
        name: 'self',
        mine: { host: '10.0.0.0', port: PORT },
        theirs: { host: '10.0.0.9', port: PORT },
      },
    ]);
  });

  test.each([
    [0, 3200],
    [8, 3200],
    [9, 6400],
    [98, 6400],
    [99, 9600],
  ])('with %i peers a query waits %i ms when nobody says how long', (peers, ms) => {
    expect(new Solo(peers).serf.defaultQueryTimeoutMs()).toBe(ms);
  });
});

describe('under attack by somebody who has the cluster key', () => {
  test('nothing grows without end', () => {
    const solo = new Solo(3);
    const { memberlist } = solo.serf;
    for (let i = 0; i < NODES_MAX + 2000; i++) {
      const name = `invented-${i}`;
      solo.packet(encodeAlive(aliveOf(name, { addr: addrOf(9), meta: NO_TAGS })));
      solo.packet(encodeSuspect({ incarnation: 1, node: name, from: 'x' }));
      if (i % 3 === 0) solo.fails(name);
      if (i % 1000 === 0) solo.quiet();
    }
    expect(memberlist.table.size).toBeLessThanOrEqual(NODES_MAX);
    expect(solo.serf.members.size).toBeLessThanOrEqual(NODES_MAX);
    expect(memberlist.queued).toBeLessThanOrEqual(NODES_MAX);
  });

  test('what a full table tells of itself is a message that peers accept', () => {
    const solo = new Solo();
    const meta = new Uint8Array(512).fill(0xff);
    for (let i = 0; i < NODES_MAX + 10; i++) {
      solo.packet(
        encodeAlive(aliveOf(`${i}`.padStart(255, 'x'), { addr: new Uint8Array(16).fill(1), meta })),
      );
      if (i % 1000 === 0) solo.quiet();
    }
    solo.quiet();
    const id = solo.serf.memberlist.acceptedStream(0);
    const ask = encodeExchange({ join: false, nodes: [], userState: stateOf() });
    solo.serf.memberlist.receivedStream(0, id, { host: '10.0.0.1', port: 1 }, ask);
    const [write] = solo.serf.drain().filter((output) => output.kind === 'write');
    expect(write?.bytes.length).toBeLessThan(20 * 1024 * 1024);
    const message = new StreamReader(undefined).push(write?.bytes ?? EMPTY);
    expect(message?.kind === 'pushPull' && message.nodes.length).toBe(NODES_MAX);
  });

  test('garbage of every kind is counted, never thrown', () => {
    const solo = new Solo(2);
    for (let type = 0; type < 256; type++) {
      for (const rest of [[], [0xc1], [0xc0], [0x80], [0x81, 0xa1, 0x41, 0xff], [0x93, 1, 2, 3]]) {
        solo.hear(Uint8Array.of(type, ...rest));
        solo.packet(Uint8Array.of(type, ...rest));
      }
    }
    expect(solo.serf.members.size).toBe(3);
    expect(solo.member('self').status).toBe('alive');
  });

  test('no moment is asked for again and again', () => {
    const solo = new Solo(20);
    solo.serf.queries.ask(0, {
      ...queryOf(),
      payload: EMPTY,
      wantsAcks: true,
      timeoutMs: 700.25,
      targets: [],
    });
    solo.serf.join(0, { host: '10.0.0.1', port: PORT }, () => {});
    for (let i = 0; i < 100; i++) solo.hear(leave(`invented-${i}`, i + 1));
    let again = 0;
    while (solo.now < 120_000) {
      const before = solo.now;
      solo.wake();
      solo.serf.drain();
      again = solo.now > before ? 0 : again + 1;
      expect(again).toBeLessThan(4);
    }
    expect(solo.events().some(({ kind }) => kind === 'query-done')).toBe(true);
  });
});
