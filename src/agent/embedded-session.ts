import type { Agent } from './agent.ts';
import type { RequestContext, SerfRequest, SerfSession } from './control.ts';
import { runCommand } from './rpc-commands.ts';
import { StreamedQueries } from './rpc-queries.ts';

/** One connection's part of the embedded Serf core. */
export class EmbeddedSession implements SerfSession {
  private readonly agent: Agent;
  private readonly queries: StreamedQueries;
  private readonly streams = new Map<number, () => void>();

  constructor(agent: Agent) {
    this.agent = agent;
    this.queries = new StreamedQueries(agent.driver);
  }

  run(request: SerfRequest, context: RequestContext): Promise<void> {
    const { agent, queries, streams } = this;
    return runCommand(request, { ...context, agent, queries, streams });
  }

  close(): void {
    for (const end of this.streams.values()) end();
    this.streams.clear();
  }
}
