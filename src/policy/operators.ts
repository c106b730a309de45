import { ED25519_KEY_BYTES } from '../identity/ed25519.ts';
import { keyId, parsePublicLine } from '../identity/ssh-key.ts';
import { equalBytes } from '../lib/bytes.ts';
import type { Place } from './place.ts';
import type { Membership, Operator, Policy } from './policy.ts';
import { isOperatorName, type OperatorText, type PolicyText } from './schema.ts';

const DAY_MS = 86_400_000;

/**
 * Operators of a policy text. Throws FanoutError POLICY_INVALID at the place of the first one that is not
 * sound.
 */
export function compileOperators(text: PolicyText['operators'], place: Place): ReadonlyMap<string, Operator> {
  const operators = new Map<string, Operator>();
  for (const [name, entry] of Object.entries(text)) {
    const here = place.at(name);
    if (!isOperatorName(name)) {
      throw here.error('is not a name that an operator can have', 'Take letters, digits and . _ @ -', true);
    }
    const operator = compileOperator(entry, here);
    for (const [other, { key }] of operators) {
      if (!equalBytes(secretOf(key), secretOf(operator.key))) continue;
      throw here
        .at('key')
        .error(`has the same key as "${other}"`, 'Nobody could tell who signed. Remove one of them.');
    }
    operators.set(name, operator);
  }
  return operators;
}

/** The operator of this policy whose key has this id (`keyId`, 8 bytes), or undefined. The id proves nothing by itself. */
export function operatorByKeyId(
  policy: Policy,
  id: Uint8Array,
): { readonly name: string; readonly key: Uint8Array } | undefined {
  for (const [name, { key }] of policy.operators) if (equalBytes(keyId(key), id)) return { name, key };
  return undefined;
}

/**
 * What stands for the secret: all of a key but the application of a security key. Whoever has the secret in a file can sign
 * for any application, and would count as two people.
 */
function secretOf(key: Uint8Array): Uint8Array {
  return key.subarray(0, ED25519_KEY_BYTES);
}

function compileOperator(text: OperatorText, place: Place): Operator {
  const { key } = place.at('key').attempt(() => parsePublicLine(text.key));
  const groups = text.groups.map((entry, index): Membership => {
    if (typeof entry === 'string') return { group: entry, notAfterUnixMs: undefined };
    const here = place.at('groups', index, 'notAfter');
    return { group: entry.name, notAfterUnixMs: lastMoment(entry.notAfter, here) };
  });
  return { key, groups, notAfterUnixMs: lastMoment(text.notAfter, place.at('notAfter')) };
}

function lastMoment(notAfter: string | undefined, place: Place): number | undefined {
  const unixMs = notAfter === undefined ? undefined : endOfDay(notAfter);
  if (unixMs === undefined || !Number.isNaN(unixMs)) return unixMs;
  throw place.error(`there is no day ${notAfter}`, 'Write it like 2030-12-31.');
}

/** A moment before every expiry, for questions about what a policy says at all. */
export const NEVER_OVER = 0;

/** Whether a list of names and `group:NAME` names this operator at that moment. */
export function isNamed(
  entries: readonly string[],
  name: string,
  operator: Operator,
  unixMs: number,
): boolean {
  const groups = groupsAt(operator, unixMs);
  return entries.some((entry) =>
    entry.startsWith('group:') ? groups.includes(entry.slice('group:'.length)) : entry === name,
  );
}

/** The groups that an operator is in at a moment. */
export function groupsAt(operator: Operator, unixMs: number): readonly string[] {
  return operator.groups
    .filter(({ notAfterUnixMs }) => notAfterUnixMs === undefined || unixMs < notAfterUnixMs)
    .map(({ group }) => group);
}

/** Whether the operator's key is one at that moment. */
export function isExpired(operator: Operator, unixMs: number): boolean {
  return operator.notAfterUnixMs !== undefined && unixMs >= operator.notAfterUnixMs;
}

/**
 * The first moment behind a day (UTC) in Unix milliseconds; NaN for a day that the calendar does not have.
 */
function endOfDay(day: string): number {
  const start = Date.parse(`${day}T00:00:00Z`);
  const isReal = !Number.isNaN(start) && new Date(start).toISOString().startsWith(day);
  return isReal ? start + DAY_MS : Number.NaN;
}
