import { agentAddress, connectAgent } from '../asker/connect.ts';
import { utf8 } from '../lib/bytes.ts';
import { FanoutError } from '../lib/errors.ts';
import { safeJson, sanitiseText } from '../lib/sanitise.ts';
import type { RpcClient } from '../rpc/client.ts';
import type { QueryRecord } from '../rpc/views.ts';
import { durationOf } from './run-flags.ts';
import { tagValues } from './tag-values.ts';
import type { AgentOptions } from './with-agent.ts';

const RELAY_FACTOR_MAX = 255;

export interface QueryOptions extends AgentOptions {
  readonly node?: readonly string[];
  readonly tag?: readonly string[];
  readonly timeout?: string;
  /** False for --no-ack. */
  readonly ack: boolean;
  readonly relayFactor: string;
  readonly format: 'text' | 'json';
}

/** `fanout query`: asks the cluster a Serf query and prints who has it and what they say, as Serf does. */
export async function query(
  name: string,
  payload: string | undefined,
  options: QueryOptions,
): Promise<number> {
  const { timeout, ack, format } = options;
  const request = {
    name,
    payload: utf8(payload ?? ''),
    filterNodes: options.node ?? [],
    filterTags: tagValues(options.tag),
    requestAck: ack,
    relayFactor: relayFactorOf(options.relayFactor),
    timeoutNs: timeout === undefined ? 0 : durationOf('--timeout', timeout) * 1e6,
  };
  const printer = format === 'json' ? new JsonPrinter() : new TextPrinter(name, ack);
  const client = await connectAgent(agentAddress(options.rpcAddr));
  try {
    await askAll(client, request, (record) => printer.record(record));
    printer.end();
    return 0;
  } finally {
    client.close();
  }
}

type AskRequest = Parameters<RpcClient['query']>[0];

/**
 * Asks a query and tells of each ack and response; resolves at its end. Throws FanoutError AGENT_ERROR, and
 * AGENT_UNREACHABLE when the agent goes away meanwhile.
 */
export async function askAll(
  client: RpcClient,
  request: AskRequest,
  onRecord: (record: Exclude<QueryRecord, { kind: 'done' }>) => void,
): Promise<void> {
  let end: () => void = () => {};
  const over = new Promise<boolean>((resolve) => {
    end = () => resolve(true);
  });
  await client.query(request, (record) => (record.kind === 'done' ? end() : onRecord(record)));
  if (await Promise.race([over, client.closed.then(() => false)])) return;
  throw new FanoutError('AGENT_UNREACHABLE', 'the agent is gone: it closed the connection', {
    hint: 'Look at its log.',
  });
}

type Answer = Exclude<QueryRecord, { kind: 'done' }>;

class TextPrinter {
  private readonly name: string;
  private readonly hasAcks: boolean;
  private acks = 0;
  private responses = 0;
  private hasBegun = false;

  constructor(name: string, hasAcks: boolean) {
    this.name = name;
    this.hasAcks = hasAcks;
  }

  record(answer: Answer): void {
    this.begin();
    const from = sanitiseText(answer.from);
    if (answer.kind === 'ack') {
      this.acks++;
      return say(`Ack from '${from}'`);
    }
    this.responses++;
    const lines = new TextDecoder().decode(answer.payload).replace(/\n$/, '').split('\n');
    say(`Response from '${from}': ${lines.map(sanitiseText).join('\n')}`);
  }

  end(): void {
    this.begin();
    if (this.hasAcks) say(`Total Acks: ${this.acks}`);
    say(`Total Responses: ${this.responses}`);
  }

  private begin(): void {
    if (!this.hasBegun) say(`Query '${sanitiseText(this.name)}' dispatched`);
    this.hasBegun = true;
  }
}

/** Serf's object: nobody is null, and nothing is an empty object. */
class JsonPrinter {
  private readonly acks: string[] = [];
  private readonly responses = new Map<string, string>();

  record(answer: Answer): void {
    if (answer.kind === 'ack') this.acks.push(answer.from);
    else this.responses.set(answer.from, new TextDecoder().decode(answer.payload));
  }

  end(): void {
    const { acks, responses } = this;
    const sorted = [...responses].sort(([a], [b]) => (a < b ? -1 : 1));
    const object = { Acks: acks.length === 0 ? null : acks, Responses: Object.fromEntries(sorted) };
    say(safeJson(object, 2));
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function relayFactorOf(text: string): number {
  const factor = /^\d{1,3}$/.test(text) ? Number(text) : RELAY_FACTOR_MAX + 1;
  if (factor <= RELAY_FACTOR_MAX) return factor;
  throw new FanoutError('USAGE', `--relay-factor ${text}: not a number from 0 to ${RELAY_FACTOR_MAX}`, {
    hint: 'Write --relay-factor 2: each answer then comes over two other members too.',
  });
}
