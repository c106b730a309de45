import type { KnownNodes } from '../identity/known-nodes.ts';
import type { NodeFrame } from '../identity/sealed.ts';
import { DEADLINE_MS_MAX } from '../identity/sealed-frames.ts';
import type { ByteStream } from '../lib/byte-stream.ts';
import type { Millis } from '../lib/time.ts';
import { isFinal, type RunEvent, type RunState, reduceRun, startRun } from '../run/model.ts';
import type { RolloutPhase, RolloutPlan } from '../run/rollout.ts';
import { Answers } from './answers.ts';
import { type Confirmation, Holding } from './holding.ts';
import { Turns } from './turns.ts';

/** After a stop, how long a node has to confirm that what it ran is dead. A node kills within 2 s. */
const GRACE_MS: Millis = 4000;
/**
 * With batches, how long the end of the run waits for the nodes' own limits: an overdue node that says so counts as one
 * error, and the next batch may go on.
 */
const BATCH_SLACK_MS: Millis = 3000;
/** How often a held node hears that it is still wanted. It waits a minute. */
const HOLD_EVERY_MS: Millis = 20_000;
/** The longest that a timer can wait. */
const TIMER_MS_MAX: Millis = 2 ** 31 - 1;

export interface RunSessionOptions {
  readonly targets: readonly string[];
  readonly timeoutMs: Millis;
  readonly environment: string;
  readonly requestId: Uint8Array;
  readonly replySecret: Uint8Array;
  readonly knownNodes: KnownNodes;
  /** Whether a node that is no target may answer all the same: one that joined since, and is meant as well. */
  readonly mayJoin: (node: string) => boolean;
  /** The nodes were only asked whether they would run it. */
  readonly explainOnly?: boolean | undefined;
  readonly rollout?: RolloutPlan | undefined;
  readonly confirm?: Confirmation | undefined;
  readonly now: () => Millis;
  /** Every event of the run, after it was applied; `data` with output events. False: the reader is slow, hold the node back. */
  readonly onEvent: (state: RunState, event: RunEvent, data?: Uint8Array) => boolean;
  /** Calls back when the reader has caught up. */
  readonly onReaderReady: (listener: () => void) => void;
  /**
   * A node has ended, under the signature of the node key with this fingerprint. Tells what is wrong with its audit log, ''
   * when nothing.
   */
  readonly onSignedEnd?:
    | ((node: string, key: string, end: Extract<NodeFrame, { kind: 'end' }>) => string)
    | undefined;
  /** The rollout is somewhere else now. */
  readonly onPhase?: ((phase: RolloutPhase) => void) | undefined;
}

/** One run as its asker drives it: sealed answers in, events of the run model out. */
export class RunSession {
  /** Resolves when every target has ended. */
  readonly ended: Promise<RunState>;
  private readonly options: RunSessionOptions;
  private readonly answers: Answers;
  /** Whatever comes a thousand at a time takes turns here with the keys and the timers. */
  readonly turns: Turns;
  /** Undefined: whoever accepts goes at once. */
  private readonly holding: Holding | undefined;
  private state: RunState;
  private timer: NodeJS.Timeout | undefined;
  private graceTimer: NodeJS.Timeout | undefined;
  private holdTimer: NodeJS.Timeout | undefined;
  private readonly cancelTimers = new Map<string, NodeJS.Timeout>();
  /** Since when the clock of the run stands still. */
  private pausedAt: Millis | undefined;
  /** The deadline is not the one that the nodes would count to by themselves. */
  private isDeadlineMoved = false;
  private finish: (state: RunState) => void = () => {};

  constructor(options: RunSessionOptions) {
    this.options = options;
    this.state = startRun(options.targets, options.timeoutMs, options.now());
    this.ended = new Promise((resolve) => {
      this.finish = resolve;
    });
    this.turns = new Turns(options.now);
    this.answers = new Answers(
      { ...options, turns: this.turns, isTarget: (node) => this.state.targets.has(node) },
      {
        joinedLate: (node) => this.apply({ kind: 'joined-late', node }),
        frame: (node, frame, isFirstSeen) => this.frame(node, frame, isFirstSeen),
        untrusted: (node, reason) => this.untrusted(node, reason),
        disconnected: (node) => this.apply({ kind: 'disconnected', node }),
      },
    );
    options.onReaderReady(() => this.answers.resume());
    this.armTimer();
    this.holding = this.holdingFor(options);
    this.holding?.step();
  }

  /** Where the rollout stands; undefined for a run without one. */
  get rolloutPhase(): RolloutPhase | undefined {
    return this.options.rollout === undefined ? undefined : this.holding?.phase;
  }

  /** Applies an event that did not come through an answer: acks, member changes, a lost agent. */
  event(event: RunEvent): void {
    this.apply(event);
  }

  /** Ctrl-C: cancels what runs and waits a moment for the nodes to confirm. */
  interrupt(): void {
    this.stop({ kind: 'interrupt' });
  }

  /** Stops one node. It has a moment to confirm. */
  cancelNode(node: string): void {
    if (this.cancelTimers.has(node) || this.state.phase !== 'running') return;
    this.apply({ kind: 'cancel', node });
    if (this.state.targets.get(node)?.cancelling !== true) return this.answers.close(node);
    this.answers.cancel(node);
    const over = (): void => {
      if (this.state.targets.get(node)?.cancelling !== true) return;
      this.apply({ kind: 'cancel-over', node });
      this.answers.close(node);
    };
    this.cancelTimers.set(node, setTimeout(over, GRACE_MS));
  }

  /**
   * Gives the run another timeout, counted from its start; what runs is told. A moment that has passed ends the run. How
   * long the policy of a node lets it run stays its own business.
   */
  moveDeadline(timeoutMs: Millis): void {
    if (this.state.phase !== 'running') return;
    this.isDeadlineMoved = true;
    this.setDeadline(timeoutMs);
    if (this.isOverdue()) return this.stop({ kind: 'timeout' });
    for (const { name, state } of this.state.targets.values())
      if (state === 'running') this.sendDeadline(name);
  }

  /** Lets nobody go any more. What runs goes on to its end. */
  halt(reason: string): void {
    this.apply({ kind: 'halt', reason });
    for (const { name, state } of this.state.targets.values()) if (isFinal(state)) this.answers.close(name);
  }

  /** Takes a stream that claims to be the answer of the node `claimed`. */
  answer(stream: ByteStream, early: Uint8Array, claimed: string): void {
    if (this.state.phase === 'ended') return stream.destroy();
    this.answers.take(stream, early, claimed);
  }

  private holdingFor(options: RunSessionOptions): Holding | undefined {
    const { rollout, confirm, explainOnly, now } = options;
    if (explainOnly === true || (rollout === undefined && confirm === undefined)) return undefined;
    return new Holding(
      { rollout, confirm, now, run: () => this.state },
      {
        batchBegins: () => {
          if (!hasBatches(rollout)) return;
          this.isDeadlineMoved = false;
          this.setDeadline(Math.round(now() - this.state.startedAt) + options.timeoutMs);
        },
        release: (node) => void this.turns.run(() => this.release(node)),
        halt: (reason) => this.halt(reason),
        asking: (isAsking) => this.pause(isAsking),
        phase: (phase) => {
          if (rollout !== undefined) options.onPhase?.(phase);
        },
      },
    );
  }

  /** What a node says, in the words of the run model. False: the reader is slow. */
  private frame(node: string, frame: NodeFrame, isFirstSeen: boolean): boolean {
    switch (frame.kind) {
      case 'accepted': {
        const { rule, program, sandbox, readOnly, timeoutMs: limitMs } = frame;
        this.apply({
          kind: 'accepted',
          node,
          rule,
          program,
          sandbox,
          firstSeen: isFirstSeen,
          readOnly,
          limitMs,
        });
        this.accepted(node);
        return true;
      }
      case 'stdout':
      case 'stderr':
        return this.apply({ kind: 'output', node, stream: frame.kind, bytes: frame.data.length }, frame.data);
      case 'denied': {
        const { rule, code, reason } = frame;
        this.apply({ kind: 'denied', node, rule, code, reason });
        break;
      }
      case 'failed':
        this.apply({ kind: 'failed', node, reason: frame.reason, hint: frame.hint });
        break;
      case 'end': {
        const { code, signal, cause, limit, durationMs, stdoutBytes, stderrBytes } = frame;
        const auditProblem = this.options.onSignedEnd?.(node, this.answers.keyOf(node), frame) ?? '';
        const facts = { code, signal, cause, durationMs, stdoutBytes, stderrBytes };
        this.apply({
          kind: 'ended',
          node,
          ...facts,
          ...(limit === undefined ? {} : { limit }),
          ...(auditProblem === '' ? {} : { auditProblem }),
        });
        break;
      }
    }
    this.answers.close(node);
    return true;
  }

  /** Nothing runs before "go": what the operator no longer wants, or was told is over, ends here. */
  private accepted(node: string): void {
    const state = this.state.targets.get(node)?.state;
    // It may have been let go already.
    if (state === 'running') return;
    if (state !== 'accepted' || this.state.phase !== 'running') {
      this.answers.close(node);
      if (state === 'accepted') this.apply({ kind: 'disconnected', node });
      return;
    }
    if (this.options.explainOnly === true) {
      this.apply({ kind: 'allowed', node });
      return this.answers.close(node);
    }
    if (this.holding === undefined || this.holding.isOpen) return this.release(node);
    this.answers.send(node, { kind: 'hold' });
    this.holdTimer ??= setInterval(() => this.holdOn(), HOLD_EVERY_MS);
  }

  private release(node: string): void {
    // Whoever hears of the events may have stopped the run at the one before.
    if (this.state.phase !== 'running' || this.state.targets.get(node)?.state !== 'accepted') return;
    this.answers.send(node, { kind: 'go' });
    this.apply({ kind: 'started', node });
    if (this.isDeadlineMoved) this.sendDeadline(node);
  }

  private holdOn(): void {
    for (const { name, state } of this.state.targets.values()) {
      if (state === 'accepted') this.turns.run(() => this.answers.send(name, { kind: 'hold' }));
    }
  }

  private untrusted(node: string, reason: string): void {
    const wasHeld = this.state.targets.get(node)?.state === 'accepted';
    this.apply({ kind: 'untrusted', node, reason });
    if (wasHeld) this.answers.close(node);
  }

  private setDeadline(timeoutMs: Millis): void {
    this.apply({ kind: 'deadline', timeoutMs });
    this.armTimer();
  }

  /** Tells a node how long its command may take, counted from its start. */
  private sendDeadline(node: string): void {
    const { targets, startedAt, timeoutMs } = this.state;
    const begunAt = targets.get(node)?.startedAt;
    if (begunAt === undefined || this.isOverdue()) return;
    const leftMs = Math.round(startedAt + timeoutMs - begunAt);
    const allowedMs = Math.min(Math.max(1, leftMs), DEADLINE_MS_MAX);
    this.answers.send(node, { kind: 'deadline', timeoutMs: allowedMs });
  }

  private isOverdue(): boolean {
    return this.state.startedAt + this.state.timeoutMs <= this.options.now();
  }

  private armTimer(): void {
    clearTimeout(this.timer);
    if (this.pausedAt !== undefined || this.state.phase !== 'running') return;
    const { startedAt, timeoutMs } = this.state;
    const slackMs = hasBatches(this.options.rollout) ? BATCH_SLACK_MS : 0;
    const leftMs = startedAt + timeoutMs + slackMs - this.options.now();
    this.timer = setTimeout(
      () => this.stop({ kind: 'timeout' }),
      Math.min(Math.max(0, leftMs), TIMER_MS_MAX),
    );
  }

  private pause(isPaused: boolean): void {
    const now = this.options.now();
    const waitedMs = this.pausedAt === undefined ? 0 : now - this.pausedAt;
    this.pausedAt = isPaused ? now : undefined;
    if (isPaused) clearTimeout(this.timer);
    else this.setDeadline(Math.round(this.state.timeoutMs + waitedMs));
  }

  private stop(event: RunEvent): void {
    if (this.graceTimer !== undefined) return;
    clearTimeout(this.timer);
    this.apply(event);
    if (this.state.phase === 'ended') return;
    this.graceTimer = setTimeout(() => this.apply({ kind: 'grace-over' }), GRACE_MS);
    this.answers.cancelAll();
  }

  private apply(event: RunEvent, data?: Uint8Array): boolean {
    if (this.state.phase === 'ended') return true;
    this.state = reduceRun(this.state, event, this.options.now());
    const isReady = this.options.onEvent(this.state, event, data);
    if (this.state.phase === 'ended') this.end();
    else this.holding?.heard(event.kind);
    return isReady;
  }

  private end(): void {
    for (const timer of [this.timer, this.graceTimer, ...this.cancelTimers.values()]) clearTimeout(timer);
    clearInterval(this.holdTimer);
    this.holding?.step();
    this.holding?.stop();
    this.answers.closeAll();
    this.finish(this.state);
  }
}

function hasBatches(plan: RolloutPlan | undefined): boolean {
  return plan !== undefined && (plan.batch !== undefined || plan.canary > 0);
}
