import { describe, expect, test } from 'vitest';
import { decide } from '../../src/policy/decide.ts';
import { loadPolicy } from '../../src/policy/load.ts';
import { request, someKey } from './fixtures.ts';

const DAY = 86_400_000;
const FIRST_OF_2030 = Date.parse('2030-01-01T00:00:00Z');

const policy = loadPolicy(
  `version: 1
environment: test
operators:
  alice: { key: "${someKey('alice')}", groups: [sre] }
  bob: { key: "${someKey('bob')}", groups: [sre, { name: approver, notAfter: 2030-01-01 }] }
  carol: { key: "${someKey('carol')}", groups: [approver], notAfter: 2030-01-03 }
  dave: { key: "${someKey('dave')}", groups: [dev] }
rules:
  - id: never
    effect: deny
    anyArg: ["*secret*"]
  - id: restart
    effect: allow
    operators: ["group:sre"]
    tags: { role: web }
    approvals: { need: 1, from: ["group:approver"] }
    commands: [{ program: systemctl, argv: [restart, "app-*.service"] }]
  - id: reboot
    effect: allow
    operators: ["group:sre", "group:approver"]
    approvals: { need: 2, from: ["group:approver", alice] }
    commands: [{ program: reboot, argv: [] }]
`,
  'approvals.yaml',
);

const RESTART = ['systemctl', 'restart', 'app-1.service'];

describe('a rule with approvals', () => {
  test('allows what enough of the named have signed, and says who they were', () => {
    const decision = decide(policy, request(RESTART, { approvers: ['carol', 'dave'] }));
    expect(decision).toMatchObject({ effect: 'allow', rule: 'restart', approvedBy: ['carol'] });
  });

  test.each([
    ['nobody signed', { approvers: [] }],
    ['nobody was asked', {}],
    ['only the one who asks', { operator: 'bob', approvers: ['bob'] }],
    ['somebody who is not named', { approvers: ['dave'] }],
    ['somebody whom the policy does not know', { approvers: ['mallory', 'toString', '__proto__'] }],
    ['somebody whose place in the group is over', { approvers: ['bob'], unixMs: FIRST_OF_2030 + DAY }],
    ['somebody whose key has expired', { approvers: ['carol'], unixMs: FIRST_OF_2030 + 3 * DAY }],
  ])('denies: %s', (_, changes) => {
    expect(decide(policy, request(RESTART, changes))).toMatchObject({
      effect: 'deny',
      code: 'approvals',
      rule: 'restart',
    });
  });

  test('a place in a group holds to the end of its last day', () => {
    const last = request(RESTART, { approvers: ['bob'], unixMs: FIRST_OF_2030 + DAY - 1 });
    expect(decide(policy, last)).toMatchObject({ effect: 'allow' });
  });

  test('counts each person once', () => {
    const argv = ['reboot'];
    expect(decide(policy, request(argv, { operator: 'bob', approvers: ['carol', 'carol'] }))).toMatchObject({
      effect: 'deny',
      code: 'approvals',
    });
    expect(decide(policy, request(argv, { operator: 'bob', approvers: ['carol', 'alice'] }))).toMatchObject({
      effect: 'allow',
      approvedBy: ['carol', 'alice'],
    });
  });

  test('approvals buy nothing else: a denial, another node, another command, another operator', () => {
    const approvers = ['carol', 'bob'];
    const elsewhere = new Map([['role', 'db']]);
    expect(decide(policy, request(['reboot', 'secret'], { approvers }))).toMatchObject({ code: 'deny-rule' });
    expect(decide(policy, request(RESTART, { approvers, tags: elsewhere }))).toMatchObject({
      code: 'no-rule',
    });
    expect(decide(policy, request(['systemctl', 'stop', 'app-1.service'], { approvers }))).toMatchObject({
      code: 'no-rule',
    });
    expect(decide(policy, request(RESTART, { approvers, operator: 'dave' }))).toMatchObject({
      code: 'no-rule',
    });
  });
});

test('a need that nobody can fill is refused when the policy is read', () => {
  const text = `version: 1
environment: test
operators:
  alice: { key: "${someKey('alice')}", groups: [sre] }
rules:
  - id: restart
    effect: allow
    approvals: { need: 2, from: ["group:sre"] }
    commands: [{ program: id }]
`;
  expect(() => loadPolicy(text, 'x.yaml')).toThrow('2 approvals are needed, and 1 people could give one');
});
