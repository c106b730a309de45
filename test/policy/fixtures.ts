import { generateKeyPairSync } from 'node:crypto';
import { formatPublicLine } from '../../src/identity/ssh-key.ts';
import type { PolicyRequest } from '../../src/policy/judge.ts';
import { compilePolicy } from '../../src/policy/load.ts';
import type { Policy } from '../../src/policy/policy.ts';

/** The public line of a key whose private half is thrown away. Tests never depend on which key it is. */
export function someKey(name: string): string {
  const { x } = generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' });
  return formatPublicLine(new Uint8Array(Buffer.from(x as string, 'base64url')), name);
}

export const ALICE = someKey('alice');
export const BOB = someKey('bob');

/** A policy of these rules (YAML, indented by two) in which alice is in sre and bob in dev. */
export function policyText(rules: string, more = ''): string {
  return `version: 1
environment: test
operators:
  alice: { key: "${ALICE}", groups: [sre] }
  bob: { key: "${BOB}", groups: [dev], notAfter: 2030-12-31 }
rules:
${rules}
${more}`;
}

export function policyOf(rules: string, more = ''): Policy {
  // What is dangerous has its own tests; the meaning of a rule does not hang on it.
  return compilePolicy(policyText(rules, more), 'test.yaml').policy;
}

/** A policy with one allow rule for everybody, and these entries as its commands (flow mappings). */
export function policyAllowing(...commands: string[]): Policy {
  const lines = commands.map((command) => `      - ${command}`);
  return policyOf(['  - id: only', '    effect: allow', '    commands:', ...lines].join('\n'));
}

export function request(argv: readonly string[], changes: Partial<PolicyRequest> = {}): PolicyRequest {
  return { operator: 'alice', tags: new Map([['role', 'web']]), argv, unixMs: 0, ...changes };
}

/** The root folder as a process sees it: another way to every file. */
export function rootOf(process: number | 'self'): string {
  return `/proc/${process}/root`;
}
