import { formatEndpoint } from '../lib/net-address.ts';
import { endpointOf, isNameWithinBounds, NODES_MAX } from '../memberlist/node-table.ts';
import type { SerfEvent } from './events.ts';
import { LTIME_MAX } from './lamport-clock.ts';
import type { Member } from './member.ts';

/** Serf compacts its file above this, and above what twice all members take. */
const COMPACT_BYTES_MIN = 128 * 1024;
const BYTES_PER_NODE = 128;
/** A name, an address and what stands around them. */
const LINE_CHARACTERS_MAX = 1024;

/** The three Lamport times that a member must not forget. */
export interface SnapshotClocks {
  readonly clock: number;
  readonly eventClock: number;
  readonly queryClock: number;
}

/** What a file of an agent before tells the one that follows. */
export interface SnapshotContent extends SnapshotClocks {
  /** Addresses (host:port) of the members that were alive, by name. */
  readonly alive: ReadonlyMap<string, string>;
  /** Lines that say nothing that we know. */
  readonly unread: number;
}

type ClockName = keyof SnapshotClocks;

const CLOCK_LABELS: readonly (readonly [string, ClockName])[] = [
  ['clock: ', 'clock'],
  ['event-clock: ', 'eventClock'],
  ['query-clock: ', 'queryClock'],
];

/**
 * Reads the text of a snapshot, as Serf does: line by line, the last one only when it is whole. After a leave nothing of
 * before counts, unless `rejoins`. Total: what cannot be read is counted and passed over.
 */
export function readSnapshot(text: string, rejoins: boolean): SnapshotContent {
  const alive = new Map<string, string>();
  const clocks = { clock: 0, eventClock: 0, queryClock: 0 };
  let unread = 0;
  for (const line of wholeLines(text)) {
    if (line === 'leave') {
      if (rejoins) continue;
      alive.clear();
      Object.assign(clocks, { clock: 0, eventClock: 0, queryClock: 0 });
    } else if (line.length > LINE_CHARACTERS_MAX) unread++;
    else if (line.startsWith('alive: ')) {
      if (!readAlive(line.slice(7), alive)) unread++;
    } else if (line.startsWith('not-alive: ')) alive.delete(line.slice(11));
    else if (!line.startsWith('#') && !line.startsWith('coordinate: ') && !readClock(line, clocks)) unread++;
  }
  return { alive, ...clocks, unread };
}

function* wholeLines(text: string): Iterable<string> {
  let from = 0;
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', from)) {
    yield text.slice(from, at);
    from = at + 1;
  }
}

function readAlive(text: string, alive: Map<string, string>): boolean {
  const space = text.lastIndexOf(' ');
  const name = text.slice(0, space);
  if (space < 1 || !isNameWithinBounds(name)) return false;
  if (alive.size >= NODES_MAX && !alive.has(name)) return false;
  alive.set(name, text.slice(space + 1));
  return true;
}

function readClock(line: string, clocks: Record<ClockName, number>): boolean {
  const found = CLOCK_LABELS.find(([label]) => line.startsWith(label));
  if (found === undefined) return false;
  const [label, name] = found;
  const digits = line.slice(label.length);
  const time = /^\d{1,16}$/.test(digits) ? Number(digits) : LTIME_MAX + 1;
  if (time > LTIME_MAX) return false;
  clocks[name] = time;
  return true;
}

/** What an agent writes down so that the one after it finds the cluster again and hears nothing twice (Serf, snapshot.go). */
export class Snapshot {
  private readonly alive: Map<string, string>;
  private readonly clocks: Record<ClockName, number>;
  private readonly rejoins: boolean;
  private hasLeft = false;

  constructor(content: SnapshotContent, rejoins: boolean) {
    const { clock, eventClock, queryClock, alive } = content;
    this.alive = new Map(alive);
    this.clocks = { clock, eventClock, queryClock };
    this.rejoins = rejoins;
  }

  /** A file above this is to be replaced by `compacted`. */
  get bytesMax(): number {
    return Math.max(COMPACT_BYTES_MIN, 2 * BYTES_PER_NODE * this.alive.size);
  }

  /** The lines to add for what happened, often none. */
  event(event: SerfEvent): string {
    if (this.hasLeft) return '';
    switch (event.kind) {
      case 'member':
        return event.event === 'member-join'
          ? this.joined(event.member)
          : this.gone(event.event, event.member);
      case 'user':
        return this.witness('eventClock', event.ltime);
      case 'query':
        return this.witness('queryClock', event.query.ltime);
      case 'internal-query':
        return this.witness('queryClock', event.ltime);
      default:
        return '';
    }
  }

  /** A member that is alive. One that we have already, at the same address, needs no line. */
  joined(member: Member): string {
    const address = formatEndpoint(endpointOf(member));
    // A name with a line end in it would be two records.
    if (/[\r\n]/.test(member.name) || this.alive.get(member.name) === address) return '';
    this.alive.set(member.name, address);
    return `alive: ${member.name} ${address}\n`;
  }

  /** The line to add for the present member clock. */
  clockIs(time: number): string {
    return this.witness('clock', time - 1);
  }

  /** The line that says that we left on purpose. Nothing but the clock is written after it. */
  leave(): string {
    this.hasLeft = true;
    if (!this.rejoins) this.alive.clear();
    return 'leave\n';
  }

  /** All that still counts, as a file of its own. */
  compacted(): string {
    const lines = [...this.alive].map(([name, address]) => `alive: ${name} ${address}\n`);
    for (const [label, name] of CLOCK_LABELS) lines.push(`${label}${this.clocks[name]}\n`);
    if (this.hasLeft) lines.push('leave\n');
    return lines.join('');
  }

  private gone(kind: string, member: Member): string {
    if (kind !== 'member-leave' && kind !== 'member-failed') return '';
    return this.alive.delete(member.name) ? `not-alive: ${member.name}\n` : '';
  }

  private witness(name: ClockName, time: number): string {
    if (time <= this.clocks[name]) return '';
    this.clocks[name] = time;
    const label = CLOCK_LABELS.find(([, known]) => known === name)?.[0] ?? '';
    return `${label}${time}\n`;
  }
}
