import { utf8 } from '../lib/bytes.ts';
import { DecodeError } from '../lib/errors.ts';
import { VERSION } from '../lib/version.ts';
import type { QueryMessage } from '../serf/query-book.ts';
import type { Host } from './host.ts';

/** A query that every fanout agent answers with what it is. Anybody in the cluster may ask, and nobody can prove the answer. */
export const ABOUT_QUERY = 'fanout-about';

/** Answers who and what this agent is: version, environment, policy, node key, sandboxes. */
export function answerAbout(host: Host, query: QueryMessage): void {
  const { config, engine, nodeKey, sandboxes } = host;
  const policy = host.policies.current;
  const about = {
    version: VERSION,
    environment: policy?.environment ?? config.environment ?? '',
    policyHash: policy?.hash ?? '',
    nodeKey: nodeKey.fingerprint,
    sandboxes: sandboxes.filter(({ available }) => available).map(({ profile }) => profile),
  };
  try {
    engine.respond(query, utf8(JSON.stringify(about)));
  } catch (error) {
    // Names and environments are as long as people make them, and an answer has 1024 bytes.
    if (!(error instanceof DecodeError)) throw error;
    engine.count(`fanout-about-${error.reason}`);
  }
}
