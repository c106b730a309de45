import { EMPTY } from '../lib/bytes.ts';
import { sanitiseText } from '../lib/sanitise.ts';
import { askAll } from './query.ts';
import { type AgentOptions, withAgent } from './with-agent.ts';

const TIPS = `
Troubleshooting tips:
* Ensure that the bind addr:port is accessible by all other nodes
* If an advertise address is set, ensure it routes to the bind address
* Check that no nodes are behind a NAT
* If nodes are behind firewalls or iptables, check that Serf traffic is permitted (UDP and TCP)
* Verify networking equipment is functional`;

/** `fanout reachability`: asks everybody for an ack, and says in Serf's words who is missing. 0 when nobody is, else 1. */
export async function reachability(options: AgentOptions & { readonly verbose?: boolean }): Promise<number> {
  return withAgent(options, async (client) => {
    const members = await client.members();
    const live = members.filter(({ status }) => status === 'alive').map(({ name }) => name);
    say(`Total members: ${members.length}, live members: ${live.length}`);
    const acks: string[] = [];
    const started = performance.now();
    let last = started;
    const ping = {
      name: '_serf_ping',
      payload: EMPTY,
      filterNodes: [],
      filterTags: new Map<string, string>(),
      requestAck: true,
      relayFactor: 0,
      timeoutNs: 0,
    };
    say('Starting reachability test...');
    await askAll(client, ping, ({ kind, from }) => {
      if (kind !== 'ack') return;
      if (options.verbose === true) say(`\tAck from '${sanitiseText(from)}'`);
      if (acks.includes(from)) say(`Duplicate response from '${sanitiseText(from)}'`);
      acks.push(from);
      last = performance.now();
    });
    if (options.verbose === true) {
      const [total, toLast] = [performance.now() - started, last - started].map((ms) =>
        (ms / 1000).toFixed(2),
      );
      say(`Query time: ${total} sec, time to last response: ${toLast} sec`);
    }
    return verdict(live, acks);
  });
}

function verdict(live: readonly string[], acks: readonly string[]): number {
  const hasTwice = new Set(acks).size < acks.length;
  if (hasTwice) {
    say('Duplicate responses means there is a misconfiguration. Verify that node names are unique.');
  }
  if (acks.length === live.length) {
    say('Successfully contacted all live nodes');
    return hasTwice ? 1 : 0;
  }
  const isTooMany = acks.length > live.length;
  say(
    isTooMany
      ? 'Received more acks than live nodes! Acks from non-live nodes:'
      : 'Received less acks than live nodes! Missing acks from:',
  );
  const odd = isTooMany
    ? [...new Set(acks)].filter((name) => !live.includes(name))
    : live.filter((name) => !acks.includes(name));
  for (const name of odd) say(`\t${sanitiseText(name)}`);
  const cause = isTooMany
    ? 'Serf is detecting false-failures due to a misconfiguration or network issue.'
    : 'Serf gossip packets are being lost due to a misconfiguration or network issue.';
  say(`This could mean ${cause}`);
  say(TIPS);
  return 1;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
