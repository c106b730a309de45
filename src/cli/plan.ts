import { openAsker } from '../asker/launch.ts';
import { type PlanGroup, planRun } from '../asker/plan.ts';
import { targetsOf } from '../asker/select.ts';
import { foldNames } from '../lib/node-set.ts';
import { safeJson, sanitiseText } from '../lib/sanitise.ts';
import { formatDuration } from '../lib/time.ts';
import type { Selector } from '../policy/selector.ts';
import { argvOf } from './run.ts';
import { type RunOptions, selectionOf } from './run-flags.ts';

/** `fanout plan "command"`: asks the nodes what they would do. 0: all would run it; 5: some refuse; 4: some are silent. */
export async function plan(
  words: readonly string[],
  rest: readonly string[] | undefined,
  options: RunOptions,
): Promise<number> {
  return printPlan({ argv: argvOf(words, rest), selector: selectionOf(options), options });
}

export async function printPlan(request: {
  argv: readonly string[];
  selector: Selector;
  options: Pick<RunOptions, 'format' | 'rpcAddr' | 'identity'>;
}): Promise<number> {
  const { argv, selector, options } = request;
  const asker = await openAsker(options);
  try {
    const targets = targetsOf(selector, await asker.client.members());
    const asked = await planRun(asker, { argv, selector, targets });
    process.once('SIGINT', asked.abort);
    const groups = await asked.result;
    process.off('SIGINT', asked.abort);
    const text = options.format === 'json' ? json(argv, groups) : planText(groups);
    process.stdout.write(`${text}\n`);
    return codeOf(groups);
  } finally {
    asker.client.close();
  }
}

function json(argv: readonly string[], groups: readonly PlanGroup[]): string {
  return safeJson({ argv, exit: codeOf(groups), groups }, 2);
}

const WORDS = {
  untrusted: 'NOT TRUSTED',
  denied: 'denied',
  failed: 'cannot start it',
  silent: 'silent',
  allowed: 'allowed',
};

/** The verdicts as text, the worst first: how many, by which rule, why, and who. */
function planText(groups: readonly PlanGroup[]): string {
  const lines = groups.map((group) => {
    const { verdict, rule, reason, readOnly, limitMs, names } = group;
    const by = rule === '' ? '' : ` by rule "${rule}"`;
    const why = reason === '' ? '' : `: ${reason}`;
    const how = verdict === 'allowed' ? `, ${readOnly ? 'read-only' : 'may change things'}` : '';
    const limit = limitMs === undefined ? '' : `, ${formatDuration(limitMs)} at most`;
    const count = `${names.length} ${WORDS[verdict]}`;
    return `${sanitiseText(`${count}${by}${how}${limit}${why}`)}\n  ${sanitiseText(foldNames(names))}`;
  });
  return [...lines, 'Nothing was run.'].join('\n');
}

function codeOf(groups: readonly PlanGroup[]): number {
  const has = (verdict: PlanGroup['verdict']): boolean => groups.some((group) => group.verdict === verdict);
  if (has('untrusted')) return 7;
  if (has('silent') || has('failed')) return 4;
  return has('denied') ? 5 : 0;
}
