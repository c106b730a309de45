import { FanoutError } from '../lib/errors.ts';
import { sanitiseText } from '../lib/sanitise.ts';
import type { RpcClient } from '../rpc/client.ts';
import type { CoordinateFields } from '../serf/coordinate-codec.ts';
import { distanceSeconds, isUsableCoordinate } from '../serf/vivaldi.ts';
import { type AgentOptions, withAgent } from './with-agent.ts';

/** `fanout rtt`: the round trip between two members, or of one and the agent, as their coordinates tell it. */
export async function rtt(
  one: string,
  other: string | undefined,
  options: AgentOptions & { readonly format: 'text' | 'json' },
): Promise<number> {
  const { names, seconds } = await withAgent(options, async (client) => {
    const second = other ?? (await ownName(client));
    const [a, b] = [await coordinateOf(client, one), await coordinateOf(client, second)];
    return { names: [one, second] as const, seconds: distanceSeconds(a, b) };
  });
  const [from, to] = names;
  const ms = (seconds * 1000).toFixed(3);
  const text =
    options.format === 'json'
      ? JSON.stringify({ from, to, rtt_ms: Number(ms) })
      : `Estimated ${sanitiseText(from)} <-> ${sanitiseText(to)} rtt: ${ms} ms`;
  process.stdout.write(`${text}\n`);
  return 0;
}

async function ownName(client: RpcClient): Promise<string> {
  const stats = await client.stats();
  return stats.get('agent')?.get('name') ?? '';
}

async function coordinateOf(client: RpcClient, node: string): Promise<CoordinateFields> {
  const coordinate = await client.coordinate(node);
  if (coordinate !== undefined && isUsableCoordinate(coordinate)) return coordinate;
  throw new FanoutError('AGENT_ERROR', `Could not find a coordinate for node "${node}"`, {
    hint: 'The agent learns it with its first probe of the member, within seconds: fanout members',
  });
}
