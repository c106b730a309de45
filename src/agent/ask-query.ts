import type { QueryRequest, SerfEvent } from '../serf/events.ts';
import type { Agent } from './agent.ts';

/** What comes of a query: somebody has it, somebody answered, or its time is over. */
export type QueryNews = Extract<SerfEvent, { kind: 'ack' | 'response' | 'query-done' }>;

/**
 * Asks the cluster and tells what comes of it, after this has returned and until the query's end. The function that comes
 * back ends it earlier. Throws DecodeError when the query is over Serf's limit of 1024 bytes.
 */
export function askQuery(
  agent: Agent,
  request: QueryRequest,
  onNews: (news: QueryNews) => void,
): { begin: () => void; end: () => void } {
  // Our own answer can come before `ask` has told us the key: events wait in line until then.
  const early: SerfEvent[] = [];
  let deliver = (event: SerfEvent): void => void early.push(event);
  const unlisten = agent.onEvent((event) => deliver(event));
  try {
    const { driver } = agent;
    const key = driver.act((serf, now) => serf.queries.ask(now, request));
    const isOurs = (event: SerfEvent): event is QueryNews =>
      'key' in event && event.key.id === key.id && event.key.ltime === key.ltime;
    const tell = (event: SerfEvent): void => {
      if (!isOurs(event)) return;
      if (event.kind === 'query-done') unlisten();
      onNews(event);
    };
    return {
      begin: () => {
        deliver = tell;
        for (const event of early.splice(0)) tell(event);
      },
      end: () => {
        unlisten();
        driver.act((serf) => serf.queries.end(key));
      },
    };
  } catch (error) {
    unlisten();
    throw error;
  }
}
