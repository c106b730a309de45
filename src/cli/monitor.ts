import { agentAddress, connectAgent } from '../asker/connect.ts';
import { eventText } from '../asker/event-text.ts';
import { safeJson, sanitiseText } from '../lib/sanitise.ts';
import { jsonOutput } from '../report/output-text.ts';
import type { EventRecord } from '../rpc/views.ts';

/** `fanout monitor`: what happens in the cluster, and the agent's log when a level is given, until Ctrl-C. */
export async function monitor(options: {
  rpcAddr?: string;
  logLevel?: string;
  format: string;
}): Promise<number> {
  const client = await connectAgent(agentAddress(options.rpcAddr));
  const isJson = options.format === 'ndjson';
  const print = (text: string): void => void process.stdout.write(`${text}\n`);
  // Whoever reads may go away, as `| head` does.
  process.stdout.on('error', () => client.close());
  process.once('SIGINT', () => client.close());
  process.once('SIGTERM', () => client.close());
  let isOurs = false;
  process.once('SIGINT', () => {
    isOurs = true;
  });
  if (options.logLevel !== undefined) {
    const level = options.logLevel === 'error' ? 'ERR' : options.logLevel;
    await client.monitor(level, (line) =>
      print(isJson ? safeJson({ event: 'log', line }) : sanitiseText(line)),
    );
  }
  await client.stream('*', (event) =>
    print(isJson ? safeJson(jsonOf(event)) : sanitiseText(eventText(event).text)),
  );
  await client.closed;
  if (isOurs || process.stdout.destroyed) return 0;
  process.stderr.write('fanout: the agent is gone\n');
  return 69;
}

function jsonOf(event: EventRecord): object {
  if ('members' in event) {
    const members = event.members.map(({ name, status, tags }) => ({
      name,
      status,
      tags: Object.fromEntries(tags),
    }));
    return { event: event.event, members };
  }
  const { ltime, name, payload } = event;
  return { event: event.event, name, ltime, payload: jsonOutput(payload) };
}
