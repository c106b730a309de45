import { FanoutError } from '../lib/errors.ts';
import { type FilteredEvent, parseEventFilter } from '../rpc/event-filter.ts';

/** A line of `--event-handler`: one script, and the events that it is run for. */
export interface HandlerLine {
  readonly script: string;
  /** A line that names an event twice is run twice for it, as by Serf. */
  readonly filters: readonly HandlerFilter[];
}

interface HandlerFilter {
  /** A kind of event, `user`, `query` or `*`. */
  readonly event: string;
  /** Of a user event or query; '' for all of them. */
  readonly name: string;
  readonly accepts: (event: FilteredEvent) => boolean;
}

/**
 * Reads `[filter=]script` as Serf does: the first `=` divides, and without one the whole text is a script for every event.
 * Throws FanoutError CONFIG with Serf's words for a filter that is none.
 */
export function parseHandlerLine(text: string): HandlerLine {
  const at = text.indexOf('=');
  const script = text.slice(at + 1);
  const filter = at < 0 ? '' : text.slice(0, at);
  const parts = filter === '' ? ['*'] : filter.split(',');
  return { script, filters: parts.map((part) => parseFilter(part, script)) };
}

function parseFilter(part: string, script: string): HandlerFilter {
  const [, kind, named] = /^(user|query):(.*)$/s.exec(part) ?? [];
  const event = kind ?? part;
  const name = named ?? '';
  // To Serf a name that is empty is no name.
  const accepts = part === '' ? undefined : parseEventFilter(name === '' ? event : part);
  if (accepts !== undefined) return { event, name, accepts };
  throw new FanoutError('CONFIG', `Invalid event script: Event '${part}' invoking '${script}'`, {
    hint:
      'Known are member-join, member-leave, member-failed, member-update, member-reap, user, user:NAME, query, ' +
      'query:NAME and *. A script that has a "=" in it needs one of them and a "=" before it.',
  });
}

/** How often a line runs for an event: once for each of its filters that lets it through. */
export function timesFor(line: HandlerLine, event: FilteredEvent): number {
  return line.filters.filter(({ accepts }) => accepts(event)).length;
}

/** What `info` shows, as Serf's: the scripts by `kind:name`. */
export function handlerStats(lines: readonly HandlerLine[]): Record<string, string> {
  return Object.fromEntries(
    lines.flatMap(({ script, filters }) => filters.map(({ event, name }) => [`${event}:${name}`, script])),
  );
}
