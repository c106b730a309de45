import { expect, test } from 'vitest';
import { groupTargets, type PlanTarget } from '../../src/asker/plan.ts';

const allowed = {
  rule: 'basics',
  reason: '',
  hint: '',
  program: '/usr/bin/df',
  sandbox: 'standard',
  limitMs: 9,
};
const target = (name: string, changes: Partial<PlanTarget> = {}): PlanTarget => {
  return { name, verdict: 'allowed', readOnly: true, ...allowed, ...changes };
};

test('nodes that would do the same for the same reason are one group; the worst come first, then the larger', () => {
  const groups = groupTargets([
    target('web1'),
    target('web2', { readOnly: false }),
    target('web3', { readOnly: false, limitMs: 1 }),
    target('web4', { verdict: 'denied', rule: 'no-df', reason: 'not here' }),
    target('web5', { verdict: 'silent', rule: '', reason: 'it never acknowledged the command' }),
    target('web6', { verdict: 'denied', rule: '', reason: 'not here' }),
    target('web7', { verdict: 'untrusted', reason: 'its key has changed' }),
    target('web8', { verdict: 'denied', rule: '', reason: 'not here' }),
    target('web9', { verdict: 'failed', reason: 'no such program' }),
  ]);
  expect(groups.map(({ verdict, names }) => `${verdict} ${names.join(' ')}`)).toEqual([
    'untrusted web7',
    'failed web9',
    'silent web5',
    'denied web6 web8',
    'denied web4',
    'allowed web2 web3',
    'allowed web1',
  ]);
});
