import { DecodeError } from '../lib/errors.ts';
import type { Millis } from '../lib/time.ts';
import type { Counters } from '../memberlist/ports.ts';
import { type LamportClock, LTIME_MAX } from './lamport-clock.ts';
import type { MemberTable } from './member-table.ts';
import { decodeSerfMessage, encodePushPull, type SerfMessage } from './messages.ts';
import type { UserEvents } from './user-events.ts';

interface StateParts {
  readonly clock: LamportClock;
  readonly queryClock: LamportClock;
  readonly members: MemberTable;
  readonly userEvents: UserEvents;
  readonly counters: () => Counters;
  readonly applyLeave: (now: Millis, node: string, ltime: number) => void;
  /** Whether what happened before a join is to be passed over. */
  readonly ignoresPast: () => boolean;
}

/** What a member tells of itself, beside memberlist's nodes, in each push/pull. */
export function localState({ clock, queryClock, members, userEvents }: StateParts): Uint8Array {
  const statusLTimes = new Map<string, number>();
  const leftMembers: string[] = [];
  for (const member of members.all()) {
    statusLTimes.set(member.name, member.statusLTime);
    if (member.status === 'left') leftMembers.push(member.name);
  }
  return encodePushPull({
    ltime: clock.time,
    eventLTime: userEvents.clock.time,
    queryLTime: queryClock.time,
    statusLTimes,
    leftMembers,
    events: userEvents.snapshot(),
  });
}

/** Takes over another member's Serf state (Serf, delegate.go MergeRemoteState). */
export function mergeState(parts: StateParts, now: Millis, bytes: Uint8Array, join: boolean): void {
  const { clock, queryClock, members, userEvents, counters, applyLeave } = parts;
  let state: SerfMessage;
  try {
    state = decodeSerfMessage(bytes);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return counters().count(`serf-state-${error.reason}`);
  }
  if (state.kind !== 'pushPull') return counters().count('serf-state-unexpected');
  if (state.ltime > 0) clock.witness(state.ltime - 1);
  if (state.eventLTime > 0) userEvents.clock.witness(state.eventLTime - 1);
  if (state.queryLTime > 0) queryClock.witness(state.queryLTime - 1);
  const left = new Set(state.leftMembers);
  for (const node of left)
    applyLeave(now, node, Math.min((state.statusLTimes.get(node) ?? 0) + 1, LTIME_MAX));
  for (const [node, ltime] of state.statusLTimes) {
    if (left.has(node)) continue;
    clock.witness(ltime);
    members.joinIntent(now, node, ltime);
  }
  if (join && parts.ignoresPast()) userEvents.ignoreBefore(state.eventLTime);
  for (const slot of state.events) {
    for (const event of slot?.events ?? [])
      userEvents.admit({ ltime: slot?.ltime ?? 0, cc: false, ...event });
  }
}
