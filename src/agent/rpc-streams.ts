import { EMPTY } from '../lib/bytes.ts';
import { type FilteredEvent, parseEventFilter } from '../rpc/event-filter.ts';
import { type EventRecord, encodeEventRecord } from '../rpc/views.ts';
import type { SerfEvent } from '../serf/events.ts';
import { LOG_LEVELS } from './log.ts';
import type { CommandContext } from './rpc-commands.ts';
import type { StreamedQueries } from './rpc-queries.ts';

/** Streams of one connection. Serf's own command line opens two. */
const STREAMS_MAX = 64;

/**
 * Serf's stream: those events that the filter `type` lets through; coalesced as Serf's agent does it, or, for who wants to
 * see the cluster change, as they happen.
 */
export function streamEvents(type: string, isLive: boolean, context: CommandContext): void {
  const { agent, reply, offer, seq, streams, queries } = context;
  const passes = parseEventFilter(type);
  if (passes === undefined) return reply('Invalid event filter');
  if (streams.has(seq)) return reply('Stream with given sequence exists');
  if (streams.size >= STREAMS_MAX) return reply('Too many streams');
  reply('');
  const listen = (event: SerfEvent): void => {
    const filtered = filteredOf(event);
    if (filtered === undefined || !passes(filtered)) return;
    const record = recordOf(event, queries);
    if (record !== undefined) offer(encodeEventRecord(record));
  };
  streams.set(seq, isLive ? agent.onEvent(listen) : agent.host.coalesced.on(listen));
}

/** Serf's monitor: the recent lines of the log, then each as it is written. */
export function monitorLog(level: string, context: CommandContext): void {
  const { agent, reply, offer, seq, streams } = context;
  const word = level.toLowerCase();
  const from = Object.hasOwn(LOG_LEVELS, word) ? LOG_LEVELS[word] : undefined;
  if (from === undefined) return reply(`Unknown log level: ${level}`);
  if (streams.has(seq) || streams.size >= STREAMS_MAX) return reply('Monitor already exists');
  reply('');
  streams.set(
    seq,
    agent.logWatch.watch(from, (line) => offer({ Log: line })),
  );
}

/** What a filter looks at; undefined for what is no event of Serf's. */
function filteredOf(event: SerfEvent): FilteredEvent | undefined {
  if (event.kind === 'member') return { event: event.event, name: '' };
  if (event.kind === 'user') return { event: 'user', name: event.name };
  if (event.kind === 'query') return { event: 'query', name: event.query.name };
  return undefined;
}

function recordOf(event: SerfEvent, queries: StreamedQueries): EventRecord | undefined {
  switch (event.kind) {
    case 'member':
      return { event: event.event, members: [event.member, ...(event.others ?? [])] };
    case 'user': {
      const { ltime, name, payload, coalesce } = event;
      return { event: 'user', ltime, name, payload: payload ?? EMPTY, coalesce };
    }
    case 'query': {
      const { ltime, name, payload } = event.query;
      const id = queries.add(event.query, event.deadline);
      return { event: 'query', id, ltime, name, payload: payload ?? EMPTY };
    }
    default:
      return undefined;
  }
}
