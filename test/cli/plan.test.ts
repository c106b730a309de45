import { expect, test } from 'vitest';
import { planText } from '../../src/cli/plan.ts';

test('a plan is a table with the worst first, and says how many would run it and where it may change something', () => {
  const target = { rule: 'r', reason: '', hint: '', program: '', sandbox: '', limitMs: undefined };
  const text = planText({
    targets: [
      { ...target, name: 'web1', verdict: 'allowed', readOnly: true },
      { ...target, name: 'web2', verdict: 'allowed', readOnly: false },
      { ...target, name: 'web3', verdict: 'denied', readOnly: undefined },
    ],
    groups: [
      { verdict: 'denied', rule: '', reason: 'nothing allows it', readOnly: undefined, names: ['web3'] },
      { verdict: 'allowed', rule: 'disk', reason: '', readOnly: true, names: ['web1'] },
      { verdict: 'allowed', rule: 'disk', reason: '', readOnly: false, names: ['web2'] },
    ],
    counts: { untrusted: 0, failed: 0, silent: 0, denied: 1, allowed: 2 },
    exitCode: 5,
  });
  expect(text.split('\n')).toEqual([
    'COUNT  VERDICT  NODES  WHY',
    '1      denied   web3   nothing allows it',
    '1      allowed  web1   rule "disk": read-only',
    '1      allowed  web2   rule "disk": may change something',
    '2 of 3 would run it, on 1 it may change something',
  ]);
});

test('what nodes say cannot steer the terminal', () => {
  const names = ['web\u001b[2J'];
  const text = planText({
    targets: [],
    groups: [{ verdict: 'denied', rule: 'a\u001b]0;x\u0007', reason: 'b\r\nc', readOnly: undefined, names }],
    counts: { untrusted: 0, failed: 0, silent: 0, denied: 1, allowed: 0 },
    exitCode: 5,
  });
  expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/);
  expect(text.split('\n').length).toBe(3);
});
