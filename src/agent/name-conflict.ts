import { utf8 } from '../lib/bytes.ts';
import { formatEndpoint } from '../lib/net-address.ts';
import type { Millis } from '../lib/time.ts';
import { isLive } from '../memberlist/node-table.ts';
import type { SerfEvent } from '../serf/events.ts';
import { CONFLICT_QUERY, NameVote } from '../serf/name-vote.ts';
import type { Agent } from './agent.ts';
import { askQuery } from './ask-query.ts';

/**
 * Only an agent that has come lately gives way. Nobody proves a vote, so in a cluster with one hostile member an old agent
 * could be voted out; and who comes second, with a name that is taken, comes lately.
 */
const NEWCOMER_MS: Millis = 3_600_000;

/**
 * Two members with one name: as in Serf, each asks the others whose it is, and who has no majority stops. Conflicts about
 * other names are those members' to settle.
 */
export class NameConflict {
  private readonly agent: Agent;
  private readonly startedAt = performance.now();
  private isAsking = false;

  constructor(agent: Agent) {
    this.agent = agent;
  }

  /** Calls `lost` when the name is another's. */
  settle(conflict: Extract<SerfEvent, { kind: 'conflict' }>, lost: () => void): void {
    const { agent } = this;
    const [mine, theirs] = [formatEndpoint(conflict.mine), formatEndpoint(conflict.theirs)];
    agent.log.error(
      `two members call themselves "${conflict.name}": ${mine} and ${theirs}. Rename one of them.`,
    );
    if (conflict.name !== agent.config.node || this.isAsking) return;
    this.isAsking = true;
    const { serf } = agent.driver;
    const { config, table } = serf.memberlist;
    const others = table.all().filter((node) => isLive(node) && node.name !== config.name);
    const vote = new NameVote(
      config,
      others.map(({ name }) => name),
    );
    const request = {
      name: CONFLICT_QUERY,
      payload: utf8(config.name),
      filters: [],
      wantsAcks: false,
      relayFactor: 0,
      timeoutMs: serf.defaultQueryTimeoutMs(),
      targets: [],
    };
    askQuery(agent, request, (news) => {
      if (news.kind === 'response') vote.add(news.from, news.payload);
      if (news.kind !== 'query-done') return;
      this.isAsking = false;
      this.decide(vote, lost);
    }).begin();
  }

  private decide(vote: NameVote, lost: () => void): void {
    const { log, config } = this.agent;
    const count = `${vote.matching} of ${vote.votes} members`;
    if (vote.isWon) return log.warn(`the name "${config.node}" stays ours: ${count} say so`);
    if (performance.now() - this.startedAt > NEWCOMER_MS) {
      return log.error(
        `${count} say that the name "${config.node}" is ours; this agent was here before and stays`,
      );
    }
    log.error(
      `the name "${config.node}" is another member's: ${count} say that it is ours. This agent stops`,
    );
    lost();
  }
}
