import { FanoutError } from '../../src/lib/errors.ts';
import { type Rng, seededRng } from '../../src/lib/rng.ts';
import { type Decision, decide } from '../../src/policy/decide.ts';
import { compilePolicy } from '../../src/policy/load.ts';
import type { Policy } from '../../src/policy/policy.ts';
import { one, randomPolicy } from './fuzz-policies.ts';
import { randomRequest } from './fuzz-requests.ts';
import { type RawPolicy, type RawRequest, referenceVerdict } from './reference.ts';

const REQUESTS_PER_POLICY = 500;
/** What links could lead to. */
const REAL_PATHS = ['/s/x', '/s/y', '/s/x/y', '/S/X/y', '/etc/passwd', '/', '/s', '/x/07', '/s/../x'];

export interface FuzzResult {
  readonly cases: number;
  /** How often each kind of verdict was given. */
  readonly mix: Readonly<Record<string, number>>;
  readonly policies: number;
  /** Arguments whose real path was asked about as well. */
  readonly paths: number;
  readonly disagreements: number;
  /** The first of them, for people. */
  readonly first: string | undefined;
}

/** Holds `decide` against the second reading of the rules in `reference.ts`, on random cases that a seed repeats. */
export function fuzz(seed: number, cases: number): FuzzResult {
  const rng = seededRng(seed);
  const mix: Record<string, number> = {};
  let [done, policies, paths, disagreements] = [0, 0, 0, 0];
  let first: string | undefined;
  while (done < cases) {
    const { raw, text } = randomPolicy(rng);
    const policy = loaded(text);
    if (policy === undefined) continue;
    policies++;
    for (let turn = 0; turn < REQUESTS_PER_POLICY && done < cases; turn++, done++) {
      const request = randomRequest(rng, raw);
      const { problem, kind, looked } = compare(rng, policy, raw, request);
      mix[kind] = (mix[kind] ?? 0) + 1;
      paths += looked;
      if (problem === undefined) continue;
      disagreements++;
      first ??= `${problem}\n${JSON.stringify(request)}\n${JSON.stringify(raw)}`;
    }
  }
  return { cases: done, mix, policies, paths, disagreements, first };
}

/** Undefined for a policy that asks for more approvals than there are people. */
function loaded(text: string): Policy | undefined {
  try {
    return compilePolicy(text, 'random.yaml').policy;
  } catch (error) {
    if (error instanceof FanoutError && error.message.includes('approvals are needed')) return undefined;
    throw error;
  }
}

function compare(
  rng: Rng,
  policy: Policy,
  raw: RawPolicy,
  request: RawRequest,
): { problem: string | undefined; kind: string; looked: number } {
  const { operator, argv, unixMs, approvers, node } = request;
  const tags = new Map(Object.entries(request.tags));
  const named = node === undefined ? {} : { node };
  const decision = decide(policy, { operator, argv, unixMs, approvers, tags, ...named });
  const expected = referenceVerdict(raw, request);
  const verdict = verdictOf(decision);
  const [kind = ''] = expected.verdict.split(' ');
  if (verdict !== expected.verdict) {
    return { problem: `decide: ${verdict}, reference: ${expected.verdict}`, kind, looked: 0 };
  }
  if (decision.effect === 'deny') return { problem: undefined, kind, looked: 0 };
  const details = (
    readOnly: boolean,
    approvedBy: readonly string[],
    paths: readonly { index: number; path: string }[],
  ): string => {
    const looked = paths.map(({ index, path }) => `${index} ${path}`).sort();
    return JSON.stringify([readOnly, [...approvedBy].sort(), looked]);
  };
  const found = details(decision.readOnly, decision.approvedBy, decision.pathChecks);
  const wanted = details(expected.readOnly, expected.approvedBy, expected.paths);
  if (found !== wanted) return { problem: `decide: ${found}, reference: ${wanted}`, kind, looked: 0 };
  for (const check of decision.pathChecks) {
    const real = rng.below(2) === 0 ? one(rng, REAL_PATHS) : check.path;
    const path = expected.paths.find(({ index }) => index === check.index);
    const agreed = path !== undefined && check.accepts(real) === expected.accepts(path, real);
    if (!agreed) return { problem: `real path ${real} of argument ${check.index}`, kind, looked: 0 };
  }
  return { problem: undefined, kind, looked: decision.pathChecks.length };
}

function verdictOf(decision: Decision): string {
  if (decision.effect === 'allow') return `allow ${decision.rule}`;
  switch (decision.code) {
    case 'deny-rule':
      return `deny ${decision.rule}`;
    case 'approvals':
      return `approvals ${decision.rule}`;
    case 'operator-unknown':
      return 'unknown';
    case 'operator-expired':
      return 'expired';
    case 'argv':
      return 'unfit';
    case 'no-rule':
      return 'none';
  }
}
