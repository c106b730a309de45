import { Keeper } from '../../asker/keep.ts';
import { type Asker, type LaunchedRun, launch, newRunId } from '../../asker/launch.ts';
import { Outputs } from '../../asker/outputs.ts';
import { type Planning, planRun } from '../../asker/plan.ts';
import { findRun, RunRecord } from '../../asker/run-record.ts';
import { toHex } from '../../lib/bytes.ts';
import { FanoutError } from '../../lib/errors.ts';
import type { Millis } from '../../lib/time.ts';
import { commandText } from '../../policy/command-text.ts';
import { parseSelector } from '../../policy/selector-parser.ts';
import { type RunEvent, type RunState, startRun } from '../../run/model.ts';
import type { Effect, Message } from '../model/messages.ts';

/** Above so many nodes, what may change things is confirmed by typing their number. */
const CONFIRM_ABOVE = 20;
/** Pieces of output that are still being put together reach the disk so often. */
const FLUSH_MS: Millis = 200;
const MEMORY_BYTES_MAX = 64 * 1024 * 1024;

type Start = Extract<Effect, { kind: 'start-run' }>;

interface Current {
  readonly id: string;
  readonly keeper: Keeper | undefined;
  readonly record: RunRecord | undefined;
  readonly outputs: Outputs;
  launched: LaunchedRun | undefined;
  state: RunState | undefined;
  hasChanged: boolean;
}

/** The run of this session that ended last. */
export interface LastRun {
  readonly id: string;
  readonly command: string;
  readonly selector: string;
  readonly state: RunState;
}

/** Gives back the files of a run that is looked at no more. */
function release(run: Current | undefined): void {
  run?.record?.close();
  run?.keeper?.recorder?.release();
}

/** Output where there is no file for it: as much as fits, so that a full disk hides nothing from the person who looks. */
class MemoryOutputs {
  readonly outputs = new Outputs(() => new Uint8Array(0));
  private bytes = 0;

  event(event: RunEvent, data: Uint8Array | undefined): void {
    if (event.kind !== 'output' || data === undefined) return;
    this.bytes += data.length;
    if (this.bytes > MEMORY_BYTES_MAX) return;
    const copy = Uint8Array.from(data);
    this.outputs.add(event.node, event.stream, { data: copy }, copy);
  }
}

/** The runs of a session: at most one goes on, and one, the same or one of before, is looked at. */
export class SessionRuns {
  private asker: Asker;
  private readonly dispatch: (message: Message) => void;
  private current: Current | undefined;
  private answerConfirm: ((yes: boolean) => void) | undefined;
  private plan: Planning | undefined;
  private flushTimer: NodeJS.Timeout | undefined;
  private isStarting = false;
  private latest: LastRun | undefined;

  constructor(asker: Asker, dispatch: (message: Message) => void) {
    this.asker = asker;
    this.dispatch = dispatch;
  }

  /** The agent is another one, or was started again. */
  agentChanged(info: Asker['info']): void {
    this.asker = { ...this.asker, info };
  }

  /** The outputs that are looked at. */
  get outputs(): Outputs | undefined {
    return this.current?.outputs;
  }

  get isRunning(): boolean {
    return this.current?.launched !== undefined && this.current.state?.phase !== 'ended';
  }

  async start(effect: Start): Promise<void> {
    // A second Enter while the first is on its way is not a second run.
    if (this.isStarting || this.isRunning) return;
    this.isStarting = true;
    try {
      await this.begin(effect);
    } finally {
      this.isStarting = false;
    }
  }

  private async begin(effect: Start): Promise<void> {
    const { argv, targets, timeoutMs, rollout, command } = effect;
    // Before anything is written down: what cannot be read is not a run.
    const selector = parseSelector(effect.selector);
    const idBytes = newRunId();
    const id = toHex(idBytes);
    const unixMs = Date.now();
    const head = {
      id,
      argv: [...argv],
      selector: effect.selector,
      targets: [...targets],
      timeoutMs,
      unixMs,
      environment: this.asker.info.environment,
    };
    const keeper = new Keeper(head, command, { isIndexed: true });
    const memory = keeper.recorder === undefined ? new MemoryOutputs() : undefined;
    const outputs = keeper.recorder?.outputs ?? memory?.outputs ?? new Outputs(() => new Uint8Array(0));
    const current: Current = {
      id,
      keeper,
      record: undefined,
      outputs,
      launched: undefined,
      state: undefined,
      hasChanged: false,
    };
    // What is on the screen is still the run before: it goes when this one has begun.
    const before = this.current;
    this.current = current;
    try {
      current.launched = await launch(this.asker, {
        id: idBytes,
        argv,
        selector,
        targets,
        timeoutMs,
        rollout,
        confirm: { above: CONFIRM_ABOVE, ask: (facts) => this.ask(facts) },
        onEvent: (state, event, data) => {
          current.state = state;
          current.hasChanged = true;
          keeper.event(performance.now() - state.startedAt, event, data);
          memory?.event(event, data);
          return true;
        },
      });
    } catch (error) {
      if (!(error instanceof FanoutError)) throw error;
      this.current = before;
      keeper.recorder?.release();
      return this.dispatch({ kind: 'run-failed', reason: error.message.split('\n')[0] ?? '' });
    }
    const run = current.state ?? startRun(targets, timeoutMs, performance.now());
    current.state = run;
    this.dispatch({
      kind: 'run-opened',
      id,
      command,
      selector: effect.selector,
      run,
      outputs,
      isLive: true,
      startedUnixMs: unixMs,
    });
    release(before);
    this.flushTimer = setInterval(() => keeper.recorder?.flush(), FLUSH_MS);
    void current.launched.ended.then((state) => {
      clearInterval(this.flushTimer);
      keeper.end(state, performance.now() - state.startedAt);
      current.state = state;
      current.hasChanged = true;
      this.latest = { id, command, selector: effect.selector, state };
      this.report();
      this.dispatch({ kind: 'history-changed' });
    });
  }

  /** Tells what has changed since the last time, as one message however much it was. */
  report(): void {
    const { current } = this;
    if (current?.state === undefined || current.launched === undefined || !current.hasChanged) return;
    current.hasChanged = false;
    const phase = current.launched.session.rolloutPhase;
    const unrecorded = current.launched.auditProblem();
    const problem = unrecorded === '' ? (current.keeper?.problem ?? '') : unrecorded;
    this.dispatch({ kind: 'run-changed', id: current.id, run: current.state, phase, problem });
  }

  interrupt(): void {
    this.answer(false);
    if (this.isRunning) this.current?.launched?.session.interrupt();
  }

  cancelNode(node: string): void {
    this.current?.launched?.session.cancelNode(node);
  }

  moveDeadline(timeoutMs: Millis): void {
    this.current?.launched?.session.moveDeadline(timeoutMs);
  }

  /** The person has said yes or no. */
  answer(yes: boolean): void {
    this.answerConfirm?.(yes);
    this.answerConfirm = undefined;
  }

  /** Asks the nodes what they would do; what was asked before is of no interest any more. */
  async askVerdict(effect: Extract<Effect, { kind: 'ask-verdict' }>): Promise<void> {
    this.dropVerdict();
    const { token, argv, selector, targets, timeoutMs } = effect;
    try {
      this.plan = planRun(this.asker, { argv, selector: parseSelector(selector), targets, timeoutMs });
      const result = await this.plan.plan;
      if (result !== undefined) this.dispatch({ kind: 'verdict', token, groups: result.groups });
    } catch (error) {
      if (!(error instanceof FanoutError)) throw error;
      this.dispatch({ kind: 'verdict-failed', token, reason: error.message.split('\n')[0] ?? '' });
    }
  }

  dropVerdict(): void {
    this.plan?.abort();
    this.plan = undefined;
  }

  /** Opens a run of before. */
  open(id: string): void {
    if (this.isStarting || this.isRunning) {
      throw new FanoutError('USAGE', 'a run is under way', { hint: 'V shows it.' });
    }
    const found = findRun(id);
    const record = RunRecord.open(found.path);
    const before = this.current;
    const { head, outputs, state } = record;
    this.current = { id, keeper: undefined, record, outputs, launched: undefined, state, hasChanged: false };
    this.dispatch({
      kind: 'run-opened',
      id,
      command: commandText(head.argv),
      selector: head.selector,
      run: state,
      outputs,
      isLive: false,
      startedUnixMs: head.unixMs,
    });
    release(before);
  }

  /** What the last run of the session came to, whatever was looked at since; undefined when there was none. */
  get last(): LastRun | undefined {
    return this.latest;
  }

  /** Stops what runs and waits until the nodes have confirmed it. */
  async finish(): Promise<void> {
    this.dropVerdict();
    this.interrupt();
    await this.current?.launched?.ended;
  }

  private ask(facts: { count: number; notReadOnly: number }): Promise<boolean> {
    return new Promise((resolve) => {
      this.answerConfirm = resolve;
      this.dispatch({ kind: 'confirm', ...facts });
    });
  }
}
