import type { Decision } from './decide.ts';
import type { Matcher } from './glob.ts';
import { isDeniedPath } from './judge.ts';
import type { Place } from './place.ts';
import type { Operator, Policy, QueryRule } from './policy.ts';
import { checkNames } from './rules.ts';
import type { PolicyText } from './schema.ts';
import { compileSurroundings } from './surroundings.ts';

/** Queries that are answered inside of every agent, and names that mean something there. */
const RESERVED = /^(?:_serf_.*|fanout|fanout-about)$/s;

/** The queries that a policy has answered. Throws FanoutError POLICY_INVALID at the place of the first unsound one. */
export function compileQueries(
  text: PolicyText,
  operators: ReadonlyMap<string, Operator>,
  place: Place,
): readonly QueryRule[] {
  const surroundings = compileSurroundings({}, text.defaults, place);
  const names = new Set<string>();
  return text.queries.map((query, index) => {
    const here = place.at(index);
    const { name } = query;
    if (RESERVED.test(name)) {
      throw here.at('name').error(`"${name}" is a query between agents`, 'Give the query another name.');
    }
    if (names.has(name)) throw here.at('name').error(`"${name}" is named twice`, 'Remove one of the two.');
    names.add(name);
    if (query.from === undefined && query.operators === undefined) {
      const hint = 'Write from: any for every member, or operators: [...] for signed questions alone.';
      throw here.error(`the query "${name}" does not say who may ask it`, hint);
    }
    if (query.from !== undefined && query.operators !== undefined) {
      throw here.error(
        'from and operators exclude each other',
        'Who may ask it, need not sign: keep one of them.',
      );
    }
    checkNames(query.operators ?? [], operators, here.at('operators'));
    return { name, operators: query.operators, surroundings };
  });
}

/** The decision about a question that nobody signed; undefined when the policy does not have everybody's answered. */
export function decideUnsigned(
  policy: Policy,
  question: { readonly query: string; readonly node: string; readonly tags: ReadonlyMap<string, string> },
  unixMs: number,
): Extract<Decision, { effect: 'allow' }> | undefined {
  const { query, node, tags } = question;
  const found = policy.queries.find(({ name, operators }) => name === query && operators === undefined);
  if (found === undefined) return undefined;
  return allowedQuery(found, isDeniedPath(policy, { operator: undefined, node, tags, argv: [], unixMs }));
}

/** What an answered query may use. */
export function allowedQuery(
  { name, surroundings }: QueryRule,
  isDenied: Matcher,
): Extract<Decision, { effect: 'allow' }> {
  const rule = `query:${name}`;
  return {
    effect: 'allow',
    rule,
    // What its handler does, the policy does not say.
    readOnly: false,
    program: rule,
    path: undefined,
    pathChecks: [],
    isDenied,
    surroundings,
    approvedBy: [],
    dangerous: undefined,
  };
}

/** Whether every member of the cluster may ask this node the query, without a signature. */
export function mayAnyoneAsk(policy: Policy, query: string): boolean {
  return policy.queries.some(({ name, operators }) => name === query && operators === undefined);
}
