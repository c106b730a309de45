import type { Millis } from '../lib/time.ts';
import type { Selector } from '../policy/selector.ts';
import type { RunState, Target } from '../run/model.ts';
import { type Asker, launch, newRunId } from './launch.ts';

/** How long the nodes have to say what they would do. */
const PLAN_TIMEOUT_MS: Millis = 5000;

export const VERDICTS = ['untrusted', 'denied', 'failed', 'silent', 'allowed'] as const;
export type PlanVerdict = (typeof VERDICTS)[number];

/** Nodes that say the same. */
export interface PlanGroup {
  readonly verdict: PlanVerdict;
  readonly rule: string;
  readonly reason: string;
  /** The rule says that it changes nothing. */
  readonly readOnly: boolean;
  /** How long its policy lets it run there; undefined when it does not. */
  readonly limitMs: Millis | undefined;
  readonly names: readonly string[];
}

export interface Plan {
  /** The worst first. */
  readonly result: Promise<readonly PlanGroup[]>;
  /** Nobody wants to know any more. */
  readonly abort: () => void;
}

/** Asks each target what it would do with a command. Nothing runs. Throws FanoutError when it could not be asked. */
export async function planRun(
  asker: Asker,
  request: { argv: readonly string[]; selector: Selector; targets: readonly string[] },
): Promise<Plan> {
  const onEvent = (): boolean => true;
  const asked = { id: newRunId(), timeoutMs: PLAN_TIMEOUT_MS, explainOnly: true, onEvent };
  const run = await launch(asker, { ...request, ...asked });
  return { result: run.ended.then(planGroups), abort: () => run.session.interrupt() };
}

/** What the targets of a run that only asked have said, alike ones together. */
export function planGroups(run: RunState): readonly PlanGroup[] {
  const groups = new Map<string, PlanGroup & { names: string[] }>();
  for (const target of run.targets.values()) {
    const group = groupOf(target);
    const key = JSON.stringify(group);
    const known = groups.get(key);
    if (known === undefined) groups.set(key, { ...group, names: [target.name] });
    else known.names.push(target.name);
  }
  const rank = ({ verdict }: PlanGroup): number => VERDICTS.indexOf(verdict);
  return [...groups.values()].sort((a, b) => rank(a) - rank(b) || a.names.length - b.names.length);
}

function groupOf(target: Target): Omit<PlanGroup, 'names'> {
  const { rule, reason, limitMs } = target;
  const readOnly = target.readOnly === true;
  switch (target.state) {
    case 'allowed':
      return { verdict: 'allowed', rule, reason: '', readOnly, limitMs };
    case 'denied':
      return { verdict: 'denied', rule, reason, readOnly: false, limitMs: undefined };
    case 'failed':
      return { verdict: 'failed', rule: '', reason, readOnly: false, limitMs: undefined };
    case 'untrusted':
      return { verdict: 'untrusted', rule: '', reason, readOnly: false, limitMs: undefined };
    default:
      return { verdict: 'silent', rule: '', reason, readOnly: false, limitMs: undefined };
  }
}
