import { FanoutError } from '../lib/errors.ts';
import { parseCommandString } from './command-string.ts';
import { explain } from './explain.ts';
import type { Place } from './place.ts';
import type { Policy } from './policy.ts';
import type { ExampleText, PolicyText } from './schema.ts';

/**
 * Before every expiry: examples say what the rules mean, and a policy must not become unreadable on the day
 * on which an operator's key expires.
 */
const EXAMPLE_UNIX_MS = 0;

/**
 * Checks that a policy does what its author wrote that it does, and tells which rules allow some example. Throws
 * FanoutError POLICY_INVALID at the first lie.
 */
export function checkExamples(
  policy: Policy,
  examples: PolicyText['examples'],
  place: Place,
): ReadonlySet<string> {
  const deciding = new Set<string>();
  for (const [index, example] of examples.allow.entries()) {
    const verdict = verdictOn(policy, example);
    if (verdict.rule !== undefined) {
      deciding.add(verdict.rule);
      continue;
    }
    throw place
      .at('allow', index)
      .error(`"${example.cmd}" as ${example.as} should be allowed, but ${verdict.text}`);
  }
  for (const [index, example] of examples.deny.entries()) {
    const verdict = verdictOn(policy, example);
    if (verdict.rule === undefined) continue;
    throw place
      .at('deny', index)
      .error(`"${example.cmd}" as ${example.as} should be denied, but ${verdict.text}`);
  }
  return deciding;
}

/** `rule` is the one that allows it, if any does. */
function verdictOn(policy: Policy, example: ExampleText): { rule: string | undefined; text: string } {
  let argv: string[];
  try {
    argv = parseCommandString(example.cmd);
  } catch (error) {
    if (!(error instanceof FanoutError)) throw error;
    return { rule: undefined, text: `it is no command: ${error.message.split('\n')[0]}` };
  }
  const tags = new Map(Object.entries(example.tags));
  const { decision, rules } = explain(policy, {
    operator: example.as,
    approvers: example.approvedBy,
    node: example.node,
    tags,
    argv,
    unixMs: EXAMPLE_UNIX_MS,
  });
  if (decision.effect === 'allow') return { rule: decision.rule, text: `rule "${decision.rule}" allows it` };
  const nearest = rules.find(({ effect }) => effect === 'allow');
  const detail = decision.code === 'no-rule' && nearest ? ` ("${nearest.id}": ${nearest.reason})` : '';
  return { rule: undefined, text: `${decision.reason}${detail}` };
}
