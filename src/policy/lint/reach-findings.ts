import { isGlob } from '../glob.ts';
import { isNamed, NEVER_OVER } from '../operators.ts';
import type { AllowRule, Pattern, Policy } from '../policy.ts';
import { type SelectorNode, selectorText } from '../selector.ts';
import { covers, coversConditions } from './cover.ts';
import type { LintFinding } from './finding.ts';

/** Combinations of values that are tried before a rule is taken to be possible. */
const COMBINATIONS_MAX = 256;

/** Rules, or parts of them, that can never have an effect. */
export function reachFindings(policy: Policy): readonly LintFinding[] {
  return policy.rules.flatMap((rule, index): readonly LintFinding[] => {
    const warn = (path: readonly (string | number)[], message: string, hint: string): LintFinding => ({
      level: 'warn',
      code: 'never-holds',
      path: ['rules', index, ...path],
      message,
      hint,
    });
    const found: LintFinding[] = [];
    const { tags, select } = rule.conditions;
    if (select?.root !== undefined && !canHold(select.root, tags)) {
      const message = `no node can be ${selectorText(select)}${tags.size > 0 ? ' and have these tags' : ''}`;
      found.push(warn(['select'], message, 'The rule never holds. Mend the condition, or remove the rule.'));
    }
    if (rule.effect === 'deny') return found;
    const earlier = policy.rules
      .slice(0, index)
      .find((other): other is AllowRule => other.effect === 'allow' && covers(other, rule));
    if (earlier !== undefined) {
      const message = `never decides: rule "${earlier.id}" above allows all of it, and its limits hold`;
      found.push(warn(['id'], message, 'Remove it, or put it in front.'));
    }
    if (rule.approvals !== undefined && !canBeApproved(policy, rule)) {
      const message = 'nobody who may ask has enough others who could approve';
      found.push(warn(['approvals'], message, 'Ask for fewer approvals, or name more people.'));
    }
    for (const [place, { program }] of rule.commands.entries()) {
      const denied = policy.rules.find(
        (other) =>
          other.effect === 'deny' &&
          other.programs.some(({ matches }) => matches(program)) &&
          coversConditions(other, rule),
      );
      if (denied === undefined) continue;
      const message = `"${program}" is denied by rule "${denied.id}", so this allows nothing`;
      found.push(warn(['commands', place, 'program'], message, 'Remove it here, or there.'));
    }
    return found;
  });
}

function canBeApproved(policy: Policy, { approvals, conditions }: AllowRule): boolean {
  if (approvals === undefined) return true;
  const able = [...policy.operators].filter(([name, operator]) =>
    isNamed(approvals.from, name, operator, NEVER_OVER),
  );
  return [...policy.operators].some(([name, operator]) => {
    const mayAsk =
      conditions.operators === undefined || isNamed(conditions.operators, name, operator, NEVER_OVER);
    // Who asks never counts.
    return mayAsk && able.filter(([other]) => other !== name).length >= approvals.need;
  });
}

/** Stands for a value of which nothing is known, and for one that is none of those that are named. */
const UNKNOWN = '';
const ANOTHER = '\u0000';

/** Whether some node could have these tags and be selected. True also where that cannot be found out easily. */
function canHold(root: SelectorNode, tags: AllowRule['conditions']['tags']): boolean {
  const named = new Map<string, string[]>();
  collectValues(root, named);
  const values = [...named].map(([tag, texts]) => [tag, valuesOf(texts, tags.get(tag))] as const);
  const count = values.reduce((product, [, some]) => product * some.length, 1);
  return count > COMBINATIONS_MAX || combinations(values).some((known) => mayHold(root, known) !== false);
}

/** The values of a tag between which a selector can tell. */
function valuesOf(texts: readonly string[], wanted: readonly Pattern[] | undefined): readonly string[] {
  if (wanted?.every(({ text }) => !isGlob(text)) === true) return wanted.map(({ text }) => text);
  if (texts.some(isGlob)) return [UNKNOWN];
  const fitting = texts.filter((text) => wanted === undefined || wanted.some(({ matches }) => matches(text)));
  return [...fitting, ANOTHER];
}

function collectValues(node: SelectorNode, found: Map<string, string[]>): void {
  if (node.kind === 'not') return collectValues(node.of, found);
  if (node.kind !== 'term') {
    for (const part of node.of) collectValues(part, found);
    return;
  }
  if (node.tag === undefined) return;
  const texts = node.patterns.map(({ text }) => text);
  found.set(node.tag, [...(found.get(node.tag) ?? []), ...texts]);
}

function combinations(
  tags: readonly (readonly [string, readonly string[]])[],
): readonly ReadonlyMap<string, string>[] {
  return tags.reduce<readonly ReadonlyMap<string, string>[]>(
    (all, [tag, values]) =>
      all.flatMap((known) => values.map((value) => new Map([...known, [tag, value] as const]))),
    [new Map()],
  );
}

/** As `selects`, where only some values are known, and no name. */
function mayHold(node: SelectorNode, known: ReadonlyMap<string, string>): boolean | undefined {
  switch (node.kind) {
    case 'term': {
      const value = node.tag === undefined ? undefined : known.get(node.tag);
      if (value === undefined || value === UNKNOWN) return undefined;
      return node.patterns.some(({ matches }) => matches(value));
    }
    case 'not': {
      const inner = mayHold(node.of, known);
      return inner === undefined ? undefined : !inner;
    }
    default: {
      const deciding = node.kind === 'or';
      const parts = node.of.map((part) => mayHold(part, known));
      if (parts.includes(deciding)) return deciding;
      return parts.includes(undefined) ? undefined : !deciding;
    }
  }
}
