import { type Millis, NEVER } from '../lib/time.ts';
import { isFinal, type RunState, type Target } from './model.ts';
import { isError, outcomeOf } from './outcome.ts';

/** How long a rollout waits for the answers of all targets. Then it begins with those that it has. */
const GATHER_MS: Millis = 2000;

/** So many targets, or so many in a hundred of all targets. */
export interface Amount {
  readonly value: number;
  readonly unit: 'nodes' | 'percent';
}

/** In which portions the nodes that accepted are let go. */
export interface RolloutPlan {
  /** Undefined: no batches. */
  readonly batch: Amount | undefined;
  /** The pause after the last of a batch has ended. */
  readonly batchSleepMs: Millis;
  /** How many go first, alone; none of them may fail. 0: no canary. */
  readonly canary: number;
  /** When more targets than this have failed, nothing more is started. Undefined: no limit. */
  readonly maxErrors: Amount | undefined;
  /** Most nodes that run at once. 0: no limit. */
  readonly window: number;
}

/** Where a rollout stands, for people. */
export interface RolloutPhase {
  /** `gathering`: waits for answers; `sleeping`: between two batches; `done`: nothing more will be let go. */
  readonly kind: 'gathering' | 'running' | 'sleeping' | 'done';
  /** The batch that runs or ran last, from 1; 0 before the first. */
  readonly batch: number;
  /** How many there will be if everybody who has not answered yet accepts. */
  readonly batches: number;
  readonly isCanary: boolean;
  /** When the phase ends by itself; NEVER when it hangs on the nodes. */
  readonly until: Millis;
}

/** A run that lets its nodes go in portions. Immutable. */
export interface Rollout {
  readonly plan: RolloutPlan;
  readonly isGathered: boolean;
  /** Batches that have begun, the canary counted in. */
  readonly begun: number;
  readonly batch: readonly string[];
  readonly released: ReadonlySet<string>;
  /** When the pause after the current batch is over; NEVER while the batch is under way. */
  readonly nextAt: Millis;
  readonly isHalted: boolean;
}

/** What to do now: whom to let go, and whether to halt the run and why. Call again at each change and at `wakeAt`. */
export interface RolloutStep {
  readonly rollout: Rollout;
  readonly release: string[];
  readonly halt: string | undefined;
  readonly phase: RolloutPhase;
  readonly wakeAt: Millis;
}

/** Reads `5` or `10%`; undefined when it is neither. */
export function parseAmount(text: string): Amount | undefined {
  const match = /^(\d{1,6})(%?)$/.exec(text);
  if (match === null) return undefined;
  const value = Number(match[1]);
  if (match[2] === '') return { value, unit: 'nodes' };
  return value <= 100 ? { value, unit: 'percent' } : undefined;
}

/** The rollout of a run before its first step. It lets nobody go by itself: call `stepRollout`. */
export function startRollout(plan: RolloutPlan): Rollout {
  const isGathered = plan.batch === undefined && plan.canary === 0 && plan.maxErrors === undefined;
  const released = new Set<string>();
  return { plan, isGathered, begun: 0, batch: [], released, nextAt: NEVER, isHalted: false };
}

/** Whether every target has given an answer, or has had its time for that. */
export function isGathered(run: RunState, now: Millis): boolean {
  if (now >= gatheredAt(run)) return true;
  for (const { state } of run.targets.values()) if (state === 'pending' || state === 'acked') return false;
  return true;
}

/** When the wait for answers is over at the latest. */
export function gatheredAt(run: RunState): Millis {
  return run.startedAt + GATHER_MS;
}

/**
 * Decides who goes next, in the order of the targets. A batch is picked from those that are held when it begins, and the
 * next begins once the last of it has ended and the pause is over; who answers late joins a later one.
 */
export function stepRollout(before: Rollout, run: RunState, now: Millis): RolloutStep {
  if (run.phase !== 'running' || before.isHalted) return settled(before, run, now);
  if (!before.isGathered && !isGathered(run, now)) return settled(before, run, now);
  const gathered = { ...before, isGathered: true };
  const halt = reasonToHalt(gathered, run);
  if (halt !== undefined) return settled({ ...gathered, isHalted: true }, run, now, { halt });
  const rollout = withBatch(gathered, run, now);
  const release = nextOf(rollout, run);
  const released = release.length === 0 ? rollout.released : new Set([...rollout.released, ...release]);
  return settled({ ...rollout, released }, run, now, { release });
}

function settled(
  rollout: Rollout,
  run: RunState,
  now: Millis,
  result: { release?: string[]; halt?: string } = {},
): RolloutStep {
  const phase = phaseOf(rollout, run, now);
  return { rollout, release: result.release ?? [], halt: result.halt, phase, wakeAt: phase.until };
}

/** The rollout with its next batch, when it is time for one. */
function withBatch(rollout: Rollout, run: RunState, now: Millis): Rollout {
  if (isOpenEnded(rollout)) return { ...rollout, batch: [...rollout.batch, ...held(rollout, run)] };
  if (rollout.batch.some((name) => isUnderWay(run, name))) return rollout;
  const pauseMs = rollout.begun === 0 ? 0 : rollout.plan.batchSleepMs;
  const nextAt = rollout.nextAt === NEVER ? now + pauseMs : rollout.nextAt;
  const batch = now < nextAt ? [] : held(rollout, run).slice(0, sizeOf(rollout.plan, rollout.begun, run));
  if (batch.length === 0) return { ...rollout, nextAt };
  return { ...rollout, batch, begun: rollout.begun + 1, nextAt: NEVER };
}

/** Whoever of the batch may go now. */
function nextOf(rollout: Rollout, run: RunState): string[] {
  const { window } = rollout.plan;
  let room = window === 0 ? NEVER : window;
  for (const name of rollout.released) if (isUnderWay(run, name)) room--;
  const waiting = rollout.batch.filter(
    (name) => !rollout.released.has(name) && isHeld(run.targets.get(name)),
  );
  return waiting.slice(0, Math.max(0, room));
}

/** Without a batch size, whoever accepts after the canary belongs to one last batch. */
function isOpenEnded({ plan, begun }: Rollout): boolean {
  return plan.batch === undefined && begun > (plan.canary > 0 ? 1 : 0);
}

function sizeOf(plan: RolloutPlan, index: number, run: RunState): number {
  if (index === 0 && plan.canary > 0) return plan.canary;
  if (plan.batch === undefined) return NEVER;
  const { value, unit } = plan.batch;
  return Math.max(1, unit === 'nodes' ? value : Math.floor((value * run.targets.size) / 100));
}

/** Those who accepted and were not in a batch yet. */
function held(rollout: Rollout, run: RunState): string[] {
  const batch = new Set(rollout.batch);
  const names: string[] = [];
  for (const target of run.targets.values()) {
    const { name } = target;
    if (isHeld(target) && !rollout.released.has(name) && !batch.has(name)) names.push(name);
  }
  return names;
}

function isHeld(target: Target | undefined): boolean {
  return target !== undefined && target.state === 'accepted' && !target.cancelling;
}

function isUnderWay(run: RunState, name: string): boolean {
  const target = run.targets.get(name);
  return target !== undefined && !isFinal(target.state);
}

function reasonToHalt(rollout: Rollout, run: RunState): string | undefined {
  const { plan, released } = rollout;
  let errors = 0;
  let waiting = 0;
  for (const target of run.targets.values()) {
    if (isError(target)) errors++;
    if (!isFinal(target.state) && !released.has(target.name)) waiting++;
  }
  // Nothing is held back any more, so there is nothing to halt.
  if (waiting === 0) return undefined;
  if (plan.canary > 0 && rollout.begun === 1) {
    for (const name of rollout.batch) {
      const target = run.targets.get(name);
      if (target === undefined || !isFinal(target.state) || outcomeOf(target) === 'ok') continue;
      // A canary that somebody stopped has proved nothing either.
      return `the canary ${name} ${target.state === 'cancelled' ? 'was stopped' : 'failed'}`;
    }
  }
  if (plan.maxErrors === undefined) return undefined;
  const { value, unit } = plan.maxErrors;
  const total = run.targets.size;
  if (unit === 'nodes' ? errors <= value : errors * 100 <= value * total) return undefined;
  return `${errors} of ${total} failed, more than --max-errors ${value}${unit === 'percent' ? '%' : ''}`;
}

function phaseOf(rollout: Rollout, run: RunState, now: Millis): RolloutPhase {
  const { begun, plan, released, nextAt } = rollout;
  const batch = new Set(rollout.batch);
  let waiting = 0;
  for (const { name, state } of run.targets.values()) {
    if (!isFinal(state) && !released.has(name) && !batch.has(name)) waiting++;
  }
  const phase = (kind: RolloutPhase['kind'], until: Millis): RolloutPhase => {
    const batches = begun + batchesFor(rollout, run, waiting);
    return { kind, batch: begun, batches, isCanary: plan.canary > 0 && begun === 1, until };
  };
  if (rollout.isHalted || run.phase !== 'running') return { ...phase('done', NEVER), batches: begun };
  if (!rollout.isGathered) return phase('gathering', gatheredAt(run));
  if (rollout.batch.some((name) => isUnderWay(run, name))) return phase('running', NEVER);
  if (waiting === 0) return phase('done', NEVER);
  if (now < nextAt && nextAt !== NEVER) return phase('sleeping', nextAt);
  return phase('gathering', NEVER);
}

/** How many more batches take in so many. */
function batchesFor(rollout: Rollout, run: RunState, waiting: number): number {
  const { plan, begun } = rollout;
  const canary = begun === 0 ? Math.min(plan.canary, waiting) : 0;
  const rest = waiting - canary;
  const size = sizeOf(plan, 1, run);
  const batches = rest === 0 || isOpenEnded(rollout) ? 0 : size === NEVER ? 1 : Math.ceil(rest / size);
  return batches + (canary > 0 ? 1 : 0);
}
