import { createHash } from 'node:crypto';
import * as v from 'valibot';
import { utf8 } from '../lib/bytes.ts';
import { checkExamples } from './examples.ts';
import { firstDanger } from './lint/lint.ts';
import { compileOperators } from './operators.ts';
import { Place } from './place.ts';
import type { Policy } from './policy.ts';
import { compileQueries } from './queries.ts';
import { compileRules } from './rules.ts';
import { type PolicyText, policySchema } from './schema.ts';
import { type SourceError, type YamlPath, YamlSource } from './yaml-source.ts';

/**
 * How long a signed command may be valid where a policy does not say. An operator's command needs seconds.
 */
const MAX_TTL_SECONDS = 60;
/** How far clocks may differ where a policy does not say. Machines with NTP stay far below. */
const CLOCK_SKEW_SECONDS = 30;
/** How long one that waits for approvals may be valid where a policy does not say. */
const MAX_TTL_APPROVED_SECONDS = 900;

/** A policy, and the text that it was compiled from. */
export interface PolicyFile {
  readonly policy: Policy;
  readonly text: PolicyText;
  readonly source: YamlSource;
  /** Ids of the rules that allow some example. */
  readonly decidedByExamples: ReadonlySet<string>;
}

/**
 * Reads, checks and compiles a policy, evaluates its examples, and refuses what is dangerous without a sentence
 * that says why. Throws FanoutError POLICY_INVALID with file, line, an excerpt with a caret, and a hint: a
 * policy is sound as a whole or not in force at all. `file` is for messages only.
 */
export function loadPolicy(text: string, file: string): Policy {
  const compiled = compilePolicy(text, file);
  const danger = firstDanger(compiled);
  if (danger === undefined) return compiled.policy;
  const { path, message, hint, atKey } = danger;
  throw new Place(compiled.source, path).error(`danger: ${message}`, hint, atKey);
}

/** As `loadPolicy`, dangers or not: for looking at a policy, never for deciding by it. */
export function compilePolicy(text: string, file: string): PolicyFile {
  const source = new YamlSource(text, file);
  const [first] = shapeErrors(source);
  if (first !== undefined) throw first;
  const output = v.parse(policySchema, source.value);
  const place = new Place(source);
  const operators = compileOperators(output.operators, place.at('operators'));
  const policy: Policy = {
    file,
    hash: createHash('sha256').update(utf8(text)).digest('hex'),
    environment: output.environment,
    cluster: output.cluster ?? '',
    operators,
    rules: compileRules(output, operators, place),
    queries: compileQueries(output, operators, place.at('queries')),
    maxTtlSeconds: output.defaults?.maxTtl ?? MAX_TTL_SECONDS,
    maxTtlApprovedSeconds: Math.max(
      output.defaults?.maxTtlApproved ?? MAX_TTL_APPROVED_SECONDS,
      output.defaults?.maxTtl ?? MAX_TTL_SECONDS,
    ),
    clockSkewSeconds: output.defaults?.clockSkew ?? CLOCK_SKEW_SECONDS,
  };
  const decidedByExamples = checkExamples(policy, output.examples, place.at('examples'));
  return { policy, text: output, source, decidedByExamples };
}

/** What is wrong with the shape of a file, in the order of the file. The later ones may well be consequences. */
export function shapeErrors(source: YamlSource): readonly SourceError[] {
  const result = v.safeParse(policySchema, source.value);
  return result.success ? [] : errorsOf(source, result.issues);
}

/** The problem that comes first in the file. */
export function schemaError(source: YamlSource, issues: readonly v.BaseIssue<unknown>[]): SourceError {
  return errorsOf(source, issues)[0] ?? new Place(source).error('this has another shape');
}

function errorsOf(source: YamlSource, issues: readonly v.BaseIssue<unknown>[]): readonly SourceError[] {
  const problems = issues.map(({ message, path = [], expected }) => ({
    path: path.map(({ key }) => key as string | number) satisfies YamlPath,
    lines: message.split('\n'),
    atKey: expected === 'never',
  }));
  problems.sort((a, b) => source.offsetOf(a.path) - source.offsetOf(b.path));
  return problems.map(({ path, lines, atKey }) => {
    const [message = 'this is not a policy', hint] = lines;
    const key = path.findLast((step) => typeof step === 'string');
    const isNamed =
      atKey ||
      message.startsWith('the key') ||
      key === undefined ||
      (path.length === 2 && path[0] !== 'defaults');
    return new Place(source, path).error(isNamed ? message : `${key}: ${message}`, hint, atKey);
  });
}
