import { utf8 } from '../lib/bytes.ts';
import { DecodeError } from '../lib/errors.ts';
import { VERSION } from '../lib/version.ts';
import type { QueryMessage } from '../serf/query-book.ts';
import type { Agent } from './agent.ts';

/** A query that every fanout agent answers with what it is. Anybody in the cluster may ask, and nobody can prove the answer. */
export const ABOUT_QUERY = 'fanout-about';

/** Answers who and what this agent is: version, environment, policy, node key, sandboxes. */
export function answerAbout(agent: Agent, query: QueryMessage): void {
  const policy = agent.policies.current;
  const about = {
    version: VERSION,
    environment: policy?.environment ?? agent.config.environment ?? '',
    policyHash: policy?.hash ?? '',
    nodeKey: agent.nodeKey.fingerprint,
    sandboxes: agent.sandboxes.filter(({ available }) => available).map(({ profile }) => profile),
  };
  try {
    agent.driver.act((serf) => serf.queries.respond(query, utf8(JSON.stringify(about))));
  } catch (error) {
    // Names and environments are as long as people make them, and an answer has 1024 bytes.
    if (!(error instanceof DecodeError)) throw error;
    agent.driver.serf.memberlist.counters.count(`fanout-about-${error.reason}`);
  }
}
