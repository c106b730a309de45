import { utf8 } from '../lib/bytes.ts';
import { DecodeError } from '../lib/errors.ts';
import type { Millis } from '../lib/time.ts';
import type { FilteredEvent } from '../rpc/event-filter.ts';
import type { CommandScript } from '../runtime/command-spec.ts';
import { type HandlerLine, handlerStats, timesFor } from '../runtime/handler-line.ts';
import { Lanes, type Task } from '../runtime/lanes.ts';
import {
  deadlineAfter,
  type RunningScript,
  type ScriptEnd,
  SHELL,
  startScript,
} from '../runtime/shell-script.ts';
import type { SerfEvent } from '../serf/events.ts';
import {
  type HandledEvent,
  type HandlerSelf,
  handlerInput,
  handlerVariables,
} from '../serf/handler-input.ts';
import type { Member } from '../serf/member.ts';
import type { QueryMessage } from '../serf/query-book.ts';
import type { Log } from './log.ts';
import type { QueryRecords } from './query-audit.ts';

/**
 * One line's events one after the other, in their order: who joined before they left must not come to a script the other
 * way round. Different lines side by side.
 */
const EVENT_BOUNDS = { atOnce: 8, perLane: 1, waiting: 256 };
/** Queries do not wait for each other. */
const QUERY_BOUNDS = { atOnce: 8, perLane: 4, waiting: 64 };
/** Members that one call is told of, when they come faster than the script can take them. */
const MEMBERS_MAX = 1024;
/** As Serf: whoever takes longer is written about. */
const SLOW_MS: Millis = 1000;
/** How often the log tells that events are dropped. */
const DROPPED_EVERY_MS: Millis = 10_000;

type TakenEvent = Extract<SerfEvent, { kind: 'member' | 'user' | 'query' }>;

export interface EventHandlersParts {
  readonly lines: readonly HandlerLine[];
  /** What is to be said about them at the start. */
  readonly warnings: readonly string[];
  readonly timeoutMs: Millis;
  readonly self: () => HandlerSelf;
  /** Whether this node answers queries of this name, whoever asks. */
  readonly mayAnswer: (query: string) => boolean;
  readonly records: QueryRecords;
  /** Throws DecodeError when the answer is too long. */
  readonly respond: (query: QueryMessage, payload: Uint8Array) => void;
  readonly count: (name: string) => void;
  readonly now: () => Millis;
  readonly unixMs: () => number;
  readonly log: Log;
}

/** Runs the scripts of `--event-handler` for what happens in the cluster. */
export class EventHandlers {
  private readonly parts: EventHandlersParts;
  private lines: readonly HandlerLine[];
  private readonly events = new Lanes(EVENT_BOUNDS);
  private readonly queries = new Lanes(QUERY_BOUNDS);
  private readonly running = new Set<RunningScript>();
  private droppedAt: Millis = Number.NEGATIVE_INFINITY;

  constructor(parts: EventHandlersParts) {
    this.parts = parts;
    this.lines = parts.lines;
  }

  /** Other lines from now on; what runs or waits is not touched. */
  replace(lines: readonly HandlerLine[]): void {
    this.lines = lines;
  }

  /** By `kind:name`, as Serf's stats have them. */
  stats(): Record<string, string> {
    return handlerStats(this.lines);
  }

  /** Tells the log what whoever wrote the lines should know. */
  announce(): void {
    const { warnings, mayAnswer, log } = this.parts;
    for (const warning of warnings) log.warn(warning);
    for (const { event, name } of this.lines.flatMap(({ filters }) => filters)) {
      if (event !== 'query' || name === '' || mayAnswer(name)) continue;
      log.warn(
        `the query '${name}' has a handler and is not answered. In the policy: queries: [{ name: ${name}, from: any }]; ` +
          'without a policy: --allow-unsigned-queries',
      );
    }
  }

  /** The line that answers a query of this name, for a question that was signed; undefined when there is none. */
  scriptFor(
    query: string,
    payload: string,
    about: Readonly<Record<string, string>>,
  ): CommandScript | undefined {
    const line = this.lineFor(query);
    if (line === undefined) return undefined;
    const event = { kind: 'query', ltime: 0, name: query, payload: utf8(payload) } as const;
    return {
      path: SHELL,
      line: line.script,
      variables: { ...handlerVariables(this.parts.self(), event), ...about },
      input: handlerInput(event),
    };
  }

  event(event: SerfEvent): void {
    if (this.lines.length === 0 || !isTaken(event)) return;
    const name = event.kind === 'query' ? event.query.name : event.kind === 'user' ? event.name : '';
    const filtered: FilteredEvent = { event: event.kind === 'member' ? event.event : event.kind, name };
    for (const [number, line] of this.lines.entries()) {
      const times = timesFor(line, filtered);
      if (times === 0) continue;
      if (event.kind === 'query' && !this.parts.mayAnswer(name)) {
        this.parts.count('handler-query-refused');
        this.parts.records.refused(
          event.query,
          line.script,
          'this node answers it for nobody without a signature',
        );
        this.parts.log.debug(`the query '${name}' is not one that this node answers`);
        return;
      }
      for (let time = 0; time < times; time++) this.take(number, line, event);
    }
  }

  /** Ends what runs, and waits until it is gone. */
  async stop(): Promise<void> {
    this.events.stop();
    this.queries.stop();
    const running = [...this.running];
    for (const script of running) script.kill();
    await Promise.all(running.map(({ ended }) => ended));
  }

  /** One that names the query goes before one for all queries, and that before one for everything. */
  private lineFor(query: string): HandlerLine | undefined {
    const isNamed = [
      ['query', query],
      ['query', ''],
      ['*', ''],
    ].map(([event, name]) =>
      this.lines.find(({ filters }) => filters.some((one) => one.event === event && one.name === name)),
    );
    return isNamed.find((line) => line !== undefined);
  }

  private take(number: number, line: HandlerLine, event: TakenEvent): void {
    const isTakenOver =
      event.kind === 'query'
        ? this.queries.offer(number, { run: () => this.answer(line, event) })
        : event.kind === 'user'
          ? this.events.offer(number, { run: () => this.tell(line, event) })
          : this.events.offer(number, new MemberTask(event, (told) => this.tell(line, told)));
    if (isTakenOver) return;
    this.parts.count('handler-event-dropped');
    const now = this.parts.now();
    if (now - this.droppedAt < DROPPED_EVERY_MS) return;
    this.droppedAt = now;
    this.parts.log.warn(`Script '${line.script}' is slower than the events that come: events are dropped`);
  }

  private async tell(line: HandlerLine, event: HandledEvent): Promise<void> {
    await this.run(line, event, {});
  }

  private async answer(line: HandlerLine, event: Extract<SerfEvent, { kind: 'query' }>): Promise<void> {
    const { query, deadline } = event;
    const leftMs = deadline - this.parts.now();
    // It waited too long: nobody listens any more.
    if (leftMs <= 0) return this.parts.count('handler-query-late');
    const ended = this.parts.records.begin(query, line.script);
    if (ended === undefined) return this.parts.count('handler-query-unrecorded');
    const { ltime, id, name, payload } = query;
    const end = await this.run(
      line,
      { kind: 'query', ltime, name, payload },
      {
        FANOUT_REQUEST_ID: `${ltime}:${id}`,
        FANOUT_DEADLINE: deadlineAfter(leftMs, this.parts.unixMs()),
      },
    );
    const { cause, code, signal, problem } = end;
    ended({ code, signal, cause, ...(cause === 'failed' ? { reason: problem } : {}) });
    if (problem !== '' || end.outputBytes === 0) return;
    try {
      if (this.parts.now() > deadline) throw new DecodeError('late', 'response is past the deadline');
      this.parts.respond(query, end.output);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.parts.count(`handler-${error.reason}`);
      this.parts.log.warn(`Failed to respond to query '${name}': ${error.message}`);
    }
  }

  private async run(
    line: HandlerLine,
    event: HandledEvent,
    more: Readonly<Record<string, string>>,
  ): Promise<ScriptEnd> {
    const { log, timeoutMs } = this.parts;
    const kind = event.kind === 'member' ? event.event : event.kind;
    const slow = setTimeout(() => log.warn(`Script '${line.script}' slow, execution exceeding 1s`), SLOW_MS);
    const script = startScript({
      line: line.script,
      variables: { ...handlerVariables(this.parts.self(), event), ...more },
      input: handlerInput(event),
      timeoutMs,
    });
    this.running.add(script);
    const end = await script.ended;
    this.running.delete(script);
    clearTimeout(slow);
    const { output, outputBytes, problem } = end;
    if (outputBytes > output.length) {
      log.warn(
        `Script '${line.script}' generated ${outputBytes} bytes of output, truncated to ${output.length}`,
      );
    }
    log.debug(`Event '${kind}' script output: ${Buffer.from(output).toString('utf8')}`);
    if (problem !== '') log.error(`Error invoking script '${line.script}': ${problem}`);
    return end;
  }
}

function isTaken(event: SerfEvent): event is TakenEvent {
  return event.kind === 'member' || event.kind === 'user' || event.kind === 'query';
}

/** Members to whom the same happened, while the script was busy, are one call with a line for each. */
class MemberTask implements Task {
  private readonly event: Extract<SerfEvent, { kind: 'member' }>['event'];
  private readonly members: Member[];
  private readonly tell: (event: HandledEvent) => Promise<void>;

  constructor(
    { event, member, others = [] }: Extract<SerfEvent, { kind: 'member' }>,
    tell: (event: HandledEvent) => Promise<void>,
  ) {
    this.event = event;
    // The table changes it in place; the script is told of what was.
    this.members = [member, ...others].map((one) => ({ ...one }));
    this.tell = tell;
  }

  run(): Promise<void> {
    return this.tell({ kind: 'member', event: this.event, members: this.members });
  }

  absorb(next: Task): boolean {
    if (!(next instanceof MemberTask) || next.event !== this.event || this.members.length >= MEMBERS_MAX)
      return false;
    this.members.push(...next.members);
    return true;
  }
}
