import { FanoutError } from '../lib/errors.ts';
import { didYouMean } from '../policy/suggest.ts';
import { groupsOf, outliersFirst } from '../run/groups.ts';
import { isFinal, type Target } from '../run/model.ts';
import { OUTCOMES, type Outcome, outcomeOf } from '../run/outcome.ts';
import { findRun, RunRecord } from './run-record.ts';

/** Words that mean several outcomes. */
const WORDS: Readonly<Record<string, readonly Outcome[]>> = {
  failed: ['failed', 'not-started', 'timed-out', 'untrusted'],
  missing: ['silent', 'lost'],
};

/**
 * Names of nodes from a run of before: `last`, `last:failed`, `ID:denied,silent`, `last:rc=3`, `last:group 2`. `failed` is
 * all that ran or was to run and did not return 0; `missing` is silent and lost. Throws FanoutError USAGE.
 */
export function namesFrom(text: string): string[] {
  const at = text.indexOf(':');
  const run = at < 0 ? text : text.slice(0, at);
  const parts = at < 0 ? [] : text.slice(at + 1).split(',');
  const record = RunRecord.open(findRun(run).path);
  try {
    const targets = [...record.state.targets.values()];
    if (parts.length === 0) return targets.map(({ name }) => name);
    const wanted = parts.map((part) => chooser(part.trim(), targets, record));
    const names = targets
      .filter((target) => wanted.some((matches) => matches(target)))
      .map(({ name }) => name);
    if (names.length > 0) return names;
    throw new FanoutError('NO_MATCH', `no node of that run is ${parts.join(' or ')}`, {
      hint: `"fanout show ${run}" tells how each one ended.`,
    });
  } finally {
    record.close();
  }
}

function chooser(part: string, targets: readonly Target[], record: RunRecord): (target: Target) => boolean {
  const code = /^rc=(\d{1,3})$/.exec(part);
  if (code !== null) return (target) => target.code === Number(code[1]);
  const number = /^group ?(\d{1,6})$/.exec(part);
  if (number !== null) {
    const ended = targets.filter(({ state }) => isFinal(state));
    const groups = outliersFirst(groupsOf(ended, (node) => record.outputs.digest(node)));
    const group = groups[Number(number[1]) - 1];
    if (group !== undefined) return ({ name }) => group.names.includes(name);
    throw new FanoutError('USAGE', `that run has ${groups.length} groups of answers`, {
      hint: 'Groups are counted from 1, outliers first, as the session shows them.',
    });
  }
  const outcomes = WORDS[part] ?? OUTCOMES.filter((outcome) => outcome === part);
  if (outcomes.length > 0) return (target) => outcomes.includes(outcomeOf(target));
  const known = [...Object.keys(WORDS), ...OUTCOMES];
  throw new FanoutError('USAGE', `--from: "${part}" is no way in which a node ends`, {
    hint: didYouMean(part, known) ?? `Known are ${known.join(', ')}, rc=CODE and "group N".`,
  });
}
