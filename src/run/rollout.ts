import { earliest, type Millis, NEVER } from '../lib/time.ts';
import { isFinal, type RunState, type Target } from './model.ts';
import { isError } from './outcome.ts';

/** So many nodes, or such a share of all targets. */
export interface Amount {
  readonly value: number;
  readonly unit: 'nodes' | 'percent';
}

/** How a run goes over its targets. */
export interface RolloutPlan {
  /** Nodes in one batch; undefined: all in one. */
  readonly batch: Amount | undefined;
  /** Between the end of a batch and the start of the next. */
  readonly batchSleepMs: Millis;
  /** Nodes that go first, alone, and must not fail. 0: none. */
  readonly canary: number;
  /** More errors than this, and nothing more is started; undefined: whatever happens. */
  readonly maxErrors: Amount | undefined;
  /** Nodes that run at the same time; 0: no limit. */
  readonly window: number;
}

/** Where a rolling run stands, for people. Batches are counted from 1, the canary is batch 0. */
export interface RolloutPhase {
  readonly kind: 'gathering' | 'running' | 'sleeping' | 'done';
  readonly batch: number;
  readonly batches: number;
  readonly isCanary: boolean;
  /** While sleeping: when the next batch starts. */
  readonly until: Millis;
}

/** What is remembered between two steps. */
export interface Rollout {
  readonly plan: RolloutPlan;
  readonly kind: RolloutPhase['kind'];
  readonly batch: number;
  readonly until: Millis;
  /** Those of the current batch that were told to start, and the rest of it that waits for a free place. */
  readonly released: ReadonlySet<string>;
  readonly waiting: readonly string[];
}

export interface RolloutStep {
  readonly rollout: Rollout;
  /** Who may start now. */
  readonly release: readonly string[];
  /** Why nothing more may start. */
  readonly halt: string | undefined;
  readonly wakeAt: Millis;
  /** A batch has begun with this step: its time counts from now. */
  readonly hasBegun: boolean;
}

/** How long the first batch waits for the answers of those that have not said anything yet. */
const GATHER_MS: Millis = 2000;

/** Reads `5` or `10%`; undefined when it is neither. */
export function parseAmount(text: string): Amount | undefined {
  const match = /^(\d{1,6})(%?)$/.exec(text);
  if (match === null) return undefined;
  const value = Number(match[1]);
  if (match[2] === '') return { value, unit: 'nodes' };
  return value <= 100 ? { value, unit: 'percent' } : undefined;
}

export function startRollout(plan: RolloutPlan): Rollout {
  return { plan, kind: 'gathering', batch: 0, until: NEVER, released: new Set(), waiting: [] };
}

/** Whether a plan asks for anything but "all at once". */
export function isRolling(plan: RolloutPlan): boolean {
  return plan.batch !== undefined || plan.canary > 0 || plan.maxErrors !== undefined || plan.window > 0;
}

/**
 * Decides who may start now. To be called after every event of the run and at `wakeAt`. Before the first batch all
 * targets are heard, so that a run that too many would refuse stops before anything was done. A batch takes, in the order
 * of the targets, those that have accepted; who answers late comes into a later one.
 */
export function stepRollout(rollout: Rollout, run: RunState, now: Millis): RolloutStep {
  const halt = haltReason(rollout, run);
  if (halt !== undefined || rollout.kind === 'done') return step({ ...rollout, kind: 'done' }, { halt });
  if (rollout.kind === 'gathering') {
    const until = run.startedAt + GATHER_MS;
    if (now < until && [...run.targets.values()].some(isSilent)) return step(rollout, { wakeAt: until });
    return begin(rollout, run);
  }
  if (rollout.kind === 'sleeping') {
    return now < rollout.until ? step(rollout, { wakeAt: rollout.until }) : begin(rollout, run);
  }
  return goOn(rollout, run, now);
}

function step(
  rollout: Rollout,
  rest: { release?: readonly string[]; halt?: string | undefined; wakeAt?: Millis; hasBegun?: boolean },
): RolloutStep {
  const { release = [], halt, wakeAt = NEVER, hasBegun = false } = rest;
  return { rollout, release, halt, wakeAt: earliest(wakeAt), hasBegun };
}

function isSilent(target: Target): boolean {
  return target.state === 'pending' || target.state === 'acked';
}

function isHeld(target: Target): boolean {
  return target.state === 'accepted';
}

/** Within a batch: fills free places; after its last one, the pause and then the next. */
function goOn(rollout: Rollout, run: RunState, now: Millis): RolloutStep {
  const running = [...rollout.released].filter((name) => {
    const target = run.targets.get(name);
    return target !== undefined && !isFinal(target.state);
  }).length;
  const { plan } = rollout;
  const isOpen = plan.batch === undefined && !isCanaryBatch(rollout);
  // Without batches whoever accepts later belongs to the same one.
  const more = isOpen
    ? [...run.targets.values()]
        .filter((target) => isHeld(target) && !rollout.released.has(target.name))
        .map(({ name }) => name)
    : rollout.waiting;
  const waiting = more.filter((name) => run.targets.get(name)?.state === 'accepted');
  const free = plan.window === 0 ? waiting.length : Math.max(0, plan.window - running);
  const release = waiting.slice(0, free);
  const next = {
    ...rollout,
    released: release.length === 0 ? rollout.released : new Set([...rollout.released, ...release]),
    waiting: waiting.slice(release.length),
  };
  if (release.length > 0 || running > 0 || next.waiting.length > 0 || isOpen) return step(next, { release });
  if (plan.batchSleepMs === 0) return begin(next, run);
  // Nobody is left to sleep for.
  if (run.open === 0) return step({ ...next, kind: 'done' }, {});
  const until = now + plan.batchSleepMs;
  return step({ ...next, kind: 'sleeping', until }, { wakeAt: until });
}

function isCanaryBatch(rollout: Rollout): boolean {
  return rollout.batch === 0 && rollout.plan.canary > 0 && rollout.kind === 'running';
}

/** Starts the next batch with those that have accepted; when nobody has, the next event decides. */
function begin(rollout: Rollout, run: RunState): RolloutStep {
  const { plan } = rollout;
  const held = [...run.targets.values()].filter(isHeld).map(({ name }) => name);
  if (held.length === 0) return step({ ...rollout, kind: run.open === 0 ? 'done' : rollout.kind }, {});
  const isFirst = rollout.kind === 'gathering';
  const isCanary = isFirst && plan.canary > 0;
  const size = isCanary
    ? plan.canary
    : plan.batch === undefined
      ? held.length
      : countOf(plan.batch, run.targets.size);
  const members = held.slice(0, Math.max(1, size));
  const release = plan.window === 0 ? members : members.slice(0, plan.window);
  const next: Rollout = {
    ...rollout,
    kind: 'running',
    batch: isCanary ? 0 : rollout.batch + 1,
    until: NEVER,
    released: new Set(release),
    waiting: members.slice(release.length),
  };
  return step(next, { release, hasBegun: true });
}

function countOf(amount: Amount, all: number): number {
  return amount.unit === 'nodes' ? amount.value : Math.floor((all * amount.value) / 100);
}

function haltReason(rollout: Rollout, run: RunState): string | undefined {
  const { plan } = rollout;
  if (isCanaryBatch(rollout)) {
    for (const name of rollout.released) {
      const target = run.targets.get(name);
      if (target !== undefined && isError(target)) return `the canary ${name} failed`;
    }
  }
  if (plan.maxErrors === undefined) return undefined;
  const errors = [...run.targets.values()].filter(isError).length;
  if (errors <= countOf(plan.maxErrors, run.targets.size)) return undefined;
  const most = `${plan.maxErrors.value}${plan.maxErrors.unit === 'percent' ? '%' : ''}`;
  return `${errors} of ${run.targets.size} failed, and ${most} may`;
}

/** Where it stands, for people. */
export function rolloutPhase(rollout: Rollout, run: RunState): RolloutPhase {
  const { plan, kind, batch, until } = rollout;
  const rest = Math.max(0, run.targets.size - plan.canary);
  const batches =
    plan.batch === undefined ? 0 : Math.ceil(rest / Math.max(1, countOf(plan.batch, run.targets.size)));
  const upcoming = kind === 'sleeping' ? batch + 1 : batch;
  const isCanary = isCanaryBatch(rollout);
  return {
    kind,
    batch: upcoming,
    batches: Math.max(batches, plan.batch === undefined ? 0 : upcoming),
    isCanary,
    until,
  };
}
