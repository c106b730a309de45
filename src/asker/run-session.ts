import type { KnownNodes } from '../identity/known-nodes.ts';
import { identityFingerprint } from '../identity/node-key.ts';
import { AskerChannel, type AskerEvent } from '../identity/sealed.ts';
import type { ByteStream } from '../lib/byte-stream.ts';
import { equalBytes } from '../lib/bytes.ts';
import { DecodeError, FanoutError } from '../lib/errors.ts';
import type { Millis } from '../lib/time.ts';
import { isFinal, type RunEvent, type RunState, reduceRun, startRun } from '../run/model.ts';
import type { RolloutPhase, RolloutPlan } from '../run/rollout.ts';
import { type Confirmation, needsGate, StartGate } from './start-gate.ts';

/** After the timeout or Ctrl-C, how long the nodes have to confirm that what they ran is dead. A node kills within 2 s. */
const GRACE_MS: Millis = 4000;
/** How often a node that waits for its turn hears that it is still wanted. It gives up after a minute. */
const HOLD_EVERY_MS: Millis = 20_000;
/** A frame carries the time in 32 bits, and no policy allows more than a day. */
const DEADLINE_MS_MAX: Millis = 2 ** 31 - 1;

export interface RunSessionOptions {
  readonly targets: readonly string[];
  readonly timeoutMs: Millis;
  readonly environment: string;
  readonly requestId: Uint8Array;
  readonly replySecret: Uint8Array;
  readonly knownNodes: KnownNodes;
  /** Whether a node that is no target may answer all the same: one that joined since, and is meant as well. */
  readonly mayJoin: (node: string) => boolean;
  readonly now: () => Millis;
  /** Only ask whether they would run it. */
  readonly explainOnly?: boolean;
  readonly rollout?: RolloutPlan | undefined;
  readonly confirm?: Confirmation | undefined;
  /** Every event of the run, after it was applied; `data` with output events. False: the reader is slow, hold the node back. */
  readonly onEvent: (state: RunState, event: RunEvent, data?: Uint8Array) => boolean;
  /** Calls back when the reader has caught up. */
  readonly onReaderReady: (listener: () => void) => void;
}

interface Answer {
  readonly stream: ByteStream;
  readonly channel: AskerChannel;
  /** Known once the greeting opened. Before that the stream is a claim that anybody with the cluster key can make. */
  node: string | undefined;
  ended: boolean;
}

/** One run as the command line drives it: sealed answers in, events of the run model out. */
export class RunSession {
  /** Resolves when every target has ended. */
  readonly ended: Promise<RunState>;
  private readonly options: RunSessionOptions;
  private readonly answers = new Set<Answer>();
  /** Who has greeted in this run, and with which key. */
  private readonly greeted = new Map<string, { identity: Uint8Array; answer: Answer }>();
  private state: RunState;
  private readonly gate: StartGate | undefined;
  private timer: NodeJS.Timeout | undefined;
  private readonly holdTimer: NodeJS.Timeout | undefined;
  private readonly nodeTimers = new Set<NodeJS.Timeout>();
  private hasMoved = false;
  private graceTimer: NodeJS.Timeout | undefined;
  private finish: (state: RunState) => void = () => {};

  constructor(options: RunSessionOptions) {
    this.options = options;
    this.state = startRun(options.targets, options.timeoutMs, options.now());
    this.ended = new Promise((resolve) => {
      this.finish = resolve;
    });
    this.armTimer();
    const { rollout, confirm, targets } = options;
    if (options.explainOnly !== true && needsGate(rollout, confirm, targets.length)) {
      this.gate = new StartGate({
        rollout,
        confirm,
        now: options.now,
        run: () => this.state,
        release: (names) => this.release(names),
        halt: (reason) => this.halt(reason),
        postpone: (byMs) => this.moveDeadline(this.state.timeoutMs + byMs),
        begun: () => this.moveDeadline(options.now() - this.state.startedAt + options.timeoutMs),
      });
      this.holdTimer = setInterval(() => this.holdAgain(), HOLD_EVERY_MS);
    }
    options.onReaderReady(() => {
      for (const answer of this.answers) answer.stream.resume();
    });
  }

  /** Applies an event that did not come through an answer: acks, member changes, a lost agent. */
  event(event: RunEvent): void {
    this.apply(event);
  }

  /** Ctrl-C: cancels what runs and waits a moment for the nodes to confirm. */
  interrupt(): void {
    this.stop({ kind: 'interrupt' });
  }

  /** Where a rolling run stands; undefined when everything starts at once. */
  get phase(): RolloutPhase | undefined {
    return this.options.rollout === undefined ? undefined : this.gate?.phase;
  }

  /** The run as it stands. */
  get current(): RunState {
    return this.state;
  }

  /** Whether the person is being asked. */
  get isAsking(): boolean {
    return this.gate?.isAsking === true;
  }

  /** Stops the command on one node; the others go on. */
  cancelNode(node: string): void {
    const target = this.state.targets.get(node);
    if (target === undefined || isFinal(target.state) || target.cancelling) return;
    this.apply({ kind: 'cancel', node });
    const answer = this.greeted.get(node)?.answer;
    if (answer === undefined || answer.ended) return;
    answer.stream.resume();
    answer.stream.write(answer.channel.seal({ kind: 'cancel' }));
    const timer = setTimeout(() => {
      this.nodeTimers.delete(timer);
      this.apply({ kind: 'cancel-over', node });
    }, GRACE_MS);
    this.nodeTimers.add(timer);
  }

  /**
   * Moves the end of the run; `timeoutMs` counts from its start. Each node gets to know how long its own command may run from
   * when it began, and goes no further than its policy.
   */
  moveDeadline(timeoutMs: Millis): void {
    if (this.state.phase !== 'running') return;
    this.hasMoved = true;
    this.apply({ kind: 'deadline', timeoutMs: Math.min(timeoutMs, DEADLINE_MS_MAX) });
    this.armTimer();
    for (const answer of this.answers) {
      const target = answer.node === undefined ? undefined : this.state.targets.get(answer.node);
      if (target?.state === 'running' && !target.cancelling && !answer.ended) this.sendDeadline(answer);
    }
  }

  /** Starts nothing more. What runs goes on to its end. */
  halt(reason: string): void {
    if (this.state.phase === 'ended') return;
    const held = [...this.answers].filter(
      ({ node }) => node !== undefined && this.stateOf(node) === 'accepted',
    );
    this.apply({ kind: 'halt', reason });
    for (const answer of held) this.drop(answer);
  }

  /** Takes a stream that claims to be a node's answer. */
  answer(stream: ByteStream, early: Uint8Array): void {
    if (this.state.phase === 'ended') return stream.destroy();
    const { requestId, replySecret } = this.options;
    const channel = new AskerChannel({ requestId, replySecret });
    const answer: Answer = { stream, channel, node: undefined, ended: false };
    this.answers.add(answer);
    stream.onClose(() => this.streamClosed(answer));
    if (early.length > 0) this.received(answer, early);
    stream.onData((chunk) => this.received(answer, chunk));
  }

  private received(answer: Answer, chunk: Uint8Array): void {
    if (answer.ended) return;
    try {
      for (const event of answer.channel.receive(chunk)) {
        this.frame(answer, event);
        if (answer.ended) return;
      }
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.damaged(answer, error);
    }
  }

  private frame(answer: Answer, frame: AskerEvent): void {
    if (frame.kind === 'hello') return this.greet(answer, frame.node, frame.identity);
    const { node } = answer;
    if (node === undefined) return;
    switch (frame.kind) {
      case 'accepted': {
        const { rule, program, sandbox, readOnly, timeoutMs: limitMs } = frame;
        const firstSeen = this.isFirstSeen(node);
        this.apply({ kind: 'accepted', node, rule, program, sandbox, firstSeen, readOnly, limitMs });
        // Nothing runs before our word: what the operator no longer wants, or was told is over, ends here.
        const isWanted = this.stateOf(node) === 'accepted' && this.state.phase === 'running';
        if (!isWanted) answer.stream.end();
        else if (this.options.explainOnly === true) this.conclude(answer, { kind: 'would-run', node });
        else if (this.gate === undefined) this.start(answer, node);
        else {
          answer.stream.write(answer.channel.seal({ kind: 'hold' }));
          this.gate.step();
        }
        return;
      }
      case 'denied':
        this.conclude(answer, {
          kind: 'denied',
          node,
          rule: frame.rule,
          code: frame.code,
          reason: frame.reason,
        });
        return;
      case 'failed':
        this.conclude(answer, { kind: 'failed', node, reason: frame.reason, hint: frame.hint });
        return;
      case 'stdout':
      case 'stderr': {
        const event: RunEvent = { kind: 'output', node, stream: frame.kind, bytes: frame.data.length };
        if (!this.apply(event, frame.data)) answer.stream.pause();
        return;
      }
      case 'end': {
        const { code, signal, cause, durationMs, stdoutBytes, stderrBytes } = frame;
        this.conclude(answer, {
          kind: 'ended',
          node,
          code,
          signal,
          cause,
          durationMs,
          stdoutBytes,
          stderrBytes,
        });
        return;
      }
    }
  }

  /** The greeting opened: the stream is from whoever holds this key. Is it the key that this node has always had? */
  private greet(answer: Answer, node: string, identity: Uint8Array): void {
    const before = this.greeted.get(node);
    if (before !== undefined && equalBytes(before.identity, identity)) return this.drop(answer);
    // The node that we have always known is answering: whoever comes after it with another key cannot take its place.
    if (before !== undefined && !this.isFirstSeen(node)) return this.drop(answer);
    const { knownNodes, environment } = this.options;
    if (!this.state.targets.has(node) && !this.options.mayJoin(node)) return this.drop(answer);
    const pin = knownNodes.check(environment, node, identity);
    answer.node = node;
    if (before !== undefined || typeof pin === 'object') {
      const expected = before === undefined && typeof pin === 'object' ? pin.changed : '';
      this.untrusted(answer, node, identity, expected);
      return;
    }
    if (!this.state.targets.has(node)) this.apply({ kind: 'joined-late', node });
    if (pin === 'new' && !this.remember(answer, node, identity)) return;
    this.greeted.set(node, { identity, answer });
  }

  /** False when the key of a new node cannot be kept: then nobody could tell the next time whether it is the same. */
  private remember(answer: Answer, node: string, identity: Uint8Array): boolean {
    this.firstSeen.add(node);
    try {
      this.options.knownNodes.remember(this.options.environment, node, identity);
      return true;
    } catch (error) {
      if (!(error instanceof FanoutError)) throw error;
      this.apply({ kind: 'untrusted', node, reason: error.message });
      this.drop(answer);
      return false;
    }
  }

  private readonly firstSeen = new Set<string>();

  private isFirstSeen(node: string): boolean {
    return this.firstSeen.has(node);
  }

  private untrusted(answer: Answer, node: string, identity: Uint8Array, expected: string): void {
    const shown = identityFingerprint(identity);
    const reason =
      expected === ''
        ? `two machines answer as "${node}" with different keys (the second is ${shown})`
        : `the key of "${node}" has changed: it was ${expected}, now it is ${shown}. Somebody may be impersonating it; if it was reinstalled, remove its line from known_nodes`;
    this.apply({ kind: 'untrusted', node, reason });
    this.drop(answer);
  }

  private damaged(answer: Answer, error: DecodeError): void {
    // Before the greeting opened, it may be anybody: what a stranger sends says nothing about the node.
    if (answer.node !== undefined) {
      this.apply({
        kind: 'untrusted',
        node: answer.node,
        reason: `its answer was damaged on the way: ${error.message}`,
      });
    }
    this.drop(answer);
  }

  private conclude(answer: Answer, event: RunEvent): void {
    answer.ended = true;
    this.apply(event);
    answer.stream.end();
  }

  private drop(answer: Answer): void {
    answer.ended = true;
    this.answers.delete(answer);
    answer.stream.destroy();
  }

  private streamClosed(answer: Answer): void {
    this.answers.delete(answer);
    if (answer.ended || answer.node === undefined) return;
    answer.ended = true;
    this.apply({ kind: 'disconnected', node: answer.node });
  }

  private stateOf(node: string): string | undefined {
    return this.state.targets.get(node)?.state;
  }

  private release(names: readonly string[]): void {
    for (const node of names) {
      const answer = this.greeted.get(node)?.answer;
      if (answer !== undefined && !answer.ended && this.stateOf(node) === 'accepted')
        this.start(answer, node);
    }
  }

  private start(answer: Answer, node: string): void {
    answer.stream.write(answer.channel.seal({ kind: 'go' }));
    this.apply({ kind: 'started', node });
    // A batch has its own time, which the node knows from the command itself.
    if (this.hasMoved && this.options.rollout?.batch === undefined) this.sendDeadline(answer);
  }

  private sendDeadline(answer: Answer): void {
    const { startedAt, timeoutMs, targets } = this.state;
    const begun = targets.get(answer.node ?? '')?.startedAt ?? startedAt;
    const allowed = Math.max(0, Math.min(Math.round(startedAt + timeoutMs - begun), DEADLINE_MS_MAX));
    answer.stream.write(answer.channel.seal({ kind: 'deadline', timeoutMs: allowed }));
  }

  private holdAgain(): void {
    for (const answer of this.answers) {
      if (answer.ended || answer.node === undefined || this.stateOf(answer.node) !== 'accepted') continue;
      answer.stream.write(answer.channel.seal({ kind: 'hold' }));
    }
  }

  private armTimer(): void {
    clearTimeout(this.timer);
    const { startedAt, timeoutMs } = this.state;
    const leftMs = startedAt + timeoutMs - this.options.now();
    this.timer = setTimeout(() => this.timedOut(), Math.max(0, Math.min(leftMs, DEADLINE_MS_MAX)));
  }

  private timedOut(): void {
    // While the person is asked the clock stands still; the answer moves the end.
    if (this.gate?.isAsking !== true) this.stop({ kind: 'timeout' });
  }

  private stop(event: RunEvent): void {
    if (this.graceTimer !== undefined) return;
    clearTimeout(this.timer);
    this.apply(event);
    if (this.state.phase === 'ended') return;
    this.graceTimer = setTimeout(() => this.apply({ kind: 'grace-over' }), GRACE_MS);
    for (const answer of this.answers) {
      if (answer.node === undefined || answer.ended) continue;
      answer.stream.resume();
      answer.stream.write(answer.channel.seal({ kind: 'cancel' }));
    }
  }

  private apply(event: RunEvent, data?: Uint8Array): boolean {
    if (this.state.phase === 'ended') return true;
    this.state = reduceRun(this.state, event, this.options.now());
    const isReady = this.options.onEvent(this.state, event, data);
    if (event.kind !== 'output' && this.state.phase === 'running') this.gate?.step();
    if (this.isOver()) {
      clearTimeout(this.timer);
      clearTimeout(this.graceTimer);
      clearInterval(this.holdTimer);
      for (const timer of this.nodeTimers) clearTimeout(timer);
      this.gate?.close();
      for (const answer of this.answers) answer.stream.end();
      this.finish(this.state);
    }
    return isReady;
  }

  /** Once: what a step of the gate has ended is not ended again by the event that caused the step. */
  private isOver(): boolean {
    if (this.state.phase !== 'ended' || this.hasFinished) return false;
    this.hasFinished = true;
    return true;
  }

  private hasFinished = false;
}
