import { formatSize } from '../lib/size.ts';
import { formatDuration } from '../lib/time.ts';
import { shown } from './characters.ts';
import { shownWord } from './command-string.ts';
import { type Decision, decide } from './decide.ts';
import { judge, type PolicyRequest } from './judge.ts';
import { groupsAt } from './operators.ts';
import type { Limits, Policy, Surroundings } from './policy.ts';

/**
 * A decision, and what every rule had to say. Plain data, except for the matchers inside an allowing
 * decision.
 */
export interface Explanation {
  readonly policy: { readonly file: string; readonly environment: string; readonly hash: string };
  readonly operator: { readonly name: string | undefined; readonly groups: readonly string[] };
  readonly tags: Readonly<Record<string, string>>;
  readonly argv: readonly string[];
  readonly decision: Decision;
  /** The rules that match first, then the others, the nearest miss first. Empty when no rule was asked. */
  readonly rules: readonly RuleExplanation[];
}

interface RuleExplanation {
  readonly id: string;
  readonly effect: 'allow' | 'deny';
  readonly matches: boolean;
  /** The first reason why it does not match; undefined when it does. */
  readonly reason: string | undefined;
}

/** Explains a decision with the very functions that a node decides with. */
export function explain(policy: Policy, request: PolicyRequest): Explanation {
  const decision = decide(policy, request);
  const isRefusedBeforehand =
    decision.effect === 'deny' && !['deny-rule', 'no-rule', 'approvals'].includes(decision.code);
  const judged = (isRefusedBeforehand ? [] : policy.rules).map((rule) => {
    const finding = judge(policy, rule, request);
    const nearness = finding.matches ? Number.POSITIVE_INFINITY : finding.nearness;
    const reason = finding.matches ? undefined : finding.reason;
    return { id: rule.id, effect: rule.effect, matches: finding.matches, reason, nearness };
  });
  const { operator: name } = request;
  const operator = name === undefined ? undefined : policy.operators.get(name);
  return {
    policy: { file: policy.file, environment: policy.environment, hash: policy.hash },
    operator: { name, groups: operator === undefined ? [] : groupsAt(operator, request.unixMs) },
    tags: Object.fromEntries(request.tags),
    argv: request.argv,
    decision,
    // The sort is stable: equally near rules stay in the order of the file.
    rules: judged
      .sort((a, b) => (a.nearness === b.nearness ? 0 : b.nearness - a.nearness))
      .map(({ nearness: _, ...rule }) => rule),
  };
}

/** An explanation as text for a terminal, without a final line end. */
export function explainText(explanation: Explanation): string {
  const { argv, operator, tags, decision, rules, policy } = explanation;
  const groups = operator.groups.length === 0 ? 'no groups' : operator.groups.join(', ');
  const tagText = Object.entries(tags).map(([tag, value]) => `${tag}=${value}`);
  const lines = [
    verdictText(decision),
    '',
    `program    ${shownWord(argv[0] ?? '')}`,
    ...argv
      .slice(1)
      .map((argument, index) => `argument ${String(index + 1).padEnd(2)}${shownWord(argument)}`),
    `operator   ${shown(operator.name ?? 'unknown')} (${groups})`,
    `node tags  ${shown(tagText.join(' ')) || 'none'}`,
    `policy     ${shown(policy.file)} (${policy.environment}, ${policy.hash.slice(0, 12)})`,
  ];
  if (decision.effect === 'allow') lines.push(...allowedText(decision));
  if (rules.length > 0) lines.push('', 'rules, nearest first:');
  const width = Math.max(0, ...rules.map(({ id }) => id.length));
  for (const { id, effect, reason } of rules) {
    lines.push(`  ${effect.padEnd(5)}  ${id.padEnd(width)}  ${shown(reason ?? 'matches')}`);
  }
  return lines.join('\n');
}

function verdictText(decision: Decision): string {
  if (decision.effect === 'allow') return `ALLOWED by rule "${decision.rule}"`;
  return `DENIED: ${shown(decision.reason)}${decision.why === undefined ? '' : ` (${shown(decision.why)})`}`;
}

function allowedText(decision: Extract<Decision, { effect: 'allow' }>): string[] {
  const { program, path, surroundings, pathChecks, approvedBy, dangerous } = decision;
  return [
    `file       ${path ?? (program.includes(':') ? 'what the node has under this name' : 'searched in the fixed path')}`,
    ...surroundingsText(surroundings),
    ...(approvedBy.length === 0 ? [] : [`approved   by ${shown(approvedBy.join(', '))}`]),
    ...(dangerous === undefined ? [] : [`dangerous  ${shown(dangerous)}`]),
    ...pathChecks.map(
      ({ path: given, pattern }) => `real path  of ${shownWord(given)} must match ${pattern} too`,
    ),
  ];
}

function surroundingsText(surroundings: Surroundings): string[] {
  const { sandboxes, network, allowances, user, groups, cwd, env, limits } = surroundings;
  const opened = (['read', 'write', 'sockets'] as const)
    .filter((kind) => allowances[kind].length > 0)
    .map((kind) => `; ${kind} ${shown(allowances[kind].join(' '))}`);
  const account = [user ?? 'chosen by the node', ...groups.map((group) => `+ ${group}`)].join(' ');
  const lines = [
    `sandbox    ${sandboxes.join(', else ')}; network ${network}${opened.join('')}; user ${account}`,
    `limits     ${limitsText(limits)}`,
  ];
  if (cwd !== undefined) lines.push(`folder     ${shown(cwd)}`);
  if (env.size > 0) lines.push(`variables  ${shown([...env].map((pair) => pair.join('=')).join(' '))}`);
  return lines;
}

function limitsText(limits: Limits): string {
  const { timeoutMs, outputBytes, concurrency, cpuMs, memoryBytes, tasks, rate } = limits;
  return [
    formatDuration(timeoutMs),
    `${formatSize(outputBytes)} of output`,
    ...(cpuMs === undefined ? [] : [`${formatDuration(cpuMs)} of processor`]),
    ...(memoryBytes === undefined ? [] : [`${formatSize(memoryBytes)} of memory`]),
    ...(tasks === undefined ? [] : [`${tasks} tasks`]),
    `${concurrency} at once`,
    ...(rate === undefined ? [] : [`${rate.count} starts in ${formatDuration(rate.perMs)}`]),
  ].join(', ');
}
