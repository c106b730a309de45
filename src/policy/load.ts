import { createHash } from 'node:crypto';
import * as v from 'valibot';
import { utf8 } from '../lib/bytes.ts';
import type { FanoutError } from '../lib/errors.ts';
import { checkExamples } from './examples.ts';
import { compileOperators } from './operators.ts';
import { Place } from './place.ts';
import type { Policy } from './policy.ts';
import { compileRules } from './rules.ts';
import { policySchema } from './schema.ts';
import { type YamlPath, YamlSource } from './yaml-source.ts';

/**
 * How long a signed command may be valid where a policy does not say. An operator's command needs seconds.
 */
const MAX_TTL_SECONDS = 60;
/** How far clocks may differ where a policy does not say. Machines with NTP stay far below. */
const CLOCK_SKEW_SECONDS = 30;
/** How long one that waits for approvals may be valid where a policy does not say. */
const MAX_TTL_APPROVED_SECONDS = 900;

/**
 * Reads, checks and compiles a policy, and evaluates its examples. Throws FanoutError POLICY_INVALID with
 * file, line, an excerpt with a caret, and a hint: a policy is sound as a whole or not in force at all.
 * `file` is for messages only.
 */
export function loadPolicy(text: string, file: string): Policy {
  const source = new YamlSource(text, file);
  const result = v.safeParse(policySchema, source.value);
  if (!result.success) throw schemaError(source, result.issues);
  const { output } = result;
  const place = new Place(source);
  const operators = compileOperators(output.operators, place.at('operators'));
  const policy: Policy = {
    file,
    hash: createHash('sha256').update(utf8(text)).digest('hex'),
    environment: output.environment,
    cluster: output.cluster ?? '',
    operators,
    rules: compileRules(output, operators, place),
    maxTtlSeconds: output.defaults?.maxTtl ?? MAX_TTL_SECONDS,
    maxTtlApprovedSeconds: Math.max(
      output.defaults?.maxTtlApproved ?? MAX_TTL_APPROVED_SECONDS,
      output.defaults?.maxTtl ?? MAX_TTL_SECONDS,
    ),
    clockSkewSeconds: output.defaults?.clockSkew ?? CLOCK_SKEW_SECONDS,
  };
  checkExamples(policy, output.examples, place.at('examples'));
  return policy;
}

/** The problem that comes first in the file. The others may well be its consequences. */
function schemaError(source: YamlSource, issues: readonly v.BaseIssue<unknown>[]): FanoutError {
  const problems = issues.map(({ message, path = [], expected }) => ({
    path: path.map(({ key }) => key as string | number) satisfies YamlPath,
    lines: message.split('\n'),
    atKey: expected === 'never',
  }));
  problems.sort((a, b) => source.offsetOf(a.path) - source.offsetOf(b.path));
  const { path, lines, atKey } = problems[0] ?? { path: [], lines: [], atKey: false };
  const [message = 'this is not a policy', hint] = lines;
  const key = path.findLast((step) => typeof step === 'string');
  const isNamed =
    atKey ||
    message.startsWith('the key') ||
    key === undefined ||
    (path.length === 2 && path[0] !== 'defaults');
  return new Place(source, path).error(isNamed ? message : `${key}: ${message}`, hint, atKey);
}
