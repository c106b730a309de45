import { utf8 } from '../lib/bytes.ts';
import { FanoutError } from '../lib/errors.ts';
import { sanitiseText } from '../lib/sanitise.ts';
import { VERSION } from '../lib/version.ts';
import { SERF_PROTOCOL, SERF_PROTOCOL_MIN } from '../serf/serf-config.ts';
import { tagValues } from './tag-values.ts';
import { type AgentOptions, withAgent } from './with-agent.ts';

/** `fanout event`: fires a user event. */
export async function event(
  name: string,
  payload: string | undefined,
  options: AgentOptions & { readonly coalesce: boolean },
): Promise<number> {
  const { coalesce } = options;
  await withAgent(options, (client) => client.event(name, utf8(payload ?? ''), coalesce));
  process.stdout.write(`Event '${sanitiseText(name)}' dispatched! Coalescing enabled: ${coalesce}\n`);
  return 0;
}

/** `fanout force-leave`: tells the cluster that a member is gone for good. */
export async function forceLeave(
  node: string,
  options: AgentOptions & { readonly prune?: boolean },
): Promise<number> {
  await withAgent(options, (client) => client.forceLeave(node, options.prune === true));
  return 0;
}

/** `fanout tags`: changes the tags of the agent's node. */
export async function changeTags(
  options: AgentOptions & { readonly set?: readonly string[]; readonly delete?: readonly string[] },
): Promise<number> {
  const { set = [], delete: gone = [] } = options;
  if (set.length + gone.length === 0) {
    throw new FanoutError('USAGE', 'there is no tag to set or to delete', {
      hint: 'For example: fanout tags --set rack=7 --delete role',
    });
  }
  await withAgent(options, (client) => client.tags(tagValues(set), gone));
  process.stdout.write('Successfully updated agent tags\n');
  return 0;
}

/** `fanout version`: which version this is, and which protocols of Serf it speaks. */
export function version(): number {
  process.stdout.write(
    `${VERSION}\nAgent Protocol: ${SERF_PROTOCOL} (Understands back to: ${SERF_PROTOCOL_MIN})\n`,
  );
  return 0;
}
