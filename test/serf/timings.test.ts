import { expect, test } from 'vitest';
import { LAN_PROFILE } from '../../src/memberlist/config.ts';
import { Departure } from '../../src/serf/departure.ts';
import { MemberTable } from '../../src/serf/member-table.ts';
import { memberlistConfig, SERF_TIMINGS } from '../../src/serf/serf-config.ts';
import { nodeOf } from './harness.ts';

test('members that are gone are kept for as long as the settings say, failed ones and others apart', () => {
  const timings = { ...SERF_TIMINGS, reconnectTimeoutMs: 5000, tombstoneTimeoutMs: 60_000 };
  const table = new MemberTable('self', () => {}, timings);
  for (const name of ['fails', 'leaves']) table.nodeJoined(nodeOf(name));
  table.leaveIntent(0, 'leaves', 1);
  for (const name of ['fails', 'leaves']) table.nodeLeft(0, nodeOf(name));
  const kept = (now: number): string[] => {
    table.reap(now);
    return [...table.all()].map(({ name }) => name);
  };
  expect(kept(5000)).toEqual(['fails', 'leaves']);
  expect(kept(5001)).toEqual(['leaves']);
  expect(kept(60_000)).toEqual(['leaves']);
  expect(kept(60_001)).toEqual([]);
});

test('a leave waits for each of its messages as long as the settings say', () => {
  const departure = new Departure(700);
  departure.begin(1000);
  expect(departure.nextWake).toBe(1700);
  expect(departure.tick(1699)).toBeUndefined();
  expect(departure.tick(1700)).toBe('send-farewell');
  expect(departure.nextWake).toBe(2400);
});

test('the protocol that we speak is a number beside the range that we understand', () => {
  const config = {
    name: 'a',
    addr: Uint8Array.of(127, 0, 0, 1),
    port: 1,
    tags: new Map<string, string>(),
    profile: LAN_PROFILE,
    compression: true,
    keyring: undefined,
    matches: () => true,
  };
  expect([...memberlistConfig(config).vsn]).toEqual([1, 5, 2, 2, 5, 5]);
  expect([...memberlistConfig({ ...config, protocol: 4 }).vsn]).toEqual([1, 5, 2, 2, 5, 4]);
});
