import { openAsker } from '../asker/launch.ts';
import { type PlanGroup, type PlanVerdict, planRun, type RunPlan } from '../asker/plan.ts';
import { selectorFrom, targetsOf } from '../asker/select.ts';
import { safeJson, sanitiseText } from '../lib/sanitise.ts';
import { argvOf, timeoutOf } from './command-words.ts';
import { formatTable } from './table.ts';

export interface PlanOptions {
  readonly tag?: readonly string[];
  readonly node?: readonly string[];
  readonly identity?: string;
  /** Of the run that is planned. */
  readonly timeout: string;
  readonly format: 'text' | 'json';
  readonly rpcAddr?: string;
}

/**
 * `fanout plan "command"` and `--dry-run`: what every matching member would do, and nothing runs. Returns the exit code:
 * 0 when all would run it, else as that of a run.
 */
export async function plan(request: {
  words: readonly string[];
  rest: readonly string[] | undefined;
  options: PlanOptions;
}): Promise<number> {
  const { options } = request;
  const argv = argvOf(request.words, request.rest);
  const timeoutMs = timeoutOf(options.timeout);
  const selector = selectorFrom(options);
  const asker = await openAsker(options);
  try {
    const targets = targetsOf(selector, await asker.client.members());
    const planning = planRun(asker, { argv, selector, targets, timeoutMs });
    const restore = abortOnSignals(() => planning.abort());
    const result = await planning.plan.finally(restore);
    if (result === undefined) return 130;
    process.stdout.write(options.format === 'json' ? planJson(argv, result) : `${planText(result)}\n`);
    return result.exitCode;
  } finally {
    asker.client.close();
  }
}

const VERDICTS: Readonly<Record<PlanVerdict, string>> = {
  untrusted: 'NOT TRUSTED',
  failed: 'could not start it',
  silent: 'no answer',
  denied: 'denied',
  allowed: 'allowed',
};

/** A table with a row for each group, the worst first, and a line that counts. Fit for a terminal. */
export function planText({ groups, targets, counts }: RunPlan): string {
  const rows = groups.map((group) => [
    String(group.names.length),
    VERDICTS[group.verdict],
    namesText(group.names),
    whyText(group),
  ]);
  const table = formatTable([['COUNT', 'VERDICT', 'NODES', 'WHY'], ...rows]);
  const changing = targets.filter(({ verdict, readOnly }) => verdict === 'allowed' && readOnly === false);
  const would = `${counts.allowed} of ${targets.length} would run it`;
  const effect = changing.length === 0 ? '' : `, on ${changing.length} it may change something`;
  return `${table}\n${would}${effect}`;
}

function whyText({ verdict, rule, reason, readOnly }: PlanGroup): string {
  const by = rule === '' ? '' : `rule "${sanitiseText(rule)}"`;
  const effect = verdict !== 'allowed' ? '' : readOnly === true ? 'read-only' : 'may change something';
  return [by, effect, sanitiseText(reason)].filter((part) => part !== '').join(': ');
}

/** How names are written that belong together. */
function namesText(names: readonly string[]): string {
  return names.map(sanitiseText).join(',');
}

function planJson(argv: readonly string[], { targets, groups, counts, exitCode }: RunPlan): string {
  return `${safeJson({ argv, exit: exitCode, counts, groups, nodes: targets })}\n`;
}

function abortOnSignals(abort: () => void): () => void {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.once(signal, abort);
  return () => {
    for (const signal of signals) process.off(signal, abort);
  };
}
