import { type Millis, NEVER } from '../lib/time.ts';
import type { RunState, Target } from '../run/model.ts';
import {
  isRolling,
  type Rollout,
  type RolloutPhase,
  type RolloutPlan,
  rolloutPhase,
  startRollout,
  stepRollout,
} from '../run/rollout.ts';

/** A question before something starts on many nodes. */
export interface Confirmation {
  /** Up to so many nodes nothing is asked. */
  readonly above: number;
  /** Asked once, while the nodes wait. `count` have accepted, `notReadOnly` of them by a rule that may change things. */
  readonly ask: (facts: { readonly count: number; readonly notReadOnly: number }) => Promise<boolean>;
}

/** How long the question waits for the answers of silent nodes, so that the count is right. */
const GATHER_MS: Millis = 2000;
const AT_ONCE: RolloutPlan = {
  batch: undefined,
  batchSleepMs: 0,
  canary: 0,
  maxErrors: undefined,
  window: 0,
};

export interface StartGateOptions {
  readonly rollout: RolloutPlan | undefined;
  readonly confirm: Confirmation | undefined;
  readonly now: () => Millis;
  readonly run: () => RunState;
  /** These may start. */
  readonly release: (names: readonly string[]) => void;
  /** Nothing more may start. */
  readonly halt: (reason: string) => void;
  /** Time in which nothing could run does not count: the run's end moves by so much. */
  readonly postpone: (byMs: Millis) => void;
  /** A batch begins, whose time counts from now. */
  readonly begun: () => void;
}

/** Whether a run holds its nodes back at all. Most do not: then "go" is said at once. */
export function needsGate(
  rollout: RolloutPlan | undefined,
  confirm: Confirmation | undefined,
  targets: number,
): boolean {
  if (rollout !== undefined && isRolling(rollout)) return true;
  return confirm !== undefined && targets > confirm.above;
}

/** Says who may start and when: asks the person first, then goes by the plan. */
export class StartGate {
  private readonly options: StartGateOptions;
  private rollout: Rollout;
  private question: 'open' | 'asked' | 'answered';
  private timer: NodeJS.Timeout | undefined;
  private isStepping = false;

  constructor(options: StartGateOptions) {
    this.options = options;
    this.rollout = startRollout(options.rollout ?? AT_ONCE);
    this.question = options.confirm === undefined ? 'answered' : 'open';
  }

  get phase(): RolloutPhase {
    return rolloutPhase(this.rollout, this.options.run());
  }

  /** Whether the person is being asked: then the clock stands still. */
  get isAsking(): boolean {
    return this.question === 'asked';
  }

  close(): void {
    clearTimeout(this.timer);
    this.question = 'answered';
  }

  /** To be called after everything that happens. What it releases makes things happen in turn: those are not steps of their own. */
  step(): void {
    if (this.isStepping || this.question === 'asked') return;
    this.isStepping = true;
    clearTimeout(this.timer);
    const wakeAt = this.question === 'open' ? this.consider() : this.advance();
    this.isStepping = false;
    if (wakeAt === NEVER || this.options.run().phase !== 'running') return;
    this.timer = setTimeout(() => this.step(), Math.max(1, wakeAt - this.options.now()));
  }

  /** Asks, when there is something to ask about and everybody had the time to answer. */
  private consider(): Millis {
    const { confirm, run, now } = this.options;
    const { startedAt, targets } = run();
    const all = [...targets.values()];
    const until = startedAt + GATHER_MS;
    if (now() < until && all.some(isSilent)) return until;
    const accepted = all.filter(({ state }) => state === 'accepted');
    // Nobody has accepted yet: whoever does later is asked about then.
    if (accepted.length === 0) return NEVER;
    const notReadOnly = accepted.filter(({ readOnly }) => readOnly !== true).length;
    if (confirm === undefined || accepted.length <= confirm.above || notReadOnly === 0) {
      this.question = 'answered';
      return this.advance();
    }
    this.question = 'asked';
    const since = now();
    void confirm.ask({ count: accepted.length, notReadOnly }).then((yes) => {
      if (this.question !== 'asked') return;
      this.question = 'answered';
      this.options.postpone(now() - since);
      if (yes) this.step();
      else this.options.halt('it was not confirmed');
    });
    return NEVER;
  }

  private advance(): Millis {
    for (;;) {
      const { run, now } = this.options;
      const { rollout, release, halt, wakeAt, hasBegun } = stepRollout(this.rollout, run(), now());
      this.rollout = rollout;
      if (halt !== undefined) {
        this.options.halt(halt);
        return NEVER;
      }
      if (hasBegun && isRolling(rollout.plan)) this.options.begun();
      if (release.length === 0) return wakeAt;
      this.options.release(release);
    }
  }
}

function isSilent(target: Target): boolean {
  return target.state === 'pending' || target.state === 'acked';
}
