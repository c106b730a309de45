import { utf8 } from '../lib/bytes.ts';
import { VERSION } from '../lib/version.ts';
import type { QueryMessage } from '../serf/query-book.ts';
import type { Agent } from './agent.ts';

/** A query that every fanout agent answers with what it is. Anybody in the cluster may ask, and nobody can prove the answer. */
export const ABOUT_QUERY = 'fanout-about';

/** Answers who and what this agent is: version, environment, policy, sandboxes. */
export function answerAbout(agent: Agent, query: QueryMessage): void {
  const policy = agent.policies.current;
  const about = {
    version: VERSION,
    environment: policy?.environment ?? agent.config.environment ?? '',
    policyHash: policy?.hash ?? '',
    sandboxes: agent.sandboxes.filter(({ available }) => available).map(({ profile }) => profile),
  };
  agent.driver.act((serf) => serf.queries.respond(query, utf8(JSON.stringify(about))));
}
