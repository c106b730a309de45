import { concatBytes, EMPTY, utf8Text } from '../lib/bytes.ts';
import { DecodeError } from '../lib/errors.ts';
import type { Millis } from '../lib/time.ts';
import type { Policy } from '../policy/policy.ts';
import { decideUnsigned } from '../policy/queries.ts';
import { assignmentsIn, handlerForQuery } from '../runtime/command-source.ts';
import type { Abilities } from '../runtime/ground.ts';
import type { LoadedHandler } from '../runtime/handler-folder.ts';
import { Lanes } from '../runtime/lanes.ts';
import { type RunningCommand, startCommand } from '../runtime/process.ts';
import { RateLimiter } from '../runtime/rate-limiter.ts';
import { commandVerdict, type RunVerdict } from '../runtime/verdict.ts';
import type { SerfEvent } from '../serf/events.ts';
import type { HandlerSelf } from '../serf/handler-input.ts';
import type { QueryMessage } from '../serf/query-book.ts';
import type { Log } from './log.ts';
import type { QueryRecords } from './query-audit.ts';

const BOUNDS = { atOnce: 8, perLane: 8, waiting: 64 };
/** Serf's limit for a whole answer: what is longer cannot be sent anyway. */
const ANSWER_BYTES_MAX = 1024;

type Query = Extract<SerfEvent, { kind: 'query' }>;

export interface HandlerQueriesParts {
  readonly policy: () => Policy | undefined;
  readonly handlers: () => ReadonlyMap<string, LoadedHandler>;
  readonly abilities: () => Abilities;
  readonly hidePaths: readonly string[];
  /** As `ownerOf` names this agent. */
  readonly owner: string;
  readonly self: () => HandlerSelf;
  readonly records: QueryRecords;
  /** Throws DecodeError when the answer is too long. */
  readonly respond: (query: QueryMessage, payload: Uint8Array) => void;
  readonly count: (name: string) => void;
  readonly now: () => Millis;
  readonly unixMs: () => number;
  readonly log: Log;
}

/**
 * Answers Serf's queries with handlers that have a manifest, where the policy has everybody's answered: the payload holds
 * parameters, one `name=value` a line. In a sandbox, as everything that a manifest names. What is refused is silence.
 */
export class HandlerQueries {
  private readonly parts: HandlerQueriesParts;
  private readonly lanes = new Lanes(BOUNDS);
  private readonly running = new Map<RunningCommand, string>();
  private readonly rates: RateLimiter;

  constructor(parts: HandlerQueriesParts) {
    this.parts = parts;
    this.rates = new RateLimiter(parts.now);
  }

  event(event: SerfEvent): void {
    if (event.kind !== 'query') return;
    const { name } = event.query;
    const handler = handlerForQuery(this.parts.handlers(), name);
    const policy = this.parts.policy();
    if (handler === undefined || policy === undefined) return;
    const isTaken = this.lanes.offer(0, { run: () => this.answer(handler.manifest.name, policy, event) });
    if (!isTaken) this.parts.count('handler-query-dropped');
  }

  /** Ends what runs, and waits until it is gone. */
  async stop(): Promise<void> {
    this.lanes.stop();
    const running = [...this.running.keys()];
    for (const command of running) command.kill('cancelled');
    await Promise.all(running.map(({ ended }) => ended));
  }

  private async answer(handler: string, policy: Policy, { query, deadline }: Query): Promise<void> {
    const { now, count, log, respond, records } = this.parts;
    const verdict = this.verdict(handler, policy, query, deadline - now());
    if (typeof verdict === 'string') {
      count('handler-query-refused');
      records.refused(query, handler, verdict);
      return log.debug(`the query '${query.name}' is not answered: ${verdict}`);
    }
    const ended = records.begin(query, handler);
    if (ended === undefined) return count('handler-query-unrecorded');
    this.rates.take(verdict.rule, verdict.rate);
    let answer: Uint8Array = EMPTY;
    const command = startCommand({ ...verdict.spec, owner: this.parts.owner }, (stream, chunk) => {
      if (stream === 'stdout' && answer.length <= ANSWER_BYTES_MAX) answer = concatBytes(answer, chunk);
    });
    this.running.set(command, verdict.rule);
    const end = await command.ended;
    this.running.delete(command);
    if (end.kind === 'failed') ended({ code: null, signal: null, cause: 'failed', reason: end.reason });
    else ended({ code: end.code, signal: end.signal, cause: end.cause });
    if (end.kind === 'failed') return log.warn(`handler '${handler}' could not be started: ${end.reason}`);
    if (end.cause !== 'exit' || end.code !== 0 || answer.length === 0) return;
    try {
      if (now() > deadline) throw new DecodeError('late', 'response is past the deadline');
      respond(query, answer);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      count(`handler-${error.reason}`);
      log.warn(`Failed to respond to query '${query.name}': ${error.message}`);
    }
  }

  /** What is to be run, or why nothing is. */
  private verdict(handler: string, policy: Policy, query: QueryMessage, leftMs: Millis): RunVerdict | string {
    const { handlers, abilities, hidePaths, self, unixMs } = this.parts;
    const { name: node, tags } = self();
    const decision = decideUnsigned(policy, { query: query.name, node, tags }, unixMs());
    if (decision === undefined) return 'the policy does not name it, or only for signed questions';
    const payload = utf8Text(query.payload ?? EMPTY);
    if (payload === undefined) return 'its payload is not text in UTF-8';
    if (leftMs <= 0) return 'it waited past its deadline';
    const argv = [`handler:${handler}`, ...assignmentsIn(payload)];
    const running = (rule: string): number => [...this.running.values()].filter((one) => one === rule).length;
    const verdict = commandVerdict(
      { decision, argv, timeoutMs: leftMs },
      {
        ...abilities(),
        running,
        waitMs: (rule, rate) => this.rates.waitMs(rule, rate),
        // What killed an agent is remembered of signed commands, which are in its audit log.
        suspectSince: () => undefined,
        hidePaths,
      },
      { handlers: handlers(), script: () => undefined },
    );
    return verdict.kind === 'run' ? verdict : verdict.reason;
  }
}
