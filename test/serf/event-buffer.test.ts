import { describe, expect, test } from 'vitest';
import { utf8 } from '../../src/lib/bytes.ts';
import { EventBuffer, isTooOld } from '../../src/serf/event-buffer.ts';
import { LamportClock, LTIME_MAX } from '../../src/serf/lamport-clock.ts';

const MIB = 1024 * 1024;

const event = (name: string, payload: string | null = '') => ({
  name,
  payload: payload === null ? null : utf8(payload),
});

function bytesKept(buffer: EventBuffer): number {
  return buffer
    .snapshot()
    .flatMap(({ events }) => events)
    .reduce((sum, { name, payload }) => sum + name.length + (payload?.length ?? 0), 0);
}

describe('a Lamport clock', () => {
  test('starts at 1, gives its time before it moves, and passes what it witnesses', () => {
    const clock = new LamportClock();
    expect(clock.time).toBe(1);
    expect(clock.take()).toBe(1);
    expect(clock.time).toBe(2);
    for (const [seen, after] of [
      [0, 2],
      [1, 2],
      [2, 3],
      [2, 3],
      [9, 10],
    ] as const) {
      clock.witness(seen);
      expect(clock.time).toBe(after);
    }
  });

  test('never says a time that its own decoder would refuse', () => {
    const clock = new LamportClock();
    clock.witness(LTIME_MAX);
    expect(clock.time).toBe(LTIME_MAX);
    expect(clock.take()).toBe(LTIME_MAX);
    expect(clock.take()).toBe(LTIME_MAX);
  });
});

describe('user events', () => {
  test('are told from repeats by Lamport time, name and payload', () => {
    const buffer = new EventBuffer();
    expect(buffer.admit(2, 1, event('deploy', 'a'))).toBe(true);
    expect(buffer.admit(2, 1, event('deploy', 'a'))).toBe(false);
    expect(buffer.admit(2, 1, event('deploy', 'b'))).toBe(true);
    expect(buffer.admit(2, 1, event('other', 'a'))).toBe(true);
    expect(buffer.admit(3, 2, event('deploy', 'a'))).toBe(true);
    expect(buffer.snapshot()).toEqual([
      { ltime: 1, events: [event('deploy', 'a'), event('deploy', 'b'), event('other', 'a')] },
      { ltime: 2, events: [event('deploy', 'a')] },
    ]);
  });

  test('no payload and an empty one are the same', () => {
    const buffer = new EventBuffer();
    expect(buffer.admit(2, 1, event('deploy', null))).toBe(true);
    expect(buffer.admit(2, 1, event('deploy', ''))).toBe(false);
    expect(buffer.admit(2, 1, event('deploy', 'x'))).toBe(true);
  });

  test.each([
    [512, 0, false],
    [513, 0, true],
    [513, 1, false],
    [1000, 487, true],
    [1000, 488, false],
    [1000, 999, false],
    [1000, 5000, false],
  ])('at clock %i an event of time %i is too old: %s', (clock, ltime, old) => {
    expect(isTooOld(clock, ltime)).toBe(old);
    expect(new EventBuffer().admit(clock, ltime, event('e'))).toBe(!old);
  });

  test('a slot is used again 512 times later', () => {
    const buffer = new EventBuffer();
    buffer.admit(4, 3, event('e'));
    expect(buffer.admit(516, 515, event('e'))).toBe(true);
    expect(buffer.snapshot()).toEqual([{ ltime: 515, events: [event('e')] }]);
    expect(buffer.admit(516, 3, event('e'))).toBe(false);
  });

  test('from before our time are not delivered', () => {
    const buffer = new EventBuffer();
    buffer.ignoreBefore(10);
    buffer.ignoreBefore(5);
    expect(buffer.admit(11, 9, event('e'))).toBe(false);
    expect(buffer.admit(11, 10, event('e'))).toBe(true);
  });
});

describe('hostile user events', () => {
  test('above what any Serf can be set to send are dropped', () => {
    const buffer = new EventBuffer();
    expect(buffer.admit(2, 1, event('e', 'x'.repeat(9 * 1024)))).toBe(false);
    expect(buffer.admit(2, 1, event('e', 'x'.repeat(9 * 1024 - 1)))).toBe(true);
  });

  test('of one Lamport time are kept up to 1024 and then refused, not delivered again and again', () => {
    const buffer = new EventBuffer();
    let admitted = 0;
    for (let i = 0; i < 20_000; i++) if (buffer.admit(2, 1, event(`e${i}`))) admitted++;
    expect(admitted).toBe(1024);
    expect(buffer.admit(2, 1, event('e0'))).toBe(false);
    expect(buffer.admit(2, 1, event('e19999'))).toBe(false);
  });

  test('take one mebibyte at most; the oldest make room and count as past', () => {
    const buffer = new EventBuffer();
    const payload = 'x'.repeat(8000);
    for (let ltime = 1; ltime <= 500; ltime++) {
      expect(buffer.admit(ltime + 1, ltime, event('flood', payload))).toBe(true);
      expect(bytesKept(buffer)).toBeLessThanOrEqual(MIB);
    }
    const oldest = Math.min(...buffer.snapshot().map(({ ltime }) => ltime));
    expect(oldest).toBeGreaterThan(300);
    expect(buffer.admit(501, oldest - 1, event('flood', payload))).toBe(false);
    expect(buffer.admit(501, 500, event('honest'))).toBe(true);
  });

  test('that had to make room are not delivered a second time', () => {
    const buffer = new EventBuffer();
    buffer.admit(2, 1, event('early'));
    for (let ltime = 2; ltime <= 200; ltime++) buffer.admit(201, ltime, event('flood', 'x'.repeat(8000)));
    expect(buffer.snapshot().every(({ ltime }) => ltime > 1)).toBe(true);
    expect(buffer.admit(201, 1, event('early'))).toBe(false);
  });

  test('of one Lamport time cannot push out each other', () => {
    const buffer = new EventBuffer();
    for (let i = 0; i < 1000; i++) buffer.admit(6, 5, event(`${i}`, 'x'.repeat(8000)));
    expect(buffer.snapshot()[0]?.events[0]?.name).toBe('0');
    expect(bytesKept(buffer)).toBeLessThanOrEqual(MIB);
    expect(buffer.admit(6, 5, event('0', 'x'.repeat(8000)))).toBe(false);
    expect(buffer.admit(7, 6, event('next', 'x'.repeat(8000)))).toBe(true);
  });

  test('room is given back when a slot is used again', () => {
    const buffer = new EventBuffer();
    for (let ltime = 1; ltime <= 20_000; ltime++) {
      expect(buffer.admit(ltime + 1, ltime, event('e', 'x'.repeat(1000)))).toBe(true);
    }
    expect(buffer.snapshot()).toHaveLength(512);
  });
});
