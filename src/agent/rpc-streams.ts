import { type EventRecord, encodeEventRecord } from '../rpc/views.ts';
import type { SerfEvent } from '../serf/events.ts';
import type { LogLevel } from './log.ts';
import type { CommandContext } from './rpc-commands.ts';

/** Streams of one connection. Serf's own command line opens two. */
const STREAMS_MAX = 64;

const MEMBER_EVENTS = ['member-join', 'member-leave', 'member-failed', 'member-update', 'member-reap'];
const LEVELS: Readonly<Record<string, LogLevel>> = {
  TRACE: 'debug',
  DEBUG: 'debug',
  INFO: 'info',
  WARN: 'warn',
  ERR: 'error',
};

/** Serf's stream: events as they happen, for the filter `type` (serf, cmd/serf/command/agent, ParseEventFilter). */
export function streamEvents(type: string, context: CommandContext): void {
  const { agent, reply, record, seq, streams, isBehind } = context;
  const filters = (type === '' ? '*' : type).split(',');
  if (!filters.every(isFilter)) return reply('Invalid event filter');
  if (streams.has(seq)) return reply('Stream with given sequence exists');
  if (streams.size >= STREAMS_MAX) return reply('Too many streams');
  let queries = 0;
  reply('');
  const unlisten = agent.onEvent((event) => {
    const found = recordOf(event, () => ++queries);
    if (found === undefined || !filters.some((filter) => isWanted(filter, found)) || isBehind()) return;
    record(encodeEventRecord(found));
  });
  streams.set(seq, unlisten);
}

/** Serf's monitor: the recent lines of the log, then each as it is written. */
export function monitorLog(level: string, context: CommandContext): void {
  const { agent, reply, record, seq, streams, isBehind } = context;
  const from = LEVELS[level.toUpperCase()];
  if (from === undefined) return reply(`Unknown log level: ${level}`);
  if (streams.has(seq) || streams.size >= STREAMS_MAX) return reply('Monitor already exists');
  reply('');
  const stop = agent.logWatch.watch(from, (line) => {
    if (!isBehind()) record({ Log: line });
  });
  streams.set(seq, stop);
}

function isFilter(filter: string): boolean {
  return ['*', 'user', 'query', ...MEMBER_EVENTS].includes(filter) || /^(user|query):./.test(filter);
}

function isWanted(filter: string, event: EventRecord): boolean {
  if (filter === '*' || filter === event.event) return true;
  return 'name' in event && filter === `${event.event}:${event.name}`;
}

function recordOf(event: SerfEvent, nextId: () => number): EventRecord | undefined {
  switch (event.kind) {
    case 'member':
      return { event: event.event, members: [event.member] };
    case 'user': {
      const { ltime, name, payload, coalesce } = event;
      return { event: 'user', ltime, name, payload: payload ?? new Uint8Array(0), coalesce };
    }
    case 'query': {
      const { ltime, name, payload } = event.query;
      // What is between agents, such as a ping, is nobody's event.
      if (name.startsWith('_serf_')) return undefined;
      return { event: 'query', id: nextId(), ltime, name, payload: payload ?? new Uint8Array(0) };
    }
    default:
      return undefined;
  }
}
