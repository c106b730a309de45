import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BroadcastQueue } from '../../src/memberlist/broadcast-queue.ts';
import { Keyring } from '../../src/memberlist/keyring.ts';
import { gossipBytesMax } from '../../src/memberlist/outbox.ts';

const BYTES_MAX = 1395;
const FEW = 5;

/** A message of `length` bytes that can be told from others by its first. */
function message(id: number, length = 10): Uint8Array {
  const bytes = new Uint8Array(length);
  bytes[0] = id;
  return bytes;
}

function ids(taken: readonly Uint8Array[]): (number | undefined)[] {
  return taken.map((bytes) => bytes[0]);
}

function lan(countMax = 10_000): BroadcastQueue {
  return new BroadcastQueue({ retransmitMult: 4, bytesMax: BYTES_MAX, countMax });
}

test.each([
  [9, 4],
  [99, 8],
  [999, 12],
])('with %i nodes a broadcast rides in %i packets, then its callback fires once', (nodes, times) => {
  const queue = lan();
  let finished = 0;
  queue.queue(message(1), { finished: () => finished++ });
  for (let i = 1; i <= times; i++) {
    expect(finished).toBe(0);
    expect(ids(queue.take(2, 1400, nodes))).toEqual([1]);
  }
  expect(finished).toBe(1);
  expect(queue.length).toBe(0);
  expect(queue.take(2, 1400, nodes)).toEqual([]);
});

test('what was sent ahead of gossip counts', () => {
  const queue = lan();
  queue.queue(message(1), { transmits: 3 });
  expect(ids(queue.take(2, 1400, FEW))).toEqual([1]);
  expect(queue.length).toBe(0);
});

test('the least sent go first; among them the largest that fits, the newest of equals', () => {
  const queue = lan();
  queue.queue(message(1, 100));
  queue.take(0, 1400, FEW);
  queue.queue(message(2, 10));
  queue.queue(message(3, 20));
  queue.queue(message(4, 20));
  expect(ids(queue.take(0, 1400, FEW))).toEqual([4, 3, 2, 1]);
});

test('a message that does not fit gives way to a smaller one, and each costs its overhead', () => {
  const queue = lan();
  queue.queue(message(1, 50));
  queue.queue(message(2, 30));
  queue.queue(message(3, 8));
  expect(ids(queue.take(2, 51, FEW))).toEqual([2, 3]);
  expect(ids(queue.take(2, 52, FEW))).toEqual([1]);
  expect(queue.take(2, 9, FEW)).toEqual([]);
});

test('news of the same name replaces what waits, and what waits is told that it is finished', () => {
  const queue = lan();
  const finished: string[] = [];
  queue.queue(message(1), { name: 'a', finished: () => finished.push('first') });
  queue.queue(message(2), { name: 'b', finished: () => finished.push('other') });
  queue.queue(message(3), { name: 'a', finished: () => finished.push('second') });
  expect(finished).toEqual(['first']);
  expect(ids(queue.take(0, 1400, FEW)).sort()).toEqual([2, 3]);
});

test('messages without a name are never replaced', () => {
  const queue = lan();
  queue.queue(message(1));
  queue.queue(message(1));
  expect(queue.length).toBe(2);
});

test('a full queue drops the most often sent, and tells them', () => {
  const queue = lan(5);
  let finished = 0;
  for (let i = 0; i < 5; i++) queue.queue(message(i, 10 + i), { finished: () => finished++ });
  // 14 and 13 bytes long: sent once now.
  expect(ids(queue.take(0, 27, FEW))).toEqual([4, 3]);
  for (let i = 5; i < 8; i++) queue.queue(message(i, 5));
  expect(queue.length).toBe(5);
  expect(finished).toBe(2);
  expect(ids(queue.take(0, 1400, FEW))).toEqual([2, 1, 0, 7, 6]);
});

test('what no packet has room for is not kept, but its callback fires', () => {
  const queue = lan();
  let finished = 0;
  queue.queue(message(1), { name: 'a' });
  queue.queue(message(2, BYTES_MAX + 1), { name: 'a', finished: () => finished++ });
  expect(finished).toBe(1);
  expect(queue.length).toBe(0);
  queue.queue(message(3, BYTES_MAX));
  expect(queue.length).toBe(1);
});

test('the longest that gossip carries is 1395 bytes in clear and 1366 encrypted', () => {
  expect(gossipBytesMax(undefined)).toBe(1395);
  expect(gossipBytesMax(new Keyring([new Uint8Array(16)]))).toBe(1366);
});

test('a small message does not keep the large packet that it came in', () => {
  const queue = lan();
  queue.queue(new Uint8Array(65_000).subarray(5, 15));
  expect(queue.take(0, 1400, FEW)[0]?.buffer.byteLength).toBe(10);
});

test('any mix of messages: nothing over budget, nothing twice in one packet, each exactly as often as the limit', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 200 }), { maxLength: 60 }), (lengths) => {
      const queue = lan();
      const times = lengths.map(() => 0);
      for (const [id, length] of lengths.entries()) queue.queue(message(id, length));
      for (let packet = 0; queue.length > 0; packet++) {
        expect(packet).toBeLessThan(4 * lengths.length + 1);
        const taken = queue.take(2, 400, FEW);
        expect(taken.reduce((sum, bytes) => sum + bytes.length + 2, 0)).toBeLessThanOrEqual(400);
        expect(new Set(ids(taken)).size).toBe(taken.length);
        for (const id of ids(taken)) times[id!]!++;
      }
      expect(times.every((count) => count === 4)).toBe(true);
    }),
  );
});

test('filling a packet looks at what it takes, not at everything that waits', () => {
  const cost = (waiting: number): number => {
    let reads = 0;
    const queue = lan();
    for (let i = 0; i < waiting; i++) {
      const bytes = message(i & 255, 200);
      Object.defineProperty(bytes, 'length', {
        get: () => {
          reads++;
          return 200;
        },
      });
      queue.queue(bytes);
    }
    reads = 0;
    queue.take(2, 1400, FEW);
    return reads;
  };
  expect(cost(4000)).toBeLessThan(2 * cost(100));
});
