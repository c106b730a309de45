/** The kinds of events that Serf's RPC streams. */
const MEMBER_EVENTS = [
  'member-join',
  'member-leave',
  'member-failed',
  'member-update',
  'member-reap',
] as const;
type MemberEventName = (typeof MEMBER_EVENTS)[number];

/** What a filter looks at: the kind of an event, and the name of a user event or query ('' for the others). */
export interface FilteredEvent {
  readonly event: MemberEventName | 'user' | 'query';
  readonly name: string;
}

/**
 * Serf's event filter: `*`, kinds of events, `user:NAME` and `query:NAME` with commas between, '' for all. Undefined
 * when it is none. Blanks are part of a name, as they are for Serf.
 */
export function parseEventFilter(text: string): ((event: FilteredEvent) => boolean) | undefined {
  const kinds = new Set<string>();
  const named = new Set<string>();
  for (const part of (text === '' ? '*' : text).split(',')) {
    if (part.startsWith('user:') || part.startsWith('query:')) named.add(part);
    else if (isKind(part)) kinds.add(part);
    else return undefined;
  }
  return ({ event, name }) => kinds.has('*') || kinds.has(event) || named.has(`${event}:${name}`);
}

function isKind(text: string): boolean {
  return text === '*' || text === 'user' || text === 'query' || MEMBER_EVENTS.some((name) => name === text);
}
