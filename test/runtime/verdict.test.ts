import { expect, test } from 'vitest';
import { confirmVerdict, type RunVerdict } from '../../src/runtime/verdict.ts';
import { specOf } from './command-helper.ts';

const accepted: RunVerdict = {
  kind: 'run',
  spec: specOf(['true']),
  rule: 'basics',
  readOnly: true,
  limitMs: 30_000,
};

test('what would run as it was accepted runs, with the limits of now', () => {
  const now = { ...accepted, limitMs: 5000 };
  expect(confirmVerdict(accepted, now)).toBe(now);
});

test('a refusal of now is the answer', () => {
  const failed = { kind: 'failed', reason: 'no sandbox', hint: '' } as const;
  expect(confirmVerdict(accepted, failed)).toBe(failed);
});

test.each<[string, Partial<RunVerdict>]>([
  ['by another rule', { rule: 'other' }],
  ['by a rule that changes something', { readOnly: false }],
  ['as another program', { spec: { ...accepted.spec, path: '/usr/local/bin/true' } }],
  ['in another sandbox', { spec: { ...accepted.spec, sandbox: 'strict' } }],
])('a command that would now run %s is denied: its asker was told otherwise', (_how, changes) => {
  expect(confirmVerdict(accepted, { ...accepted, ...changes })).toMatchObject({
    kind: 'denied',
    code: 'changed',
  });
});
