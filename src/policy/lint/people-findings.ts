import { isExpired, isNamed, NEVER_OVER } from '../operators.ts';
import type { Policy } from '../policy.ts';
import type { LintFinding } from './finding.ts';

const DAY_MS = 86_400_000;
/** Days before an end of which its people should hear. */
const NOTICE_DAYS = 30;

/** What is to be known of the operators: whose time is over or runs out, and who is named nowhere. */
export function peopleFindings(policy: Policy, unixMs: number): readonly LintFinding[] {
  const found: LintFinding[] = [];
  for (const [name, operator] of policy.operators) {
    const at = ['operators', name];
    const key = ending(operator.notAfterUnixMs, unixMs, 'the key');
    if (key !== undefined) found.push({ ...key, path: [...at, 'notAfter'] });
    for (const [index, { group, notAfterUnixMs }] of operator.groups.entries()) {
      const place = ending(notAfterUnixMs, unixMs, `the place in "${group}"`);
      if (place !== undefined) found.push({ ...place, path: [...at, 'groups', index] });
    }
    if (isExpired(operator, unixMs) || isUsed(policy, name)) continue;
    found.push({
      level: 'warn',
      code: 'unused-operator',
      path: at,
      atKey: true,
      message: 'no rule names this operator, so every command of theirs is refused',
      hint: 'Remove the operator, or name them in a rule.',
    });
  }
  return found;
}

function ending(
  notAfterUnixMs: number | undefined,
  unixMs: number,
  what: string,
): Omit<LintFinding, 'path'> | undefined {
  if (notAfterUnixMs === undefined) return undefined;
  const days = Math.floor((notAfterUnixMs - unixMs) / DAY_MS);
  if (notAfterUnixMs <= unixMs) {
    const hint = 'Remove it, or give it a later notAfter.';
    return { level: 'warn', code: 'expired', message: `${what} has expired`, hint };
  }
  if (days >= NOTICE_DAYS) return undefined;
  const when = days === 0 ? 'today' : days === 1 ? 'within a day' : `in ${days} days`;
  return {
    level: 'warn',
    code: 'expires-soon',
    message: `${what} expires ${when}`,
    hint: 'Give it a later notAfter while there is time, or plan without it.',
  };
}

/** Whether any allow rule holds for this operator, or asks for their approval. */
function isUsed(policy: Policy, name: string): boolean {
  const operator = policy.operators.get(name);
  if (operator === undefined) return false;
  return policy.rules.some((rule) => {
    if (rule.effect === 'deny') return false;
    const { operators } = rule.conditions;
    if (operators === undefined || isNamed(operators, name, operator, NEVER_OVER)) return true;
    return rule.approvals !== undefined && isNamed(rule.approvals.from, name, operator, NEVER_OVER);
  });
}
