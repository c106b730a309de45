import { describe, expect, test } from 'vitest';
import { utf8 } from '../../src/lib/bytes.ts';
import { NEVER } from '../../src/lib/time.ts';
import { Coalescer } from '../../src/serf/coalescer.ts';
import type { SerfEvent } from '../../src/serf/events.ts';
import type { Member, MemberEventKind } from '../../src/serf/member.ts';
import { addrOf, PORT } from '../memberlist/harness.ts';
import { queryOf } from './harness.ts';

const memberOf = (name: string): Member => ({
  name,
  addr: addrOf(1),
  port: PORT,
  tags: new Map(),
  vsn: new Uint8Array(6),
  status: 'alive',
  statusLTime: 0,
  goneAt: 0,
});

const news = (event: MemberEventKind, name: string): SerfEvent => ({
  kind: 'member',
  event,
  member: memberOf(name),
});
const fired = (name: string, ltime: number, payload = '', coalesce = true): SerfEvent => ({
  kind: 'user',
  ltime,
  name,
  payload: utf8(payload),
  coalesce,
});

/** What was told, short: kind and names. */
function told(events: readonly SerfEvent[]): string[] {
  return events.map((event) => {
    if (event.kind === 'member') {
      return `${event.event} ${[event.member, ...(event.others ?? [])].map(({ name }) => name).join(' ')}`;
    }
    return event.kind === 'user'
      ? `${event.name} ${event.ltime} ${new TextDecoder().decode(event.payload ?? undefined)}`
      : event.kind;
  });
}

describe('member events', () => {
  test('wait until it is quiet, and are one for all to whom the same happened', () => {
    const coalescer = new Coalescer();
    expect(coalescer.event(0, news('member-join', 'a'))).toEqual([]);
    expect(coalescer.event(400, news('member-join', 'b'))).toEqual([]);
    expect(coalescer.event(500, news('member-failed', 'c'))).toEqual([]);
    expect(coalescer.nextWake()).toBe(1500);
    expect(coalescer.tick(1499)).toEqual([]);
    expect(told(coalescer.tick(1500))).toEqual(['member-join a b', 'member-failed c']);
    expect(coalescer.nextWake()).toBe(NEVER);
  });

  test('wait three seconds at most', () => {
    const coalescer = new Coalescer();
    for (let at = 0; at < 3000; at += 500) coalescer.event(at, news('member-update', `n${at}`));
    expect(coalescer.nextWake()).toBe(3000);
    expect(told(coalescer.tick(3000))).toEqual(['member-update n0 n500 n1000 n1500 n2000 n2500']);
  });

  test('of one member the last stands, and one that says what was said already is passed over', () => {
    const coalescer = new Coalescer();
    const round = (at: number, ...kinds: MemberEventKind[]): string[] => {
      for (const kind of kinds) coalescer.event(at, news(kind, 'a'));
      return told(coalescer.tick(at + 1000));
    };
    expect(round(0, 'member-join')).toEqual(['member-join a']);
    expect(round(10_000, 'member-failed', 'member-join')).toEqual([]);
    expect(round(20_000, 'member-join', 'member-failed')).toEqual(['member-failed a']);
    expect(round(30_000, 'member-update')).toEqual(['member-update a']);
    expect(round(40_000, 'member-update')).toEqual(['member-update a']);
    expect(round(50_000, 'member-reap')).toEqual(['member-reap a']);
    expect(round(60_000, 'member-reap')).toEqual(['member-reap a']);
  });

  test('tell of a member as it was', () => {
    const coalescer = new Coalescer();
    const member = memberOf('a');
    coalescer.event(0, { kind: 'member', event: 'member-join', member });
    member.status = 'failed';
    const [event] = coalescer.tick(1000);
    expect(event?.kind === 'member' && event.member.status).toBe('alive');
  });
});

describe('user events', () => {
  test('that may be coalesced are the last of their name, all that carry its time', () => {
    const coalescer = new Coalescer();
    for (const event of [
      fired('deploy', 5, 'old'),
      fired('deploy', 6, 'x'),
      fired('deploy', 6, 'y'),
      fired('deploy', 4),
      fired('other', 1),
    ]) {
      expect(coalescer.event(0, event)).toEqual([]);
    }
    expect(told(coalescer.tick(1000))).toEqual(['deploy 6 x', 'deploy 6 y', 'other 1 ']);
    expect(coalescer.tick(5000)).toEqual([]);
  });

  test('that may not, and queries, go on at once', () => {
    const coalescer = new Coalescer();
    const query = { kind: 'query', query: queryOf(), from: '', deadline: 0 } as const;
    for (const event of [fired('deploy', 5, '', false), query, { kind: 'left' } as const]) {
      expect(coalescer.event(0, event)).toEqual([event]);
    }
    expect(coalescer.nextWake()).toBe(NEVER);
  });

  test('in a flood of names or of one name, no more wait than can', () => {
    const coalescer = new Coalescer();
    let passed = 0;
    for (let i = 0; i < 5000; i++) passed += coalescer.event(0, fired(`n${i}`, 1)).length;
    for (let i = 0; i < 5000; i++) coalescer.event(0, fired('n1', 1, String(i)));
    expect([passed, coalescer.tick(1000).length]).toEqual([5000 - 1024, 2 * 1024 - 1]);
  });
});
