import type { Millis } from '../lib/time.ts';
import type { Selector } from '../policy/selector.ts';
import { exitCode, type RunEvent, type RunState, type Target } from '../run/model.ts';
import { type Asker, type LaunchedRun, launch } from './launch.ts';

/** How long the nodes have to say what they would do. */
const WAIT_MS: Millis = 5000;

/** What a node would do, from the worst: `failed` cannot start it, `silent` gave no answer. */
const PLAN_VERDICTS = ['untrusted', 'failed', 'silent', 'denied', 'allowed'] as const;
export type PlanVerdict = (typeof PLAN_VERDICTS)[number];

/** What one node would do. Texts are the node's own and not fit for a terminal yet. */
export interface PlanTarget {
  readonly name: string;
  readonly verdict: PlanVerdict;
  /** The rule that decides, '' when none does. */
  readonly rule: string;
  readonly reason: string;
  readonly hint: string;
  /** The rest is known of those that allow it. */
  readonly readOnly: boolean | undefined;
  /** The program's real path there. */
  readonly program: string;
  readonly sandbox: string;
  /** How long it may take there. */
  readonly limitMs: Millis | undefined;
}

/** Nodes that would do the same for the same reason. */
export interface PlanGroup {
  readonly verdict: PlanVerdict;
  readonly rule: string;
  readonly reason: string;
  readonly readOnly: boolean | undefined;
  readonly names: readonly string[];
}

export interface RunPlan {
  /** In the order of the targets. */
  readonly targets: readonly PlanTarget[];
  /** The worst first, then the larger. */
  readonly groups: readonly PlanGroup[];
  readonly counts: Readonly<Record<PlanVerdict, number>>;
  /** 0 everybody allows it, 5 somebody denies, 4 somebody is silent or could not start it, 7 somebody is not trusted, 3 nobody. */
  readonly exitCode: number;
}

export interface PlanRequest {
  readonly argv: readonly string[];
  readonly selector: Selector;
  readonly targets: readonly string[];
  /** Of the run that is planned: a node's limit is no longer than this. */
  readonly timeoutMs: Millis;
  /** As if the operator with this key id asked, and this one approved. */
  readonly explainAs?: Uint8Array | undefined;
  /** How long to wait for the answers: 5 s unless it is given. */
  readonly waitMs?: Millis | undefined;
}

/** A question under way. */
export interface Planning {
  /** Undefined when it was aborted. Rejects as `launch` does. */
  readonly plan: Promise<RunPlan | undefined>;
  /** Nobody wants to know any more. */
  abort(): void;
}

/** Asks the nodes what they would do with a command. Nothing runs. */
export function planRun(asker: Asker, request: PlanRequest): Planning {
  let isAborted = false;
  let run: LaunchedRun | undefined;
  const ask = async (): Promise<RunPlan | undefined> => {
    const programs = new Map<string, { program: string; sandbox: string }>();
    run = await launch(asker, {
      ...request,
      timeoutMs: request.waitMs ?? WAIT_MS,
      limitMs: request.timeoutMs,
      explainOnly: true,
      onEvent: (_state: RunState, event: RunEvent) => {
        if (event.kind === 'accepted') programs.set(event.node, event);
        return true;
      },
    });
    if (isAborted) run.session.interrupt();
    const state = await run.ended;
    return isAborted ? undefined : planOf(state, programs);
  };
  return {
    plan: ask(),
    abort: () => {
      isAborted = true;
      run?.session.interrupt();
    },
  };
}

function planOf(
  state: RunState,
  programs: ReadonlyMap<string, { program: string; sandbox: string }>,
): RunPlan {
  const targets = [...state.targets.values()].map((target): PlanTarget => {
    const { name, rule, reason, hint, readOnly, limitMs } = target;
    const { program = '', sandbox = '' } = programs.get(name) ?? {};
    return { name, verdict: verdictOf(target), rule, reason, hint, readOnly, program, sandbox, limitMs };
  });
  const counts = Object.fromEntries(PLAN_VERDICTS.map((verdict) => [verdict, 0])) as Record<
    PlanVerdict,
    number
  >;
  for (const { verdict } of targets) counts[verdict]++;
  return { targets, groups: groupTargets(targets), counts, exitCode: exitCode(state) };
}

function verdictOf({ state }: Target): PlanVerdict {
  if (state === 'allowed' || state === 'denied' || state === 'failed' || state === 'untrusted') return state;
  return 'silent';
}

/** The targets in groups: the worst first, then the larger, then in the order of the targets. */
export function groupTargets(targets: readonly PlanTarget[]): PlanGroup[] {
  const groups = new Map<string, PlanGroup & { names: string[] }>();
  for (const { name, verdict, rule, reason, readOnly } of targets) {
    const key = JSON.stringify([verdict, rule, reason, readOnly]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { verdict, rule, reason, readOnly, names: [name] });
    else group.names.push(name);
  }
  const rank = ({ verdict }: PlanGroup): number => PLAN_VERDICTS.indexOf(verdict);
  return [...groups.values()].sort((a, b) => rank(a) - rank(b) || b.names.length - a.names.length);
}
