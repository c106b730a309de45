import { describe, expect, test } from 'vitest';
import { EMPTY, utf8 } from '../../src/lib/bytes.ts';
import { DecodeError } from '../../src/lib/errors.ts';
import { encodeSuspect } from '../../src/memberlist/messages.ts';
import type { QueryKey, QueryRequest, SerfEvent } from '../../src/serf/events.ts';
import { encodeNodeFilter, encodeTagFilter } from '../../src/serf/filters.ts';
import {
  decodeSerfMessage,
  encodeQuery,
  encodeQueryResponse,
  encodeRelay,
  type Query,
  type QueryResponse,
} from '../../src/serf/messages.ts';
import { addrOf, PORT } from '../memberlist/harness.ts';
import { queryOf, Solo } from './harness.ts';

const ACK = 1;
const NO_BROADCAST = 2;

const request = (more: Partial<QueryRequest> = {}): QueryRequest => ({
  name: 'uptime',
  payload: EMPTY,
  filters: [],
  wantsAcks: false,
  relayFactor: 0,
  timeoutMs: 5000,
  targets: [],
  ...more,
});

function hear(solo: Solo, more: Partial<Query> = {}): void {
  solo.hear(encodeQuery(queryOf(more)));
}

function delivered(solo: Solo): SerfEvent[] {
  return solo.events().filter(({ kind }) => kind === 'query');
}

/** What was sent to who asked, the query's own copies aside. */
function answers(solo: Solo): { host: string; message: QueryResponse }[] {
  return solo
    .sent()
    .flatMap(({ host, message }) => (message.kind === 'queryResponse' ? [{ host, message }] : []));
}

describe('a query that comes', () => {
  test('is delivered once, passed on unchanged, and moves the clock', () => {
    const solo = new Solo(2);
    solo.now = 100;
    hear(solo, { ltime: 40, id: 9, payload: utf8('hi') });
    hear(solo, { ltime: 40, id: 9, payload: utf8('hi') });
    const query = queryOf({ ltime: 40, id: 9, payload: utf8('hi') });
    expect(delivered(solo)).toMatchObject([{ kind: 'query', query, deadline: 100 + 5000 }]);
    expect(solo.queued()).toEqual([query]);
    expect(solo.serf.queries.clock.time).toBe(41);
  });

  test.each([
    ['a list with our name', [encodeNodeFilter(['n1', 'self'])], true],
    ['a list without', [encodeNodeFilter(['n1'])], false],
    ['a tag that matches', [encodeTagFilter('role', 'we')], true],
    ['a tag that does not', [encodeTagFilter('role', 'db')], false],
    ['a tag that we lack, for the empty text', [encodeTagFilter('zone', '')], true],
    [
      'one that holds and one that does not',
      [encodeTagFilter('role', 'web'), encodeNodeFilter(['n1'])],
      false,
    ],
    ['an unknown kind', [Uint8Array.of(9, 0x80)], false],
    ['an empty filter', [EMPTY], false],
    ['garbage', [Uint8Array.of(0, 0xc1)], false],
  ])('with %s is passed on in any case, and for us: %s', (_what, filters, forUs) => {
    const solo = new Solo(2);
    hear(solo, { filters, flags: ACK });
    expect(delivered(solo)).toHaveLength(forUs ? 1 : 0);
    expect(answers(solo)).toHaveLength(forUs ? 1 : 0);
    expect(solo.queued()).toHaveLength(1);
  });

  test('that wants no broadcast is delivered, but not passed on', () => {
    const solo = new Solo(2);
    hear(solo, { flags: NO_BROADCAST });
    expect(delivered(solo)).toHaveLength(1);
    expect(solo.queued()).toEqual([]);
  });

  test.each([
    ['uptime', 9, 5],
    ['uptime', 3, 1],
    ['fanout', 9, 0],
  ])(
    'named %s among %i peers is pushed to %i at once; three transmissions stay for gossip',
    (name, peers, pushed) => {
      const solo = new Solo(peers);
      hear(solo, { name });
      const hosts = solo.sent().map(({ host }) => host);
      expect(hosts).toHaveLength(pushed);
      expect(new Set(hosts).size).toBe(pushed);
      // In a cluster of that size each message is sent 8 or 4 times by each member.
      const limit = peers === 9 ? 8 : 4;
      let gossiped = 0;
      for (let i = 0; i < 100 && solo.depths()[1] === 1; i++) {
        solo.wake();
        gossiped += solo.sent().filter(({ message }) => message.kind === 'query').length;
      }
      expect(gossiped).toBe(limit - pushed);
    },
  );

  test('that wants an ack gets one, straight and bare, where it says', () => {
    const solo = new Solo(2);
    hear(solo, { flags: ACK, ltime: 4, id: 5, addr: addrOf(77), port: 99 });
    const acks = solo.sent().filter(({ message }) => message.kind === 'queryResponse');
    const message = { kind: 'queryResponse', ltime: 4, id: 5, from: 'self', flags: ACK, payload: null };
    expect(acks).toEqual([{ host: '10.0.0.77', port: 99, message }]);
  });

  test.each([
    [-5e9, 0],
    [0, 0],
    [1.5e9, 1500],
    [3.6e12, 3_600_000],
    [Number.MAX_SAFE_INTEGER, 3_600_000],
  ])('with a timeout of %d ns has %d ms', (timeoutNs, ms) => {
    const solo = new Solo();
    hear(solo, { timeoutNs });
    expect(delivered(solo)).toMatchObject([{ deadline: ms }]);
  });

  test('named for Serf itself is acknowledged and passed on, but not delivered', () => {
    const solo = new Solo(2);
    hear(solo, { name: '_serf_ping', flags: ACK });
    expect(delivered(solo)).toEqual([]);
    expect(answers(solo)).toHaveLength(1);
    expect(solo.queued()).toHaveLength(1);
  });

  test('for a vote about a name is answered with what we know, except by that name', () => {
    const solo = new Solo(2);
    const vote = (name: string, id: number): unknown[] => {
      hear(solo, { name: '_serf_conflict', payload: utf8(name), id });
      return answers(solo).map(({ message }) => decodeSerfMessage(message.payload ?? EMPTY));
    };
    expect(vote('n2', 1)).toMatchObject([
      { kind: 'conflictResponse', member: { name: 'n2', addr: addrOf(2), port: PORT, status: 'alive' } },
    ]);
    expect(vote('nobody', 2)).toEqual([{ kind: 'conflictResponse', member: null }]);
    expect(vote('self', 3)).toEqual([]);
  });

  test('to answer at port 0 is not answered, and harms nobody', () => {
    const solo = new Solo(3);
    hear(solo, { flags: ACK, port: 0 });
    expect(answers(solo)).toEqual([]);
    expect(delivered(solo)).toHaveLength(1);
    expect(solo.serf.memberlist.counters.get('send-port-zero')).toBe(1);
  });

  test('longer than any Serf spreads is dropped', () => {
    const solo = new Solo(2);
    hear(solo, { payload: new Uint8Array(9 * 1024) });
    expect(delivered(solo)).toEqual([]);
    expect(solo.queued()).toEqual([]);
    expect(solo.serf.memberlist.counters.get('serf-too-long')).toBe(1);
  });

  test('too long for a packet is delivered, but does not wait for ever to be gossiped', () => {
    const solo = new Solo(2);
    hear(solo, { payload: new Uint8Array(2000) });
    expect(delivered(solo)).toHaveLength(1);
    expect(solo.depths()).toEqual([0, 0, 0]);
  });

  test('in a flood: no more than 4096 wait, and no more than 500 copies are pushed in one second', () => {
    const solo = new Solo(9);
    for (let i = 0; i < 30_000; i++) hear(solo, { ltime: 1 + Math.floor(i / 1000), id: i });
    expect(solo.depths()).toEqual([0, 4096, 0]);
    const pushed = solo.sent().filter(({ message }) => message.kind === 'query').length;
    expect(pushed).toBeLessThanOrEqual(500);
    expect(pushed).toBeGreaterThan(400);
  });
});

describe('a query sent again', () => {
  test('is acknowledged again when it is one of fanout, but not delivered or passed on', () => {
    const solo = new Solo(2);
    const fanout = { name: 'fanout', payload: utf8('signed'), flags: ACK };
    hear(solo, fanout);
    expect(answers(solo)).toHaveLength(1);
    solo.quiet();
    hear(solo, { ...fanout, flags: ACK | NO_BROADCAST });
    expect(answers(solo)).toHaveLength(1);
    expect(delivered(solo)).toEqual([]);
    expect(solo.queued()).toEqual([]);
    hear(solo, fanout);
    expect(answers(solo)).toEqual([]);
  });

  test('with a filter against us, by a forger who was faster, does not hide the true one', () => {
    const solo = new Solo(2);
    const fanout = { name: 'fanout', payload: utf8('signed') };
    hear(solo, { ...fanout, filters: [encodeNodeFilter(['nobody'])] });
    hear(solo, fanout);
    expect(delivered(solo)).toHaveLength(1);
  });
});

describe('asking', () => {
  test('carries our clock, id and address, and moves the clock', () => {
    const solo = new Solo(2);
    hear(solo, { ltime: 40 });
    solo.quiet();
    const key = solo.serf.queries.ask(0, request({ wantsAcks: true, relayFactor: 2, payload: utf8('x') }));
    expect(key.ltime).toBe(41);
    expect(key.id).toBeLessThan(2 ** 31);
    expect(solo.serf.queries.clock.time).toBe(42);
    const [query] = solo.queued();
    expect(query).toMatchObject({
      ...key,
      kind: 'query',
      addr: addrOf(0),
      port: PORT,
      sourceNode: 'self',
      flags: ACK,
      relayFactor: 2,
      timeoutNs: 5e9,
      name: 'uptime',
      payload: utf8('x'),
    });
  });

  test('goes straight to its targets, and to ourselves', () => {
    const solo = new Solo(3);
    solo.serf.queries.ask(0, request({ name: 'fanout', targets: ['n1', 'n3', 'self', 'nobody'] }));
    const hosts = solo.sent().map(({ host }) => host);
    expect(hosts).toEqual(['10.0.0.1', '10.0.0.3']);
    expect(delivered(solo)).toHaveLength(1);
  });

  test('acks and responses come back, once per name, until the end', () => {
    const solo = new Solo(2);
    const key = solo.serf.queries.ask(0, request());
    solo.quiet();
    const reply = (from: string, flags: number, payload: Uint8Array | null, of: QueryKey = key): void =>
      solo.hear(encodeQueryResponse({ ...of, from, flags, payload }));
    reply('n1', ACK, null);
    reply('n1', 0, utf8('up'));
    reply('n1', 0, utf8('forged'));
    reply('n2', 0, null, { ltime: key.ltime, id: key.id + 1 });
    expect(solo.events()).toEqual([
      { kind: 'ack', key, from: 'n1' },
      { kind: 'response', key, from: 'n1', payload: utf8('up') },
    ]);
    solo.serf.queries.end(key);
    reply('n2', 0, utf8('late'));
    expect(solo.events()).toEqual([]);
  });

  test('ends at the deadline, exactly once, without being asked for that moment again', () => {
    const solo = new Solo();
    const key = solo.serf.queries.ask(0, request({ timeoutMs: 100 }));
    solo.quiet();
    expect(solo.serf.queries.nextWake()).toBe(100);
    solo.serf.tick(99);
    expect(solo.events()).toEqual([]);
    solo.serf.tick(100);
    expect(solo.events()).toEqual([{ kind: 'query-done', key }]);
    expect(solo.serf.queries.nextWake()).toBe(Number.POSITIVE_INFINITY);
    solo.serf.tick(200);
    expect(solo.events()).toEqual([]);
  });

  test('above 1024 bytes is refused, and whether it fits can be asked before', () => {
    const solo = new Solo();
    const sized = (bytes: number): QueryRequest => request({ payload: new Uint8Array(bytes) });
    expect(solo.serf.queries.fits(sized(100))).toBe(true);
    expect(solo.serf.queries.fits(sized(1024))).toBe(false);
    expect(() => solo.serf.queries.ask(0, sized(1024))).toThrow(
      new DecodeError('query-size', 'query exceeds limit of 1024 bytes'),
    );
    expect(solo.serf.queries.clock.time).toBe(1);
    // What is said to fit does so in the worst case.
    let largest = 1024;
    while (!solo.serf.queries.fits(sized(largest))) largest--;
    hear(solo, { ltime: 2 ** 51 });
    solo.serf.queries.ask(0, sized(largest));
    expect(encodeQuery(solo.queued().at(-1) as Query).length).toBeLessThanOrEqual(1024);
  });
});

describe('answering', () => {
  test('is a bare packet to who asked, never gossip', () => {
    const solo = new Solo(2);
    solo.serf.queries.respond(queryOf({ ltime: 3, id: 4 }), utf8('up'));
    const message = { kind: 'queryResponse', ltime: 3, id: 4, from: 'self', flags: 0, payload: utf8('up') };
    expect(solo.sent()).toEqual([{ host: '10.0.0.1', port: PORT, message }]);
    expect(solo.queued()).toEqual([]);
  });

  test('above 1024 bytes is refused', () => {
    const solo = new Solo();
    expect(() => solo.serf.queries.respond(queryOf(), new Uint8Array(1024))).toThrow(
      'response exceeds limit of 1024 bytes',
    );
    expect(solo.sent()).toEqual([]);
  });
});

describe('relaying', () => {
  const relaysOf = (solo: Solo): string[] =>
    solo
      .sent()
      .filter(({ message }) => message.kind === 'relay')
      .map(({ host }) => host);

  test.each([
    [2, 3, 2],
    [3, 3, 3],
    [4, 3, 0],
    [0, 3, 0],
    [255, 300, 10],
  ])('factor %i among %i peers sends %i copies through different helpers', (factor, peers, copies) => {
    const solo = new Solo(peers);
    solo.serf.queries.respond(queryOf({ relayFactor: factor }), utf8('up'));
    const hosts = relaysOf(solo);
    expect(hosts).toHaveLength(copies);
    expect(new Set(hosts).size).toBe(copies);
    expect(hosts).not.toContain('10.0.0.0');
  });

  test('a relayed answer names where it goes and is the whole message', () => {
    const solo = new Solo(1);
    solo.serf.queries.respond(
      queryOf({ relayFactor: 1, addr: addrOf(5), port: 55, sourceNode: 'n5' }),
      EMPTY,
    );
    const [direct, relayed] = solo.sent();
    expect(direct).toMatchObject({ host: '10.0.0.5', port: 55 });
    expect(relayed).toMatchObject({
      host: '10.0.0.1',
      message: { kind: 'relay', destAddr: { ip: addrOf(5), port: 55, zone: '' }, destName: 'n5' },
    });
    const inner = relayed?.message.kind === 'relay' ? relayed.message.inner : EMPTY;
    expect(decodeSerfMessage(inner)).toEqual(direct?.message);
  });

  test('goes only through live members that understand it', () => {
    const solo = new Solo(0);
    solo.meet('n1', 1, Uint8Array.of(1, 4, 2, 2, 5, 4));
    solo.meet('n2', 2);
    solo.meet('n3', 3);
    solo.fails('n3');
    solo.meet('n4', 4);
    solo.packet(encodeSuspect({ incarnation: 1, node: 'n4', from: 'n2' }));
    solo.quiet();
    solo.serf.queries.respond(queryOf({ relayFactor: 2 }), EMPTY);
    expect(relaysOf(solo)).toEqual(['10.0.0.2']);
  });

  test('an answer that does not fit with its wrapping goes straight only', () => {
    const solo = new Solo(3);
    solo.serf.queries.respond(queryOf({ relayFactor: 1 }), new Uint8Array(960));
    expect(solo.sent().map(({ message }) => message.kind)).toEqual(['queryResponse']);
  });

  const relayTo = (inner: Uint8Array, port = 99): Uint8Array =>
    encodeRelay({ destAddr: { ip: addrOf(8), port, zone: '' }, destName: 'n8', inner });
  const answer = encodeQueryResponse({ ltime: 1, id: 2, from: 'x', flags: 0, payload: utf8('up') });

  test('passes an answer on to where it goes, and does not look at it', () => {
    const solo = new Solo(1);
    solo.hear(relayTo(answer));
    expect(solo.sent()).toMatchObject([
      { host: '10.0.0.8', port: 99, message: { kind: 'queryResponse', from: 'x' } },
    ]);
    expect(solo.events()).toEqual([]);
  });

  test.each([
    ['a relay in a relay', relayTo(relayTo(answer))],
    ['a query', relayTo(encodeQuery(queryOf()))],
    ['nothing', relayTo(EMPTY)],
    ['an answer to port 0', relayTo(answer, 0)],
  ])('does not pass on %s', (_what, message) => {
    const solo = new Solo(1);
    solo.hear(message);
    expect(solo.sent()).toEqual([]);
    expect(solo.queued()).toEqual([]);
  });
});
