import { agentAddress, connectAgent } from '../asker/connect.ts';
import { eventText } from '../asker/event-text.ts';
import { utf8 } from '../lib/bytes.ts';
import { FanoutError } from '../lib/errors.ts';
import { safeJson, sanitiseText } from '../lib/sanitise.ts';
import { timestamp } from '../lib/timestamp.ts';
import { jsonOutput } from '../report/output-text.ts';
import type { EventRecord } from '../rpc/views.ts';
import { StandardSink } from './standard-sink.ts';

/** What a reader of our output may be behind. A monitor that nobody reads must not grow. */
const BEHIND_BYTES_MAX = 8 * 1024 * 1024;

/** `fanout monitor`: what happens in the cluster, and the agent's log when a level is given, until Ctrl-C. */
export async function monitor(options: {
  rpcAddr?: string;
  logLevel?: string;
  format: string;
}): Promise<number> {
  const client = await connectAgent(agentAddress(options.rpcAddr));
  const printer = new Printer(options.format === 'ndjson');
  const told = untilTold(printer.sink);
  const gone = client.closed.then(() => 'gone' as const);
  const begun = async (): Promise<never> => {
    if (options.logLevel !== undefined) {
      const level = options.logLevel === 'error' ? 'ERR' : options.logLevel;
      await client.monitor(level, (line) => printer.log(line));
    }
    await client.stream('*', (event) => printer.event(event));
    return new Promise(() => {});
  };
  try {
    if ((await Promise.race([told, gone, begun()])) === 'told') return 0;
  } finally {
    client.close();
  }
  throw new FanoutError('AGENT_UNREACHABLE', 'the agent is gone: it closed the connection', {
    hint: 'Look at its log.',
  });
}

/** Writes events and log lines, or counts them while the reader is too far behind. */
class Printer {
  readonly sink = new StandardSink();
  private readonly isJson: boolean;
  private missed = 0;

  constructor(isJson: boolean) {
    this.isJson = isJson;
  }

  event(event: EventRecord): void {
    const now = new Date();
    if (this.isJson) this.write(safeJson({ time: now.toISOString(), ...jsonOf(event) }));
    else this.write(`${timestamp(now)} ${sanitiseText(eventText(event).text)}`);
  }

  log(line: string): void {
    this.write(this.isJson ? safeJson({ event: 'log', line }) : sanitiseText(line));
  }

  private write(line: string): void {
    if (process.stdout.writableLength > BEHIND_BYTES_MAX) {
      this.missed++;
      return;
    }
    if (this.missed > 0) this.say(this.missedText());
    this.missed = 0;
    this.say(line);
  }

  private missedText(): string {
    const { missed: count } = this;
    if (this.isJson) return safeJson({ event: 'missed', count });
    return `... ${count} lines were left out: the reader is too slow`;
  }

  private say(line: string): void {
    this.sink.write('stdout', utf8(`${line}\n`));
  }
}

/** Resolves at Ctrl-C, or when nobody reads any more, as with `| head`. */
function untilTold(sink: StandardSink): Promise<'told'> {
  return new Promise((resolve) => {
    const stop = (): void => resolve('told');
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, stop);
    sink.onBroken(stop);
  });
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
