import type { Selector } from '../identity/envelope.ts';
import { FanoutError } from '../lib/errors.ts';
import { naturalOrder } from '../lib/natural-order.ts';
import { sanitiseText } from '../lib/sanitise.ts';
import { matchesSelector, parseTagSelector } from '../policy/selector.ts';
import type { MemberRecord } from '../rpc/members.ts';

/** The selector of --tag and --node. Throws FanoutError USAGE. */
export function selectorFrom(options: { tag?: readonly string[]; node?: readonly string[] }): Selector {
  return { tags: (options.tag ?? []).map(parseTagSelector), nodes: [...(options.node ?? [])] };
}

/** Decides whether a member matches --tag and --node. */
export function matcherFrom(options: Parameters<typeof selectorFrom>[0]): (member: MemberRecord) => boolean {
  const selector = selectorFrom(options);
  return (member) => matchesSelector(selector, member);
}

/** Names of the living members that match. Throws FanoutError NO_MATCH, saying who is there, when there is none. */
export function targetsOf(selector: Selector, members: readonly MemberRecord[]): string[] {
  const matching = members
    .filter((member) => matchesSelector(selector, member))
    .sort((a, b) => naturalOrder(a.name, b.name));
  const alive = matching.filter(({ status }) => status === 'alive');
  if (alive.length > 0) return alive.map(({ name }) => name);
  const gone = matching.map(({ name, status }) => `${sanitiseText(name)} (${status})`).join(', ');
  throw new FanoutError(
    'NO_MATCH',
    gone === '' ? 'no member matches' : `no living member matches, only ${gone}`,
    {
      hint: `${members.length} member${members.length === 1 ? ' is' : 's are'} known; "fanout members" lists them with their tags.`,
    },
  );
}
