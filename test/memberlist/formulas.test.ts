import { expect, test } from 'vitest';
import { LAN_PROFILE, LOCAL_PROFILE, type Profile, WAN_PROFILE } from '../../src/memberlist/config.ts';
import { pushPullIntervalMs, retransmitLimit, suspicionTimeoutMs } from '../../src/memberlist/formulas.ts';

test.each([
  [1, 4],
  [9, 4],
  [10, 8],
  [99, 8],
  [100, 12],
  [999, 12],
  [1000, 16],
])('with %i nodes a LAN broadcast is sent %i times', (nodes, times) => {
  expect(retransmitLimit(LAN_PROFILE.retransmitMult, nodes)).toBe(times);
});

test.each([
  [1, 4000, 24_000, 30_000],
  [10, 4000, 24_000, 30_000],
  [50, 6792, 40_752, 50_940],
  [100, 8000, 48_000, 60_000],
  [1000, 12_000, 72_000, 90_000],
])(
  'with %i nodes a suspect has at least %i ms and at most %i ms on a LAN, at least %i ms on a WAN',
  (nodes, min, max, wan) => {
    const lan = suspicionTimeoutMs(LAN_PROFILE.suspicionMult, nodes, LAN_PROFILE.probeIntervalMs);
    expect(lan).toBe(min);
    expect(lan * LAN_PROFILE.suspicionMaxTimeoutMult).toBe(max);
    expect(suspicionTimeoutMs(WAN_PROFILE.suspicionMult, nodes, WAN_PROFILE.probeIntervalMs)).toBe(wan);
  },
);

test.each([
  [1, 1],
  [32, 1],
  [33, 2],
  [64, 2],
  [65, 3],
  [128, 3],
  [129, 4],
  [256, 4],
  [257, 5],
])('with %i nodes the time between push/pulls is multiplied by %i', (nodes, times) => {
  expect(pushPullIntervalMs(30_000, nodes)).toBe(30_000 * times);
});

test('the profiles are those of memberlist', () => {
  const row = (profile: Profile): number[] => [
    profile.tcpTimeoutMs,
    profile.indirectChecks,
    profile.retransmitMult,
    profile.suspicionMult,
    profile.suspicionMaxTimeoutMult,
    profile.pushPullIntervalMs,
    profile.probeIntervalMs,
    profile.probeTimeoutMs,
    profile.awarenessMaxMultiplier,
    profile.gossipIntervalMs,
    profile.gossipNodes,
    profile.gossipToTheDeadMs,
  ];
  expect(row(LAN_PROFILE)).toEqual([10_000, 3, 4, 4, 6, 30_000, 1000, 500, 8, 200, 3, 30_000]);
  expect(row(WAN_PROFILE)).toEqual([30_000, 3, 4, 6, 6, 60_000, 5000, 3000, 8, 500, 4, 60_000]);
  expect(row(LOCAL_PROFILE)).toEqual([1000, 1, 2, 3, 6, 15_000, 1000, 200, 8, 100, 3, 15_000]);
});
