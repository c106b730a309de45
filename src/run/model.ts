import { unreachable } from '../lib/assert.ts';
import type { Millis } from '../lib/time.ts';
import { overrunReason } from './overrun.ts';

/** Where a target stands. All but the first four are final, and every target ends in exactly one of those. */
export type TargetState =
  | 'pending'
  | 'acked'
  | 'accepted'
  | 'running'
  | 'exited'
  | 'allowed'
  | 'denied'
  | 'failed'
  | 'timed-out'
  | 'cancelled'
  | 'lost'
  | 'unreachable'
  | 'untrusted';

export const FINAL_STATES = [
  'exited',
  'allowed',
  'denied',
  'failed',
  'timed-out',
  'cancelled',
  'lost',
  'unreachable',
  'untrusted',
] as const satisfies readonly TargetState[];

export type FinalState = (typeof FINAL_STATES)[number];
type EndCause = 'exit' | 'timeout' | 'output-limit' | 'cpu-limit' | 'memory-limit' | 'cancelled';

/** What is known of one target. `code` and `signal` are the command's; `durationMs` is the node's own measure. */
export interface Target {
  readonly name: string;
  readonly state: TargetState;
  readonly rule: string;
  readonly reason: string;
  readonly hint: string;
  readonly code: number | null;
  readonly signal: string | null;
  readonly cause: EndCause | undefined;
  readonly stdoutBytes: number;
  readonly stderrBytes: number;
  readonly startedAt: Millis | undefined;
  readonly endedAt: Millis | undefined;
  readonly durationMs: number | undefined;
  /** Its key was seen for the first time in this run. */
  readonly firstSeen: boolean;
  /** It was not there when the run began. */
  readonly late: boolean;
  /** Whether the rule that allows it says that it changes nothing; undefined before the node has answered. */
  readonly readOnly: boolean | undefined;
  /** How long the node lets it run, from its policy. */
  readonly limitMs: Millis | undefined;
  /** The operator has stopped this one, and the node has not confirmed yet. */
  readonly cancelling: boolean;
  /** What is wrong with the audit log of the node, '' when nothing is known to be. */
  readonly auditProblem: string;
}

export interface RunState {
  /** In the order in which they were given. The map is shared between states: see `reduceRun`. */
  readonly targets: ReadonlyMap<string, Target>;
  readonly startedAt: Millis;
  readonly timeoutMs: Millis;
  readonly phase: 'running' | 'stopping' | 'ended';
  readonly interrupted: boolean;
  /** Why nothing more was started, '' when nothing was held back. */
  readonly halted: string;
  /** Targets that are not final. */
  readonly open: number;
}

const NEVER_BEGAN = 'stopped before it began';
const AUDIT_HINT = 'If that log was replaced on purpose: fanout audit accept NODE';
const UNCONFIRMED = 'the kill was not confirmed: it may still run';

type MemberStatus = 'none' | 'alive' | 'leaving' | 'left' | 'failed';

export type RunEvent =
  | { readonly kind: 'acked'; readonly node: string }
  | {
      readonly kind: 'accepted';
      readonly node: string;
      readonly rule: string;
      readonly program: string;
      readonly sandbox: string;
      readonly firstSeen: boolean;
      readonly readOnly: boolean;
      /** The node's own limit for the command. */
      readonly limitMs: Millis;
    }
  | { readonly kind: 'started'; readonly node: string }
  /** It was only asked whether it would run the command, and it would. */
  | { readonly kind: 'allowed'; readonly node: string }
  | {
      readonly kind: 'output';
      readonly node: string;
      readonly stream: 'stdout' | 'stderr';
      readonly bytes: number;
    }
  | {
      readonly kind: 'ended';
      readonly node: string;
      readonly code: number | null;
      readonly signal: string | null;
      readonly cause: EndCause;
      /** Of a cause that names a limit: bytes, or milliseconds of the processor. */
      readonly limit?: number;
      readonly durationMs: number;
      readonly stdoutBytes: number;
      readonly stderrBytes: number;
      readonly auditProblem?: string | undefined;
    }
  | {
      readonly kind: 'denied';
      readonly node: string;
      readonly code: string;
      readonly rule: string;
      readonly reason: string;
    }
  | { readonly kind: 'failed'; readonly node: string; readonly reason: string; readonly hint: string }
  | { readonly kind: 'untrusted'; readonly node: string; readonly reason: string }
  /** Its stream broke before the end. */
  | { readonly kind: 'disconnected'; readonly node: string }
  | { readonly kind: 'member'; readonly node: string; readonly status: MemberStatus }
  /** A member that matched came after the run had begun, and answers. */
  | { readonly kind: 'joined-late'; readonly node: string }
  | { readonly kind: 'interrupt' }
  /** The operator stops one target. */
  | { readonly kind: 'cancel'; readonly node: string }
  /** The wait for the confirmation of that is over. */
  | { readonly kind: 'cancel-over'; readonly node: string }
  /** Nothing more is started: too many have failed, or the operator did not confirm. What runs goes on to its end. */
  | { readonly kind: 'halt'; readonly reason: string }
  /** The timeout of the run was moved; it counts from the start. */
  | { readonly kind: 'deadline'; readonly timeoutMs: Millis }
  | { readonly kind: 'timeout' }
  /** The wait for confirmations after a timeout or an interrupt is over. */
  | { readonly kind: 'grace-over' }
  | { readonly kind: 'agent-lost' };

/** A run over the given targets. Without any it is over at once. */
export function startRun(names: readonly string[], timeoutMs: Millis, now: Millis): RunState {
  const targets = new Map(names.map((name) => [name, newTarget(name, false)]));
  const phase = targets.size === 0 ? 'ended' : 'running';
  return { targets, startedAt: now, timeoutMs, phase, interrupted: false, halted: '', open: targets.size };
}

export function isFinal(state: TargetState): state is FinalState {
  return (FINAL_STATES as readonly TargetState[]).includes(state);
}

/**
 * The run after an event. Total: an event that does not fit, or comes too late, changes nothing, and a final target stays
 * as it is, unless a second machine answers in its name. Targets are immutable records, but the map that holds them is updated in place and passes from state to
 * state: a thousand nodes send a million output events, and a copy of the map for each would cost a thousand times more.
 */
export function reduceRun(state: RunState, event: RunEvent, now: Millis): RunState {
  if (state.phase === 'ended') return state;
  switch (event.kind) {
    case 'interrupt':
      return stopping({ ...state, interrupted: true }, now, 'cancelled', NEVER_BEGAN);
    case 'timeout':
      return stopping(state, now, 'unreachable', '');
    case 'grace-over':
      return state.phase === 'stopping' ? conclude(state, now) : state;
    case 'agent-lost':
      return endAll(
        state,
        now,
        'lost',
        'the connection to the local agent broke; what ran is killed with it',
      );
    case 'deadline':
      return state.phase === 'running' ? { ...state, timeoutMs: event.timeoutMs } : state;
    case 'halt':
      return halted(state, event.reason, now);
    case 'joined-late': {
      if (state.targets.has(event.node)) return state;
      return withTarget(state, newTarget(event.node, true), 1);
    }
    default: {
      const target = state.targets.get(event.node);
      if (target === undefined) return state;
      const wasFinal = isFinal(target.state);
      // Two machines under one name make doubtful also what the first of them has said.
      if (wasFinal && event.kind !== 'untrusted') return state;
      const next = reduceTarget(state, target, event, now);
      return next === target ? state : withTarget(state, next, isFinal(next.state) && !wasFinal ? -1 : 0);
    }
  }
}

type TargetEvent = Extract<RunEvent, { node: string }>;

function reduceTarget(run: RunState, target: Target, event: TargetEvent, now: Millis): Target {
  switch (event.kind) {
    case 'acked':
      return target.state === 'pending' ? { ...target, state: 'acked' } : target;
    case 'accepted':
      if (target.state !== 'pending' && target.state !== 'acked') return target;
      return {
        ...target,
        state: 'accepted',
        rule: event.rule,
        firstSeen: event.firstSeen,
        readOnly: event.readOnly,
        limitMs: event.limitMs,
      };
    case 'started':
      return target.state === 'accepted' ? { ...target, state: 'running', startedAt: now } : target;
    case 'allowed':
      return target.state === 'accepted' ? final(target, now, 'allowed', '') : target;
    case 'output': {
      const key = event.stream === 'stdout' ? 'stdoutBytes' : 'stderrBytes';
      return { ...target, [key]: target[key] + event.bytes };
    }
    case 'ended':
      return ended(run, target, event, now);
    case 'denied':
      return final(target, now, 'denied', event.reason, { rule: event.rule });
    case 'failed':
      return final(target, now, 'failed', event.reason, { hint: event.hint });
    case 'untrusted':
      return final(target, now, 'untrusted', event.reason);
    case 'cancel':
      // Only what was accepted has anything to stop, and a node to confirm it.
      if (target.state !== 'pending' && target.state !== 'acked') return { ...target, cancelling: true };
      return final(target, now, 'cancelled', NEVER_BEGAN);
    case 'cancel-over':
      return target.cancelling ? stopped(run, target, now) : target;
    case 'disconnected':
      if (target.state === 'accepted' && (run.phase === 'stopping' || target.cancelling)) {
        return stopped(run, target, now);
      }
      return final(target, now, 'lost', 'its connection broke before the answer was complete');
    case 'member':
      return memberChanged(target, event.status, now);
    case 'joined-late':
      return target;
    default:
      return unreachable(event);
  }
}

function ended(
  run: RunState,
  target: Target,
  event: Extract<RunEvent, { kind: 'ended' }>,
  now: Millis,
): Target {
  const { code, signal, cause, durationMs, stdoutBytes, stderrBytes, auditProblem = '' } = event;
  const hint = auditProblem === '' ? target.hint : AUDIT_HINT;
  const facts = { code, signal, cause, durationMs, stdoutBytes, stderrBytes, auditProblem, hint };
  if (cause === 'timeout') {
    return final(target, now, 'timed-out', `killed by the node after ${Math.round(durationMs)} ms`, facts);
  }
  if (cause === 'cancelled') {
    if (target.cancelling) return final(target, now, 'cancelled', 'killed', facts);
    // Nobody here asked for it: the agent there was stopped.
    if (run.phase === 'running') return final(target, now, 'cancelled', 'killed by its own node', facts);
    return final(target, now, run.interrupted ? 'cancelled' : 'timed-out', 'killed', facts);
  }
  const overrun = overrunReason(event);
  return final(target, now, 'exited', overrun === '' ? auditProblem : overrun, facts);
}

/** A member that fails or leaves ends a target only while no sealed stream says otherwise: gossip can be wrong about it. */
function memberChanged(target: Target, status: MemberStatus, now: Millis): Target {
  if (target.state !== 'pending' && target.state !== 'acked') return target;
  if (status === 'failed') return final(target, now, 'lost', 'the member failed before it answered');
  if (status === 'left') return final(target, now, 'lost', 'the member left before it answered');
  return target;
}

/** At the timeout or an interrupt: who has nothing to kill is done, the others get a moment to confirm that they killed. */
function stopping(state: RunState, now: Millis, idle: 'cancelled' | 'unreachable', reason: string): RunState {
  let next: RunState = { ...state, phase: 'stopping' };
  for (const target of [...state.targets.values()]) {
    if (target.state !== 'pending' && target.state !== 'acked') continue;
    next = withTarget(next, final(target, now, idle, reason === '' ? silence(target) : reason), -1);
  }
  return next;
}

function silence(target: Target): string {
  if (target.state === 'pending') return 'it never acknowledged the command';
  return 'it acknowledged, but its agent gave no answer: no fanout agent, an unknown key, or it cannot reach us';
}

/** Whoever has still not confirmed is reported so: what ran there may be alive. */
function conclude(state: RunState, now: Millis): RunState {
  let next = state;
  for (const target of [...state.targets.values()]) {
    if (!isFinal(target.state)) next = withTarget(next, stopped(state, target, now), -1);
  }
  return next;
}

function stopped(state: RunState, target: Target, now: Millis): Target {
  const reason = target.state === 'running' ? UNCONFIRMED : NEVER_BEGAN;
  const wasAsked = state.interrupted || target.cancelling;
  return final(target, now, wasAsked ? 'cancelled' : 'timed-out', reason);
}

/** Ends what has not begun. The nodes that were held back learn it from their closed streams. */
function halted(state: RunState, reason: string, now: Millis): RunState {
  let next = state;
  for (const target of [...state.targets.values()]) {
    if (isFinal(target.state) || target.state === 'running') continue;
    next = { ...next, halted: reason };
    next = withTarget(next, final(target, now, 'cancelled', `not started: ${reason}`), -1);
  }
  return next;
}

function endAll(state: RunState, now: Millis, as: FinalState, reason: string): RunState {
  let next = state;
  for (const target of [...state.targets.values()]) {
    if (!isFinal(target.state)) next = withTarget(next, final(target, now, as, reason), -1);
  }
  return next;
}

function final(
  target: Target,
  now: Millis,
  state: FinalState,
  reason: string,
  facts: Partial<Target> = {},
): Target {
  return { ...target, ...facts, state, reason, cancelling: false, endedAt: now };
}

/** Puts a target in its place and keeps the books: the run is over when the last one is final. */
function withTarget(state: RunState, target: Target, openDelta: number): RunState {
  (state.targets as Map<string, Target>).set(target.name, target);
  if (openDelta === 0) return state;
  const open = state.open + openDelta;
  return { ...state, open, phase: open === 0 ? 'ended' : state.phase };
}

function newTarget(name: string, late: boolean): Target {
  return {
    name,
    state: 'pending',
    rule: '',
    reason: '',
    hint: '',
    code: null,
    signal: null,
    cause: undefined,
    stdoutBytes: 0,
    stderrBytes: 0,
    startedAt: undefined,
    endedAt: undefined,
    durationMs: undefined,
    firstSeen: false,
    late,
    readOnly: undefined,
    limitMs: undefined,
    cancelling: false,
    auditProblem: '',
  };
}

/** What the command line exits with. When several apply: 130, then 7, 6, 4, 5, 1. */
export function exitCode(state: RunState): number {
  if (state.interrupted) return 130;
  if (state.targets.size === 0) return 3;
  let code = 0;
  const worse = (candidate: number): void => {
    const order = [0, 1, 5, 4, 6, 7];
    if (order.indexOf(candidate) > order.indexOf(code)) code = candidate;
  };
  if (state.halted !== '') worse(6);
  for (const target of state.targets.values()) worse(codeOf(target));
  return code;
}

function codeOf(target: Target): number {
  if (target.auditProblem !== '') return 7;
  switch (target.state) {
    case 'exited':
      return target.code === 0 && target.cause === 'exit' ? 0 : 1;
    case 'allowed':
      return 0;
    case 'denied':
      return 5;
    case 'untrusted':
      return 7;
    default:
      return 4;
  }
}
