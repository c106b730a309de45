import { toHex } from '../lib/bytes.ts';
import { FanoutError } from '../lib/errors.ts';
import { mayAnyoneAsk } from '../policy/queries.ts';
import type { Offers } from '../runtime/command-source.ts';
import type { AnsweredAdmission } from '../runtime/gate.ts';
import type { Abilities } from '../runtime/ground.ts';
import { type LoadedHandler, loadHandlers } from '../runtime/handler-folder.ts';
import type { HandlerLine } from '../runtime/handler-line.ts';
import type { NodeAudit } from '../runtime/node-audit.ts';
import type { SerfEvent } from '../serf/events.ts';
import type { QueryMessage } from '../serf/query-book.ts';
import type { AgentConfig } from './config.ts';
import type { Engine } from './engine.ts';
import { EventHandlers } from './event-handlers.ts';
import { HandlerQueries } from './handler-queries.ts';
import type { Log } from './log.ts';
import type { PolicyHolder } from './policy-holder.ts';
import { QueryAudit } from './query-audit.ts';

/** Everything of an agent that its owner has put there to be run: lines for events, and handlers with manifests. */
export class Handlers {
  private readonly folder: string | undefined;
  private readonly log: Log;
  private readonly lines: EventHandlers;
  private readonly queries: HandlerQueries;
  private loaded: ReadonlyMap<string, LoadedHandler>;

  /** `loaded` are those of the configured folder, read before anything else was started. */
  constructor(parts: {
    config: AgentConfig;
    engine: Engine;
    policies: PolicyHolder;
    abilities: () => Abilities;
    loaded: ReadonlyMap<string, LoadedHandler>;
    records: NodeAudit;
    owner: string;
    log: Log;
  }) {
    const { config, engine, policies, abilities, loaded, records, owner, log } = parts;
    const answering = {
      self: () => ({ name: config.node, tags: engine.localTags }),
      respond: (query: QueryMessage, payload: Uint8Array) => engine.respond(query, payload),
      count: (name: string) => engine.count(name),
      now: () => engine.now(),
      unixMs: () => Date.now(),
      records: new QueryAudit({ node: config.node, policy: () => policies.current, records }),
      log,
    };
    this.folder = config.handlers.folder;
    this.loaded = loaded;
    this.log = log;
    this.lines = new EventHandlers({
      ...config.handlers,
      ...answering,
      mayAnswer: (query) => {
        const policy = policies.current;
        // Without a policy it is Serf's way, where that was asked for.
        return policy === undefined ? config.handlers.allowUnsignedQueries : mayAnyoneAsk(policy, query);
      },
    });
    this.queries = new HandlerQueries({
      ...answering,
      policy: () => policies.current,
      handlers: () => this.loaded,
      abilities,
      hidePaths: [config.dataDir],
      owner,
    });
    this.lines.announce();
  }

  event(event: SerfEvent): void {
    this.lines.event(event);
    this.queries.event(event);
  }

  /** The lines by `kind:name`, as Serf's stats have them. */
  stats(): Record<string, string> {
    return this.lines.stats();
  }

  /** Other lines for events from now on. */
  replaceLines(lines: readonly HandlerLine[]): void {
    this.lines.replace(lines);
  }

  /** Reads the folder again. A bad one is reported, and the old handlers stay in force. */
  reload(): void {
    if (this.folder === undefined) return;
    try {
      this.loaded = loadHandlers(this.folder);
    } catch (error) {
      if (!(error instanceof FanoutError)) throw error;
      this.log.error(`the handlers were not reloaded, the old ones stay in force: ${error.message}`);
    }
  }

  /** What a signed command can name, beside programs. */
  offers({ operator, envelope }: AnsweredAdmission): Offers {
    // Nothing that depends on the clock: what is offered at the start must be what was offered when it was accepted.
    const about = { FANOUT_REQUEST_ID: toHex(envelope.body.id), FANOUT_OPERATOR: operator };
    return {
      handlers: this.loaded,
      script: (query, payload) => this.lines.scriptFor(query, payload, about),
    };
  }

  /** Ends what runs, and waits until it is gone. */
  async stop(): Promise<void> {
    await Promise.all([this.lines.stop(), this.queries.stop()]);
  }
}
