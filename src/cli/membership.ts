import { formatEndpoint, ipText } from '../lib/net-address.ts';
import { type AgentOptions, withAgent } from './with-agent.ts';

/** `fanout join`: makes the agent join through the given members. */
export async function join(
  addresses: readonly string[],
  options: AgentOptions & { readonly replay?: boolean },
): Promise<number> {
  const joined = await withAgent(options, (client) => client.join(addresses, options.replay === true));
  process.stdout.write(`Successfully joined cluster by contacting ${joined} nodes.\n`);
  return 0;
}

/** `fanout leave`: makes the agent leave the cluster and stop. */
export async function leave(options: AgentOptions): Promise<number> {
  await withAgent(options, (client) => client.leave());
  process.stdout.write('Graceful leave complete\n');
  return 0;
}

/** `fanout info`: what the agent says of itself. */
export async function info(options: AgentOptions & { format: 'text' | 'json' }): Promise<number> {
  const [agent, stats] = await withAgent(
    options,
    async (client) => [await client.info(), await client.stats()] as const,
  );
  const gossip = formatEndpoint({ host: ipText(agent.addr) ?? '?', port: agent.port });
  const fanout = new Map([
    ['cluster', agent.cluster],
    ['environment', agent.environment],
    ['gossip', gossip],
    ['policy', agent.policyHash],
    ...agent.sandboxes.map(({ profile, available, reason }): [string, string] => [
      `sandbox ${profile}`,
      available ? 'available' : `not available: ${reason}`,
    ]),
  ]);
  const sections = new Map([...stats, ['fanout', fanout] as const]);
  process.stdout.write(options.format === 'json' ? json(sections) : text(sections));
  return 0;
}

type Sections = ReadonlyMap<string, ReadonlyMap<string, string>>;

/** Serf's layout: sections in alphabetical order, a tab before each key. */
function text(sections: Sections): string {
  return sorted(sections)
    .map(
      ([name, values]) =>
        `${name}:\n${sorted(values)
          .map(([key, value]) => `\t${key} = ${value}\n`)
          .join('')}`,
    )
    .join('');
}

function json(sections: Sections): string {
  const object = Object.fromEntries(
    sorted(sections).map(([name, values]) => [name, Object.fromEntries(sorted(values))]),
  );
  return `${JSON.stringify(object, null, 2)}\n`;
}

function sorted<T>(map: ReadonlyMap<string, T>): [string, T][] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}
