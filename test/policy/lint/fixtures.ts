import type { LintFinding } from '../../../src/policy/lint/finding.ts';
import { lintPolicy } from '../../../src/policy/lint/lint.ts';
import { compilePolicy } from '../../../src/policy/load.ts';
import { policyText } from '../fixtures.ts';

/** A quiet day: before every expiry. */
export const QUIET_DAY = Date.UTC(2029, 0, 1);

export function lint(rules: string, more = '', unixMs = QUIET_DAY): readonly LintFinding[] {
  return lintPolicy(compilePolicy(policyText(rules, more), 'test.yaml'), unixMs);
}

/** Findings about one command (a flow mapping) in a rule that is harmless otherwise. */
export function lintCommand(command: string, rule = ''): readonly LintFinding[] {
  return lint(`  - { id: never, effect: deny, programs: [sh] }
  - id: only
    effect: allow
${rule}    commands:
      - ${command}`);
}
