import type { Target } from './model.ts';
import { OUTCOMES, type Outcome, outcomeOf } from './outcome.ts';

/** Targets that ended alike: the same outcome, exit code and output, or the same reason. */
export interface Group {
  readonly key: string;
  readonly outcome: Outcome;
  readonly code: number | null;
  readonly signal: string | null;
  readonly reason: string;
  /** In the order of the targets. */
  readonly names: readonly string[];
  /** Output of one of them, in bytes. */
  readonly bytes: number;
}

/**
 * Folds targets that ended alike. `digestOf` gives a text that is the same exactly where the output is. As clush: outputs
 * are only the same when the exit code is too.
 */
export function groupsOf(targets: readonly Target[], digestOf: (node: string) => string): Group[] {
  const groups = new Map<string, { group: Omit<Group, 'names'>; names: string[] }>();
  for (const target of targets) {
    const outcome = outcomeOf(target);
    const { code, signal, name } = target;
    // Reasons name the node's own numbers, such as how long it ran; the rule is what a group has in common.
    const reason = outcome === 'denied' && target.rule !== '' ? `rule "${target.rule}"` : target.reason;
    const why = outcome === 'timed-out' ? '' : reason;
    const key = JSON.stringify([outcome, code, signal, why, digestOf(name)]);
    const known = groups.get(key);
    if (known !== undefined) {
      known.names.push(name);
      continue;
    }
    const bytes = target.stdoutBytes + target.stderrBytes;
    groups.set(key, { group: { key, outcome, code, signal, reason, bytes }, names: [name] });
  }
  return [...groups.values()].map(({ group, names }) => ({ ...group, names }));
}

function rank(group: Group): number {
  return OUTCOMES.indexOf(group.outcome);
}

/** For screens: the worst first, and of equally bad ones the rarest. */
export function outliersFirst(groups: readonly Group[]): Group[] {
  return [...groups].sort((a, b) => rank(a) - rank(b) || a.names.length - b.names.length);
}

/** For plain text, which scrolls: the largest first, failures last so that they stay in sight. */
export function largestFirst(groups: readonly Group[]): Group[] {
  return [...groups].sort((a, b) => rank(b) - rank(a) || b.names.length - a.names.length);
}

/** The group that others are compared with, by clush's rule: the lowest exit code, then the largest, then the first. */
export function referenceGroup(groups: readonly Group[]): Group | undefined {
  const ran = groups.filter(({ code }) => code !== null);
  return [...ran].sort((a, b) => (a.code ?? 0) - (b.code ?? 0) || b.names.length - a.names.length)[0];
}
