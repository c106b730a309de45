import type { Place } from './place.ts';
import type { Operator, Policy, QueryRule } from './policy.ts';
import { checkNames } from './rules.ts';
import type { PolicyText } from './schema.ts';

/** Queries that are answered inside of every agent, and names that mean something there. */
const RESERVED = /^(?:_serf_.*|fanout|fanout-about)$/s;

/** The queries that a policy has answered. Throws FanoutError POLICY_INVALID at the place of the first unsound one. */
export function compileQueries(
  text: PolicyText['queries'],
  operators: ReadonlyMap<string, Operator>,
  place: Place,
): readonly QueryRule[] {
  const names = new Set<string>();
  return text.map((query, index) => {
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
    return { name, operators: query.operators };
  });
}

/** Whether every member of the cluster may ask this node the query, without a signature. */
export function mayAnyoneAsk(policy: Policy, query: string): boolean {
  return policy.queries.some(({ name, operators }) => name === query && operators === undefined);
}
