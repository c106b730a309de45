import { operatorByKeyId } from './operators.ts';
import type { Policy } from './policy.ts';

/** A program that some rule allows to an operator. */
export interface AllowedProgram {
  readonly program: string;
  readonly readOnly: boolean;
  readonly rule: string;
}

/**
 * The programs that the rules of a policy name for the operator with this key, for completion: with which arguments and
 * on which nodes is for `decide` to say. Empty for a key that it does not know.
 */
export function programsFor(policy: Policy, keyId: Uint8Array): readonly AllowedProgram[] {
  const operator = operatorByKeyId(policy, keyId);
  if (operator === undefined) return [];
  const groups = policy.operators.get(operator.name)?.groups ?? [];
  const own = new Set([operator.name, ...groups.map((group) => `group:${group}`)]);
  const found = new Map<string, AllowedProgram>();
  for (const rule of policy.rules) {
    if (rule.effect !== 'allow') continue;
    const { operators } = rule.conditions;
    if (operators !== undefined && !operators.some((entry) => own.has(entry))) continue;
    for (const { program } of rule.commands) {
      if (!found.has(program)) found.set(program, { program, readOnly: rule.readOnly, rule: rule.id });
    }
  }
  return [...found.values()].sort((a, b) => (a.program < b.program ? -1 : 1));
}
