import { toHex } from '../lib/bytes.ts';
import { FanoutError } from '../lib/errors.ts';
import { parseCommandString } from './command-string.ts';
import { decide } from './decide.ts';
import type { PolicyFile } from './load.ts';
import { NEVER_OVER } from './operators.ts';
import type { Policy, Surroundings } from './policy.ts';
import type { ExampleText } from './schema.ts';

/** Kinds of nodes on which past commands are tried: those of the examples, each once. */
const NODES_MAX = 32;

/** Who asks for what, and where. */
interface AskedCommand {
  readonly argv: readonly string[];
  readonly operator: string;
  readonly approvers: readonly string[];
  readonly node: string;
  readonly tags: Readonly<Record<string, string>>;
}

/** What a policy says to a command, as far as two policies can differ in it. */
export interface ComparedVerdict {
  readonly effect: 'allow' | 'deny';
  readonly rule: string | undefined;
  /** Of a denial: the kind of it. */
  readonly code: string | undefined;
  readonly readOnly: boolean | undefined;
  /** The file that may be started for it. */
  readonly path: string | undefined;
  readonly surroundings: Readonly<Record<string, unknown>> | undefined;
}

/** A command to which two policies say different things. */
export interface VerdictChange {
  readonly from: 'example' | 'history';
  readonly command: AskedCommand;
  readonly before: ComparedVerdict;
  readonly after: ComparedVerdict;
  /** What differs: `effect`, `rule`, or a part of what the command gets (`limits`). */
  readonly differs: readonly string[];
}

/** Something with a name that is new, gone or different. */
export interface NamedChange {
  readonly kind: 'setting' | 'operator' | 'group' | 'rule';
  readonly name: string;
  readonly change: 'added' | 'removed' | 'changed';
  /** What of it is different. */
  readonly details: readonly string[];
}

export interface PolicyDifference {
  readonly verdicts: readonly VerdictChange[];
  readonly names: readonly NamedChange[];
}

/**
 * What a second policy changes. Verdicts are compared on the examples of both files, and on argvs of the past, which
 * every operator is taken to have asked on every kind of node that the examples know. Before every expiry: those are
 * differences of the operators.
 */
export function comparePolicies(
  before: PolicyFile,
  after: PolicyFile,
  past: readonly (readonly string[])[],
): PolicyDifference {
  const examples = distinct([before, after].flatMap(examplesOf));
  const asked = [
    ...examples.map((command) => ({ from: 'example' as const, command })),
    ...pastCommands(before.policy, after.policy, examples, past).map((command) => ({
      from: 'history' as const,
      command,
    })),
  ];
  const verdicts = asked.flatMap(({ from, command }): VerdictChange[] => {
    const [old, now] = [verdictOf(before.policy, command), verdictOf(after.policy, command)];
    const differs = differingKeys(flat(old), flat(now));
    return differs.length === 0 ? [] : [{ from, command, before: old, after: now, differs }];
  });
  return { verdicts, names: namedChanges(before, after) };
}

function examplesOf({ text }: PolicyFile): AskedCommand[] {
  return [...text.examples.allow, ...text.examples.deny].flatMap((example) => {
    const argv = argvOf(example);
    if (argv === undefined) return [];
    const { as, approvedBy, node, tags } = example;
    return [{ argv, operator: as, approvers: approvedBy, node, tags: { ...tags } }];
  });
}

function argvOf({ cmd }: ExampleText): readonly string[] | undefined {
  try {
    return parseCommandString(cmd);
  } catch (error) {
    if (error instanceof FanoutError) return undefined;
    throw error;
  }
}

function pastCommands(
  before: Policy,
  after: Policy,
  examples: readonly AskedCommand[],
  past: readonly (readonly string[])[],
): AskedCommand[] {
  const operators = new Set([...before.operators.keys(), ...after.operators.keys()]);
  const nodes = distinct([{ node: '', tags: {} }, ...examples.map(({ node, tags }) => ({ node, tags }))]);
  const known = new Set(examples.map((example) => JSON.stringify(example)));
  return distinct(past).flatMap((argv) =>
    [...operators].flatMap((operator) =>
      nodes.slice(0, NODES_MAX).flatMap(({ node, tags }): AskedCommand[] => {
        const command = { argv, operator, approvers: [], node, tags };
        return known.has(JSON.stringify(command)) ? [] : [command];
      }),
    ),
  );
}

function verdictOf(policy: Policy, command: AskedCommand): ComparedVerdict {
  const { argv, operator, approvers, node, tags } = command;
  const request = {
    argv,
    operator,
    approvers,
    node,
    tags: new Map(Object.entries(tags)),
    unixMs: NEVER_OVER,
  };
  const decision = decide(policy, request);
  const { effect, rule } = decision;
  if (decision.effect === 'deny') {
    const { code } = decision;
    return { effect, rule, code, readOnly: undefined, path: undefined, surroundings: undefined };
  }
  const { readOnly, path, surroundings } = decision;
  return { effect, rule, code: undefined, readOnly, path, surroundings: plainSurroundings(surroundings) };
}

function plainSurroundings({ env, sandboxes, allowances, ...rest }: Surroundings): Record<string, unknown> {
  return { ...rest, env: Object.fromEntries(env), sandbox: sandboxes, ...allowances };
}

function flat({ surroundings, ...verdict }: ComparedVerdict): Record<string, unknown> {
  return { ...verdict, ...surroundings };
}

function namedChanges(before: PolicyFile, after: PolicyFile): readonly NamedChange[] {
  return [
    ...changesOf('setting', settingsOf(before.policy), settingsOf(after.policy)),
    ...changesOf('operator', operatorsOf(before.policy), operatorsOf(after.policy)),
    ...changesOf('group', groupsOf(before.policy), groupsOf(after.policy)),
    ...changesOf('rule', rulesOf(before), rulesOf(after)),
  ];
}

type Named = ReadonlyMap<string, Readonly<Record<string, unknown>>>;

function changesOf(kind: NamedChange['kind'], before: Named, after: Named): NamedChange[] {
  const changes: NamedChange[] = [];
  for (const [name, old] of before) {
    const now = after.get(name);
    if (now === undefined) changes.push({ kind, name, change: 'removed', details: [] });
    else {
      const details = differingKeys(old, now);
      if (details.length > 0) changes.push({ kind, name, change: 'changed', details });
    }
  }
  for (const name of after.keys()) {
    if (!before.has(name)) changes.push({ kind, name, change: 'added', details: [] });
  }
  return changes;
}

function settingsOf(policy: Policy): Named {
  const { environment, cluster, maxTtlSeconds, maxTtlApprovedSeconds, clockSkewSeconds } = policy;
  const settings = { environment, cluster, maxTtl: maxTtlSeconds, maxTtlApproved: maxTtlApprovedSeconds };
  return new Map(
    Object.entries({ ...settings, clockSkew: clockSkewSeconds }).map(([name, value]) => [name, { value }]),
  );
}

function operatorsOf({ operators }: Policy): Named {
  return new Map(
    [...operators].map(([name, { key, groups, notAfterUnixMs }]) => [
      name,
      { key: toHex(key), groups, notAfter: notAfterUnixMs },
    ]),
  );
}

function groupsOf({ operators }: Policy): Named {
  const members = new Map<string, Record<string, unknown>>();
  for (const [name, { groups }] of operators) {
    for (const { group, notAfterUnixMs } of groups) {
      members.set(group, { ...members.get(group), [name]: notAfterUnixMs ?? 'always' });
    }
  }
  return members;
}

/** Rules as they are written, with what they get from the defaults. */
function rulesOf({ policy, text }: PolicyFile): Named {
  return new Map(
    policy.rules.map((rule, index) => {
      const { id: _, ...written } = text.rules[index] ?? { id: rule.id };
      const gets = rule.effect === 'allow' ? plainSurroundings(rule.surroundings) : {};
      return [rule.id, { ...written, ...gets }];
    }),
  );
}

function differingKeys(
  before: Readonly<Record<string, unknown>>,
  after: Readonly<Record<string, unknown>>,
): string[] {
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...keys].filter((key) => JSON.stringify(before[key]) !== JSON.stringify(after[key]));
}

function distinct<T>(values: readonly T[]): T[] {
  return [...new Map(values.map((value) => [JSON.stringify(value), value])).values()];
}
