import { earliest, type Millis, NEVER } from '../lib/time.ts';
import { NODES_MAX } from '../memberlist/node-table.ts';
import type { SerfEvent } from './events.ts';
import type { Member, MemberEventKind } from './member.ts';

/** Serf's agent waits for a second without news, and three at most. */
const QUIET_MS: Millis = 1000;
const WAIT_MS_MAX: Millis = 3000;
/** Names of user events that wait. In a flood of more they go on at once. */
const NAMES_MAX = 1024;

type MemberEvent = Extract<SerfEvent, { kind: 'member' }>;
type UserEvent = Extract<SerfEvent, { kind: 'user' }>;

/** When what waits is to go on. */
class Window {
  private until: Millis = NEVER;
  private quietAt: Millis = NEVER;

  get wakeAt(): Millis {
    return earliest(this.until, this.quietAt);
  }

  heard(now: Millis): void {
    if (this.until === NEVER) this.until = now + WAIT_MS_MAX;
    this.quietAt = now + QUIET_MS;
  }

  close(): void {
    this.until = NEVER;
    this.quietAt = NEVER;
  }
}

/**
 * Holds member events, and user events that allow it, until it is quiet, and lets the last word stand for all: what
 * handlers and Serf's tools hear of (Serf, coalesce_member.go and coalesce_user.go). Everything else goes on at once.
 */
export class Coalescer {
  private readonly members = new Map<string, { readonly event: MemberEventKind; readonly member: Member }>();
  private readonly lastTold = new Map<string, MemberEventKind>();
  private readonly users = new Map<string, UserEvent[]>();
  private readonly memberWindow = new Window();
  private readonly userWindow = new Window();

  /** When `tick` has something to tell. */
  nextWake(): Millis {
    return earliest(this.memberWindow.wakeAt, this.userWindow.wakeAt);
  }

  /** Takes an event; gives those that go on now. */
  event(now: Millis, event: SerfEvent): SerfEvent[] {
    if (event.kind === 'member') {
      this.memberWindow.heard(now);
      // The table changes a member in place; what is told is how it was.
      this.members.set(event.member.name, { event: event.event, member: { ...event.member } });
      return [];
    }
    if (event.kind !== 'user' || !event.coalesce) return [event];
    if (this.users.size >= NAMES_MAX && !this.users.has(event.name)) return [event];
    this.userWindow.heard(now);
    const known = this.users.get(event.name);
    const ltime = known?.[0]?.ltime ?? -1;
    if (event.ltime > ltime) this.users.set(event.name, [event]);
    else if (event.ltime === ltime && (known?.length ?? 0) < NAMES_MAX) known?.push(event);
    return [];
  }

  /** What has waited long enough. */
  tick(now: Millis): SerfEvent[] {
    const told: SerfEvent[] = [];
    if (now >= this.memberWindow.wakeAt) told.push(...this.flushMembers());
    if (now >= this.userWindow.wakeAt) told.push(...this.flushUsers());
    return told;
  }

  private flushMembers(): SerfEvent[] {
    this.memberWindow.close();
    const byKind = new Map<MemberEventKind, Member[]>();
    for (const [name, { event, member }] of this.members) {
      if (this.lastTold.get(name) === event && event !== 'member-update') continue;
      this.remember(name, event);
      const same = byKind.get(event);
      if (same === undefined) byKind.set(event, [member]);
      else same.push(member);
    }
    this.members.clear();
    return [...byKind].flatMap(([event, [member, ...others]]): MemberEvent[] =>
      member === undefined ? [] : [{ kind: 'member', event, member, others }],
    );
  }

  private remember(name: string, event: MemberEventKind): void {
    if (event === 'member-reap' || this.lastTold.size >= 2 * NODES_MAX) this.lastTold.delete(name);
    else this.lastTold.set(name, event);
  }

  private flushUsers(): SerfEvent[] {
    this.userWindow.close();
    const events = [...this.users.values()].flat();
    this.users.clear();
    return events;
  }
}
