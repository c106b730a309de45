import { describe, expect, test } from 'vitest';
import { EMPTY, utf8 } from '../../src/lib/bytes.ts';
import { NEVER } from '../../src/lib/time.ts';
import { NODES_MAX } from '../../src/memberlist/node-table.ts';
import { encodeNodeFilter } from '../../src/serf/filters.ts';
import { FANOUT_QUERY, QueryBook } from '../../src/serf/query-book.ts';
import { addrOf } from '../memberlist/harness.ts';
import { queryOf } from './harness.ts';

describe('queries that come', () => {
  test('are told from repeats by Lamport time and id', () => {
    const book = new QueryBook();
    expect(book.admit(2, queryOf({ ltime: 1, id: 7 }))).toBe(true);
    expect(book.admit(2, queryOf({ ltime: 1, id: 7, name: 'other', payload: utf8('x') }))).toBe(false);
    expect(book.admit(2, queryOf({ ltime: 1, id: 8 }))).toBe(true);
    expect(book.admit(3, queryOf({ ltime: 2, id: 7 }))).toBe(true);
  });

  test.each([
    [512, 0, true],
    [513, 0, false],
    [1000, 487, false],
    [1000, 488, true],
  ])('at clock %i one of time %i is admitted: %s', (clock, ltime, admitted) => {
    expect(new QueryBook().admit(clock, queryOf({ ltime }))).toBe(admitted);
  });

  test('a slot is used again 512 times later', () => {
    const book = new QueryBook();
    expect(book.admit(2, queryOf({ ltime: 1 }))).toBe(true);
    expect(book.admit(514, queryOf({ ltime: 513 }))).toBe(true);
    expect(book.admit(514, queryOf({ ltime: 513 }))).toBe(false);
    expect(book.admit(514, queryOf({ ltime: 1 }))).toBe(false);
  });

  test('in a flood of one Lamport time are admitted up to 1024', () => {
    const book = new QueryBook();
    let admitted = 0;
    for (let id = 0; id < 50_000; id++) if (book.admit(2, queryOf({ ltime: 1, id }))) admitted++;
    expect(admitted).toBe(1024);
    expect(book.admit(3, queryOf({ ltime: 2 }))).toBe(true);
  });
});

describe('fanout queries that come', () => {
  const fanout = (more: Parameters<typeof queryOf>[0] = {}) =>
    queryOf({ name: FANOUT_QUERY, payload: utf8('signed'), ...more });

  test('are told from repeats by what they say, whoever passes them on', () => {
    const book = new QueryBook();
    expect(book.admit(2, fanout())).toBe(true);
    for (const more of [{ ltime: 9 }, { id: 99 }, { flags: 3 }, { relayFactor: 2 }]) {
      expect(book.admit(2, fanout(more))).toBe(false);
    }
    expect(book.admit(2, fanout({ payload: utf8('another') }))).toBe(true);
  });

  test('cannot be burnt with a copy that is for others or answers to another', () => {
    for (const more of [
      { filters: [encodeNodeFilter(['nobody'])] },
      { sourceNode: 'forger' },
      { addr: addrOf(66) },
      { port: 1 },
      { timeoutNs: 1 },
    ]) {
      const book = new QueryBook();
      expect(book.admit(2, fanout(more))).toBe(true);
      expect(book.admit(2, fanout())).toBe(true);
    }
  });

  test('cannot be burnt with their Lamport time and id, nor made too old', () => {
    const book = new QueryBook();
    expect(book.admit(5000, queryOf({ ltime: 4999, id: 7 }))).toBe(true);
    expect(book.admit(5000, fanout({ ltime: 4999, id: 7 }))).toBe(true);
    expect(book.admit(2 ** 52, fanout({ ltime: 1, payload: EMPTY }))).toBe(true);
  });

  test('are remembered up to 8192, the oldest forgotten first', () => {
    const book = new QueryBook();
    for (let i = 0; i <= 8192; i++) book.admit(2, fanout({ payload: utf8(`${i}`) }));
    expect(book.admit(2, fanout({ payload: utf8('1') }))).toBe(false);
    expect(book.admit(2, fanout({ payload: utf8('0') }))).toBe(true);
  });
});

describe('answers to our own queries', () => {
  const answer = (more: Partial<Parameters<QueryBook['answered']>[1]> = {}) => ({
    ltime: 3,
    id: 7,
    from: 'n1',
    isAck: false,
    ...more,
  });

  function asked(deadline = 1000): QueryBook {
    const book = new QueryBook();
    book.ask(3, 7, deadline);
    return book;
  }

  test('one ack and one response count for each name, copies do not', () => {
    const book = asked();
    expect(book.answered(0, answer({ isAck: true }))).toBe(true);
    expect(book.answered(0, answer())).toBe(true);
    expect(book.answered(0, answer())).toBe(false);
    expect(book.answered(0, answer({ isAck: true }))).toBe(false);
    expect(book.answered(0, answer({ from: 'n2' }))).toBe(true);
  });

  test('to queries that we did not ask are nothing', () => {
    const book = asked();
    expect(book.answered(0, answer({ ltime: 4 }))).toBe(false);
    expect(book.answered(0, answer({ id: 8 }))).toBe(false);
    book.forget(3, 7);
    expect(book.answered(0, answer())).toBe(false);
  });

  test('after the deadline are nothing', () => {
    const book = asked();
    expect(book.answered(1000, answer())).toBe(true);
    expect(book.answered(1001, answer({ from: 'n2' }))).toBe(false);
  });

  test('from invented names are counted up to as many as there can be members', () => {
    const book = asked();
    let counted = 0;
    for (let i = 0; i < NODES_MAX + 5000; i++) if (book.answered(0, answer({ from: `x${i}` }))) counted++;
    expect(counted).toBe(NODES_MAX);
  });

  test('a query ends at its deadline, once, and is not waited for any more', () => {
    const book = asked(1000);
    book.ask(4, 8, 2000);
    expect(book.nextWake()).toBe(1000);
    expect(book.expire(999)).toEqual([]);
    expect(book.expire(1000)).toEqual([{ ltime: 3, id: 7 }]);
    expect(book.nextWake()).toBe(2000);
    expect(book.expire(5000)).toEqual([{ ltime: 4, id: 8 }]);
    expect(book.nextWake()).toBe(NEVER);
  });
});
