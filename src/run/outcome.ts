import type { RunState, Target } from './model.ts';

/**
 * Where a target stands, in the words of the screens and of `--from`: `failed` ran and did not return 0, `not-started`
 * could not be started, `silent` never gave an answer, `held` is accepted and waits for its turn, `allowed` would run it and was
 * only asked.
 */
export const OUTCOMES = [
  'untrusted',
  'failed',
  'not-started',
  'denied',
  'timed-out',
  'lost',
  'silent',
  'cancelled',
  'running',
  'held',
  'acked',
  'waiting',
  'allowed',
  'ok',
] as const;

export type Outcome = (typeof OUTCOMES)[number];

/** The outcome of one target. */
export function outcomeOf(target: Target): Outcome {
  switch (target.state) {
    case 'exited':
      return target.code === 0 && target.cause === 'exit' ? 'ok' : 'failed';
    case 'failed':
      return 'not-started';
    case 'unreachable':
      return 'silent';
    case 'pending':
      return 'waiting';
    case 'accepted':
      return 'held';
    default:
      return target.state;
  }
}

/** Whether a target is final without having returned 0. What the operator stopped is no error of the node. */
export function isError(target: Target): boolean {
  const rank = OUTCOMES.indexOf(outcomeOf(target));
  return rank < OUTCOMES.indexOf('cancelled');
}

/** How many targets have each outcome. */
export function countOutcomes(state: RunState): Record<Outcome, number> {
  const counts = Object.fromEntries(OUTCOMES.map((outcome) => [outcome, 0])) as Record<Outcome, number>;
  for (const target of state.targets.values()) counts[outcomeOf(target)]++;
  return counts;
}
