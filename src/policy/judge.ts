import { unreachable } from '../lib/assert.ts';
import type { Matcher } from './glob.ts';
import { matchGrammar, type PathCheck } from './grammar.ts';
import { assignmentOf, handlerName } from './names.ts';
import { isExpired, isNamed } from './operators.ts';
import type { AllowedCommand, AllowRule, DenyRule, Policy, Rule } from './policy.ts';
import { selectorText, selects } from './selector.ts';

/** What a policy decides about. */
export interface PolicyRequest {
  /** The name in this policy that belongs to the key of the signature, or undefined. */
  readonly operator: string | undefined;
  /** The node's own name. Left out where nobody knows it: then no rule allows anything because of a name. */
  readonly node?: string;
  /** The node's own tags. */
  readonly tags: ReadonlyMap<string, string>;
  readonly argv: readonly string[];
  readonly unixMs: number;
  /** Names in this policy of those whose signatures under the command were checked. Who asks does not count. */
  readonly approvers?: readonly string[];
}

/** What stands between a rule and a request, from far to near. */
export type Obstacle = 'program' | 'arguments' | 'operator' | 'tags' | 'approvals';

/** What one rule says to one request. */
export type Finding =
  | {
      readonly matches: true;
      readonly command: AllowedCommand | undefined;
      readonly pathChecks: readonly PathCheck[];
    }
  | {
      readonly matches: false;
      readonly obstacle: Obstacle;
      /** For the policy's author: quotes the policy. */
      readonly reason: string;
      /** Larger is nearer to a match. */
      readonly nearness: number;
    };

/** Nearness of the kinds of misses. Behind the point: the share of arguments that did match. */
const NEARNESS = {
  program: 0,
  argumentsAndConditions: 1,
  arguments: 2,
  conditions: 3,
  approvals: 4,
} as const;

/** Judges one request by one rule. Both `decide` and `explain` rest on this and on nothing else. */
export function judge(policy: Policy, rule: Rule, request: PolicyRequest): Finding {
  switch (rule.effect) {
    case 'allow':
      return judgeAllow(policy, rule, request);
    case 'deny':
      return judgeDeny(policy, rule, request);
    default:
      return unreachable(rule);
  }
}

function judgeAllow(policy: Policy, rule: AllowRule, request: PolicyRequest): Finding {
  const { argv } = request;
  const unmet = unmetCondition(policy, rule, request) ?? unmetApproval(policy, rule, request);
  let nearest: { readonly index: number; readonly reason: string } | undefined;
  for (const command of rule.commands) {
    if (argv[0] !== command.program && argv[0] !== command.path) continue;
    const result = matchGrammar(command.grammar, argv);
    if (result.matches) {
      if (unmet === undefined) return { matches: true, command, pathChecks: result.pathChecks };
      const reason = `the command matches, but ${unmet.reason}`;
      const nearness = unmet.obstacle === 'approvals' ? NEARNESS.approvals : NEARNESS.conditions;
      return { matches: false, obstacle: unmet.obstacle, reason, nearness };
    }
    if (nearest === undefined || result.index > nearest.index) nearest = result;
  }
  if (nearest === undefined) {
    const programs = [...new Set(rule.commands.map(({ program }) => program))];
    const reason = `the program is not ${programs.join(', ')}`;
    return { matches: false, obstacle: 'program', reason, nearness: NEARNESS.program };
  }
  const kind = unmet === undefined ? NEARNESS.arguments : NEARNESS.argumentsAndConditions;
  const nearness = kind + nearest.index / (argv.length + 1);
  const reason = unmet === undefined ? nearest.reason : `${nearest.reason}; and ${unmet.reason}`;
  return { matches: false, obstacle: 'arguments', reason, nearness };
}

function judgeDeny(policy: Policy, rule: DenyRule, request: PolicyRequest): Finding {
  const [program = '', ...rest] = request.argv;
  const args = handlerName(program) === undefined ? rest : rest.flatMap(withValue);
  const name = program.slice(program.lastIndexOf('/') + 1);
  const isDenied =
    rule.programs.some(({ matches }) => matches(name)) ||
    rule.anyArg.some(({ matches }) => args.some(matches));
  if (!isDenied) {
    const reason = 'neither the program nor an argument is denied';
    return { matches: false, obstacle: 'program', reason, nearness: NEARNESS.program };
  }
  const unmet = unmetCondition(policy, rule, request);
  if (unmet === undefined) return { matches: true, command: undefined, pathChecks: [] };
  const reason = `the command matches, but ${unmet.reason}`;
  return { matches: false, obstacle: unmet.obstacle, reason, nearness: NEARNESS.conditions };
}

/** An argument of a handler, and the value in it: a deny rule that names the value means it there too. */
function withValue(argument: string): string[] {
  const value = assignmentOf(argument)?.value;
  return value === undefined ? [argument] : [argument, value];
}

/**
 * Whether a real path is denied as an argument. A link inside an allowed folder must not lead around a deny
 * rule, which has seen only the name of the link.
 */
export function isDeniedPath(policy: Policy, request: PolicyRequest): Matcher {
  const patterns = policy.rules.flatMap((rule) =>
    rule.effect === 'deny' && unmetCondition(policy, rule, request) === undefined ? rule.anyArg : [],
  );
  return (realPath) => patterns.some(({ matches }) => matches(realPath));
}

/** Those whose approval counts for a rule: named by it, with a key that holds, and never the one who asks. */
export function countedApprovers(policy: Policy, rule: AllowRule, request: PolicyRequest): readonly string[] {
  const { approvals } = rule;
  if (approvals === undefined) return [];
  return [...new Set(request.approvers)].filter((name) => {
    const operator = policy.operators.get(name);
    if (operator === undefined || name === request.operator || isExpired(operator, request.unixMs))
      return false;
    return isNamed(approvals.from, name, operator, request.unixMs);
  });
}

function unmetApproval(
  policy: Policy,
  rule: AllowRule,
  request: PolicyRequest,
): { readonly obstacle: Obstacle; readonly reason: string } | undefined {
  if (rule.approvals === undefined) return undefined;
  const { need, from } = rule.approvals;
  const has = countedApprovers(policy, rule, request).length;
  if (has >= need) return undefined;
  const what = `${need} approval${need === 1 ? '' : 's'} by ${from.join(' or ')}`;
  return { obstacle: 'approvals', reason: `it needs ${what} and has ${has === 0 ? 'none' : has}` };
}

function unmetCondition(
  policy: Policy,
  rule: Rule,
  request: PolicyRequest,
): { readonly obstacle: Obstacle; readonly reason: string } | undefined {
  const { operators, tags, select } = rule.conditions;
  const { operator } = request;
  if (operators !== undefined) {
    const known = operator === undefined ? undefined : policy.operators.get(operator);
    if (
      operator === undefined ||
      known === undefined ||
      !isNamed(operators, operator, known, request.unixMs)
    ) {
      const who = operator === undefined ? 'the operator' : `"${operator}"`;
      return { obstacle: 'operator', reason: `${who} is not in ${operators.join(', ')}` };
    }
  }
  for (const [tag, patterns] of tags) {
    const value = request.tags.get(tag);
    if (value !== undefined && patterns.some(({ matches }) => matches(value))) continue;
    const wanted = patterns.map(({ text }) => text).join(' or ');
    const has = value === undefined ? 'has no such tag' : `has "${value}"`;
    return { obstacle: 'tags', reason: `the tag ${tag} has to be ${wanted}, and this node ${has}` };
  }
  if (select === undefined) return undefined;
  const held = selects(select, { name: request.node, tags: request.tags });
  // What hangs on a name that nobody gave: an allow rule does not hold, a deny rule does.
  if (held === true || (held === undefined && rule.effect === 'deny')) return undefined;
  const what = held === false ? 'which this node is not' : 'which hangs on the name of the node';
  return { obstacle: 'tags', reason: `the rule is for ${selectorText(select)}, ${what}` };
}
