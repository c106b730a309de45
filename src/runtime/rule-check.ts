import { handlerName, queryName } from '../policy/names.ts';
import type { AllowRule } from '../policy/policy.ts';
import { type Abilities, type Ground, groundFor } from './ground.ts';
import type { Refusal } from './refusal.ts';
import { resolveProgram } from './resolve-program.ts';

/** What a rule is worth on this machine. */
export interface RuleCheck {
  readonly rule: string;
  /** What its commands would stand on, or why none of them can run. */
  readonly outcome: Ground | Refusal;
  /** Programs that are not here, or may not be run, and why: a policy for many machines names more than each has. */
  readonly missing: readonly (Refusal & { readonly program: string })[];
}

/** Whether this machine can run what a rule allows. */
export function checkRule(
  rule: AllowRule,
  machine: Abilities & { readonly hidePaths: readonly string[] },
): RuleCheck {
  const missing = rule.commands.flatMap(({ program, path }) => {
    // Handlers and lines are the owner's own; an agent says at its start which it cannot load.
    if (handlerName(program) !== undefined || queryName(program) !== undefined) return [];
    const found = resolveProgram(program, path);
    return 'reason' in found ? [{ program, ...found }] : [];
  });
  const ground = groundFor(rule.id, rule.surroundings, machine);
  const [first] = missing;
  const hasNone = first !== undefined && missing.length === rule.commands.length;
  const outcome = !('reason' in ground) && hasNone ? { reason: first.reason, hint: first.hint } : ground;
  return { rule: rule.id, outcome, missing };
}
