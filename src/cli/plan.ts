import { openAsker } from '../asker/launch.ts';
import { type PlanGroup, type PlanVerdict, planRun, type RunPlan } from '../asker/plan.ts';
import { targetsOf } from '../asker/select.ts';
import { foldNames } from '../lib/node-set.ts';
import { safeJson, sanitiseText } from '../lib/sanitise.ts';
import { argvOf } from './command-words.ts';
import { personHere } from './passphrase-terminal.ts';
import { durationOf, type RunOptions, selectionOf } from './run-flags.ts';
import { formatTable } from './table.ts';

/**
 * `fanout plan "command"` and `--dry-run`: what every matching member would do, and nothing runs. Returns the exit code:
 * 0 when all would run it, else as that of a run.
 */
export async function plan(request: {
  words: readonly string[];
  rest: readonly string[] | undefined;
  options: RunOptions;
}): Promise<number> {
  const { options } = request;
  const argv = argvOf(request.words, request.rest);
  const timeoutMs = durationOf('--timeout', options.timeout);
  const selector = selectionOf(options);
  const asker = await openAsker({ ...options, ...personHere() });
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
    sanitiseText(foldNames(group.names)),
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
