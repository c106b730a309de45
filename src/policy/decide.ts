import { checkArgv } from './command-string.ts';
import type { Matcher } from './glob.ts';
import type { PathCheck } from './grammar.ts';
import { countedApprovers, isDeniedPath, judge, type Obstacle, type PolicyRequest } from './judge.ts';
import { queryName } from './names.ts';
import { isExpired, isNamed } from './operators.ts';
import type { AllowRule, Policy, Surroundings } from './policy.ts';
import { allowedQuery } from './queries.ts';

/** Why a command is denied, as one stable word for logs and answers. */
type DenyCode = 'deny-rule' | 'no-rule' | 'approvals' | 'operator-unknown' | 'operator-expired' | 'argv';

/** What a policy decides about one request. */
export type Decision =
  | {
      readonly effect: 'allow';
      /** The first allow rule in the file that matches. It supplies everything below. */
      readonly rule: string;
      /** The rule says that what it allows changes nothing. */
      readonly readOnly: boolean;
      /** argv[0] as it was asked for. */
      readonly program: string;
      /** The only file that may be started for it, or undefined to search the fixed path. */
      readonly path: string | undefined;
      /** Arguments whose real path must be accepted too, before anything starts. */
      readonly pathChecks: readonly PathCheck[];
      /** Whether a deny rule names this real path, which the node may have found by other ways than the arguments. */
      readonly isDenied: Matcher;
      readonly surroundings: Surroundings;
      /** Those whose approval the rule asked for. Empty when it asks for none. */
      readonly approvedBy: readonly string[];
      /** The rule's sentence about the risk that it takes, for explanations and the audit log. */
      readonly dangerous: string | undefined;
    }
  | {
      readonly effect: 'deny';
      /** Undefined when no rule denied it but none allowed it either. */
      readonly rule: string | undefined;
      readonly code: DenyCode;
      /** For the operator: names rules, quotes nothing of the policy. */
      readonly reason: string;
      /** The sentence that the policy's author wrote for this case. */
      readonly why: string | undefined;
    };

/**
 * Decides about one request. Total and deterministic, and the order of the rules never changes whether
 * something is allowed: whatever no rule allows is denied, and any deny rule that matches wins over every
 * allow rule.
 */
export function decide(policy: Policy, request: PolicyRequest): Decision {
  const refusal = refuseRequest(policy, request);
  if (refusal !== undefined) return refusal;
  for (const rule of policy.rules) {
    if (rule.effect !== 'deny' || !judge(policy, rule, request).matches) continue;
    return deny('deny-rule', `rule "${rule.id}" denies it`, rule.id, rule.why);
  }
  const query = queryName(request.argv[0] ?? '');
  if (query !== undefined) return decideQuery(policy, query, request);
  let nearest:
    | { readonly rule: AllowRule; readonly obstacle: Obstacle; readonly nearness: number }
    | undefined;
  for (const rule of policy.rules) {
    if (rule.effect !== 'allow') continue;
    const finding = judge(policy, rule, request);
    if (finding.matches) return allow(policy, rule, request, finding);
    if (finding.nearness > (nearest?.nearness ?? 0)) nearest = { rule, ...finding };
  }
  const reason = 'no rule allows it';
  if (nearest === undefined) return deny('no-rule', reason);
  if (nearest.obstacle === 'approvals') {
    const { id, why } = nearest.rule;
    return deny('approvals', `rule "${id}" allows it only with approvals: fanout request`, id, why);
  }
  return deny(
    'no-rule',
    `${reason}; nearest is "${nearest.rule.id}", but ${OBSTACLE_TEXT[nearest.obstacle]}`,
  );
}

/** A signed question: the policy's list of queries says whose are answered, beside everybody's. */
function decideQuery(policy: Policy, query: string, request: PolicyRequest): Decision {
  const { operator: name = '', unixMs, argv } = request;
  const operator = policy.operators.get(name);
  const found = policy.queries.find((rule) => rule.name === query);
  if (found === undefined || operator === undefined)
    return deny('no-rule', `no query "${query}" is answered here`);
  if (found.operators !== undefined && !isNamed(found.operators, name, operator, unixMs)) {
    return deny('no-rule', `the query "${query}" is answered here, but not for this operator`);
  }
  if (argv.length > 2) return deny('no-rule', 'a query takes one argument, which its handler reads');
  return allowedQuery(found, isDeniedPath(policy, request));
}

/** What a remote operator is told about a near miss. The details stay in the policy. */
const OBSTACLE_TEXT: Readonly<Record<Obstacle, string>> = {
  program: 'not for this program',
  arguments: 'not with these arguments',
  operator: 'not for this operator',
  tags: 'not on this node',
  approvals: 'not without approvals',
};

function allow(
  policy: Policy,
  rule: AllowRule,
  request: PolicyRequest,
  found: Extract<ReturnType<typeof judge>, { matches: true }>,
): Decision {
  const isDenied = isDeniedPath(policy, request);
  return {
    effect: 'allow',
    rule: rule.id,
    readOnly: rule.readOnly,
    program: request.argv[0] ?? '',
    path: found.command?.path,
    pathChecks: found.pathChecks.map((check) => ({
      ...check,
      accepts: (realPath) => check.accepts(realPath) && !isDenied(realPath),
    })),
    isDenied,
    surroundings: rule.surroundings,
    approvedBy: countedApprovers(policy, rule, request),
    dangerous: rule.dangerous,
  };
}

/** What is wrong with the request whatever the rules say. */
function refuseRequest(policy: Policy, request: PolicyRequest): Decision | undefined {
  const operator = request.operator === undefined ? undefined : policy.operators.get(request.operator);
  if (operator === undefined) return deny('operator-unknown', 'this policy does not know the operator');
  if (isExpired(operator, request.unixMs)) {
    return deny('operator-expired', "the operator's key has expired in this policy");
  }
  const unfit = checkArgv(request.argv);
  return unfit === undefined ? undefined : deny('argv', unfit);
}

function deny(
  code: DenyCode,
  reason: string,
  rule: string | undefined = undefined,
  why: string | undefined = undefined,
): Decision {
  return { effect: 'deny', rule, code, reason, why };
}
