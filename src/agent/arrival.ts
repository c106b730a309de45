import { equalBytes } from '../lib/bytes.ts';
import { formatEndpoint, ipBytes } from '../lib/net-address.ts';
import type { Agent } from './agent.ts';
import { Discovery } from './discovery.ts';
import { startRetryJoin } from './retry-join.ts';

/** How an agent comes into its cluster, beside a plain join: tries in the background, and discovery. */
export class Arrival {
  /** Resolves when all tries to join were in vain. */
  readonly gaveUp: Promise<void>;
  private readonly stopRetrying: () => void;
  private readonly discovery: Discovery | undefined;

  private constructor(agent: Agent, discovery: Discovery | undefined) {
    this.discovery = discovery;
    let giveUp = (): void => {};
    this.gaveUp = new Promise((resolve) => {
      giveUp = resolve;
    });
    const { log } = agent;
    this.stopRetrying = startRetryJoin({
      config: agent.config.retryJoin,
      join: (addresses) => agent.join(addresses),
      log,
      gaveUp: giveUp,
    });
  }

  /** Throws FanoutError CONFIG when discovery was asked for and there is no multicast. */
  static async start(agent: Agent): Promise<Arrival> {
    const { config, log, driver } = agent;
    const own = config.advertise ?? { host: config.bind.host, port: driver.transport.port };
    if (config.discovery === undefined) return new Arrival(agent, undefined);
    const discovery = await Discovery.start({
      config: config.discovery,
      node: config.node,
      own,
      isMember: ({ host, port }) => {
        const addr = ipBytes(host);
        if (addr === undefined) return false;
        return [...driver.serf.members.all()].some(
          (member) => member.status === 'alive' && member.port === port && equalBytes(member.addr, addr),
        );
      },
      join: (addresses) => agent.join(addresses),
      count: (name) => driver.serf.memberlist.counters.count(name),
      log,
    });
    log.info(`discovery: announcing ${formatEndpoint(own)} as a member of "${config.discovery.cluster}"`);
    return new Arrival(agent, discovery);
  }

  async close(): Promise<void> {
    this.stopRetrying();
    await this.discovery?.close();
  }
}
