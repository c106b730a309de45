import { type Millis, NEVER } from '../lib/time.ts';
import type { RunEvent, RunState } from '../run/model.ts';
import {
  gatheredAt,
  isGathered,
  type Rollout,
  type RolloutPhase,
  type RolloutPlan,
  startRollout,
  stepRollout,
} from '../run/rollout.ts';

/** A question to the operator before a command that may change something runs on many nodes. */
export interface Confirmation {
  /** More nodes than this that accept are asked about. */
  readonly above: number;
  /** Called once at most. A rejection counts as a no. */
  ask(facts: { count: number; notReadOnly: number }): Promise<boolean>;
}

/** What `Holding` has its run do. */
export interface HoldingActions {
  /** A batch begins: the timeout of the run is meant for each. */
  batchBegins(): void;
  release(node: string): void;
  halt(reason: string): void;
  /** While the operator is asked, the time of the run stands still. */
  asking(isAsking: boolean): void;
  phase(phase: RolloutPhase): void;
}

export interface HoldingOptions {
  readonly rollout: RolloutPlan | undefined;
  readonly confirm: Confirmation | undefined;
  readonly run: () => RunState;
  readonly now: () => Millis;
}

/** A longer timer would fire at once: it looks in between and waits on. */
const TIMER_MS_MAX: Millis = 2 ** 31 - 1;

/** Events after which those who are held are still held. */
const UNREMARKABLE: readonly RunEvent['kind'][] = ['output', 'acked', 'started', 'deadline'];

const NO_PLAN: RolloutPlan = {
  batch: undefined,
  batchSleepMs: 0,
  canary: 0,
  maxErrors: undefined,
  window: 0,
};

/** Holds the nodes of a run back that have accepted, until they are confirmed and their turn has come. */
export class Holding {
  private readonly options: HoldingOptions;
  private readonly actions: HoldingActions;
  private answer: 'none' | 'asking' | 'yes' | 'no' = 'none';
  private rollout: Rollout;
  private shown: RolloutPhase | undefined;
  private timer: NodeJS.Timeout | undefined;
  private hasLetGo = false;

  constructor(options: HoldingOptions, actions: HoldingActions) {
    this.options = options;
    this.actions = actions;
    this.rollout = startRollout(options.rollout ?? NO_PLAN);
  }

  get phase(): RolloutPhase | undefined {
    return this.shown;
  }

  /** Whether everybody may go at once: there is no plan, and nothing has to be asked any more. */
  get isOpen(): boolean {
    const { confirm, rollout, run } = this.options;
    if (rollout !== undefined) return false;
    return confirm === undefined || this.answer === 'yes' || run().targets.size <= confirm.above;
  }

  /**
   * Something has happened in the run. Most of it lets nobody go who was held before, and a run of ten thousand targets must
   * not be walked for each.
   */
  heard(kind: RunEvent['kind']): void {
    if (this.isOpen || UNREMARKABLE.includes(kind)) return;
    // Without a plan, only whoever accepts late is still to be let go.
    if (this.hasLetGo && this.options.rollout === undefined && kind !== 'accepted') return;
    this.step();
  }

  /** Looks at the run anew. Call it at each change; it comes back by itself when only time passes. */
  step(): void {
    const { run } = this.options;
    const now = this.options.now();
    // While answers are awaited, most events change nothing: a run of ten thousand targets must not be walked for each.
    if (this.isAwaiting(now)) return;
    const wakeAt = this.isConfirmed(now) ? this.advance(now) : this.waiting(now);
    clearTimeout(this.timer);
    if (wakeAt !== NEVER && run().phase === 'running') {
      this.timer = setTimeout(
        () => this.step(),
        Math.min(Math.max(1, Math.ceil(wakeAt - now)), TIMER_MS_MAX),
      );
    }
  }

  /** Whether the wait for answers goes on, and has been shown. */
  private isAwaiting(now: Millis): boolean {
    const { confirm, run } = this.options;
    if (confirm === undefined || this.answer !== 'none' || this.timer === undefined) return false;
    return run().phase === 'running' && run().targets.size > confirm.above && !isGathered(run(), now);
  }

  stop(): void {
    clearTimeout(this.timer);
  }

  private advance(now: Millis): Millis {
    this.hasLetGo = true;
    const before = this.rollout.begun;
    const step = stepRollout(this.rollout, this.options.run(), now);
    this.rollout = step.rollout;
    if (step.rollout.begun > before) this.actions.batchBegins();
    for (const node of step.release) this.actions.release(node);
    this.show(step.phase);
    if (step.halt !== undefined) this.actions.halt(step.halt);
    return step.wakeAt;
  }

  /** Before the confirmation is there: shows where the rollout stands, and says when the wait for answers ends. */
  private waiting(now: Millis): Millis {
    const run = this.options.run();
    const { phase } = stepRollout(this.rollout, run, now);
    const isRunning = run.phase === 'running';
    const until = isRunning && this.answer === 'none' ? gatheredAt(run) : NEVER;
    const hasBegun = this.rollout.begun > 0;
    this.show(isRunning && !hasBegun ? { ...phase, kind: 'gathering', batch: 0, until } : phase);
    return until;
  }

  private show(phase: RolloutPhase): void {
    const { shown } = this;
    this.shown = phase;
    const isSame =
      shown !== undefined &&
      shown.kind === phase.kind &&
      shown.batch === phase.batch &&
      shown.batches === phase.batches &&
      shown.until === phase.until;
    if (!isSame) this.actions.phase(phase);
  }

  /**
   * Whether those who are held may go as far as the operator is concerned. Who accepts late counts as well: the node with
   * which there are too many is held, and the question comes then.
   */
  private isConfirmed(now: Millis): boolean {
    const { confirm } = this.options;
    const run = this.options.run();
    if (confirm === undefined || this.answer === 'yes') return true;
    if (this.answer !== 'none' || run.phase !== 'running') return false;
    if (run.targets.size <= confirm.above) return true;
    if (!isGathered(run, now)) return false;
    const facts = factsOf(run);
    if (facts.count <= confirm.above || facts.notReadOnly === 0) return true;
    this.answer = 'asking';
    this.actions.asking(true);
    confirm.ask(facts).then(
      (isYes) => this.answered(isYes),
      () => this.answered(false),
    );
    return false;
  }

  private answered(isYes: boolean): void {
    this.answer = isYes ? 'yes' : 'no';
    if (this.options.run().phase !== 'running') return;
    this.actions.asking(false);
    if (isYes) this.step();
    else this.actions.halt('not confirmed');
  }
}

/** How many have accepted, and how many of them may change something. */
function factsOf(run: RunState): { count: number; notReadOnly: number } {
  let count = 0;
  let notReadOnly = 0;
  for (const { readOnly } of run.targets.values()) {
    if (readOnly === undefined) continue;
    count++;
    if (!readOnly) notReadOnly++;
  }
  return { count, notReadOnly };
}
