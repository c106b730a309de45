import { randomInt } from 'node:crypto';
import { ipBytes, splitHostPort } from '../lib/net-address.ts';
import type { Agent } from './agent.ts';

/** Serf's port, for an address without one. */
const GOSSIP_PORT = 7946;

/** Joins through one of the members of before, whichever answers first in a random order. */
export async function rejoin(agent: Agent, alive: ReadonlyMap<string, string>): Promise<void> {
  const names = shuffled([...alive.keys()].filter((name) => name !== agent.config.node));
  if (names.length === 0) return;
  agent.log.info(`trying to rejoin through ${names.length} members of before`);
  for (const name of names) {
    const to = splitHostPort(alive.get(name) ?? '', GOSSIP_PORT);
    // A file that somebody else has made must not have us look up names.
    if (to === undefined || ipBytes(to.host) === undefined || to.port === 0) continue;
    if (agent.isStopped) return;
    const failure = await new Promise<string | undefined>((resolve) => {
      agent.driver.act((serf, now) => serf.rejoin(now, to, resolve));
    });
    if (failure === undefined) return agent.log.info(`rejoined through ${name}`);
    agent.log.debug(`rejoin: ${failure}`);
  }
  agent.log.warn('none of the members of before could be reached');
}

function shuffled<T>(items: T[]): T[] {
  return items
    .map((item) => ({ item, at: randomInt(2 ** 47) }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}
