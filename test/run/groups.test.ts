import { describe, expect, test } from 'vitest';
import { diffTexts } from '../../src/run/diff.ts';
import { groupsOf, largestFirst, outliersFirst, referenceGroup } from '../../src/run/groups.ts';
import { type RunEvent, reduceRun, startRun } from '../../src/run/model.ts';
import { maxRemoteCode } from '../../src/run/remote-code.ts';
import { processorMs } from '../support/cost.ts';

const accepted = (node: string): RunEvent => ({
  kind: 'accepted',
  node,
  rule: 'r',
  program: '/bin/ps',
  sandbox: 'none',
  firstSeen: false,
  readOnly: true,
  limitMs: 1000,
});
const ended = (node: string, code: number | null, signal: string | null = null): RunEvent => ({
  kind: 'ended',
  node,
  code,
  signal,
  cause: 'exit',
  durationMs: 1,
  stdoutBytes: 1,
  stderrBytes: 0,
});

function runOf(...events: RunEvent[]) {
  const names = ['a', 'b', 'c', 'd', 'e', 'f'];
  return events.reduce((state, event) => reduceRun(state, event, 1), startRun(names, 1000, 0));
}

const run = runOf(
  ...['a', 'b', 'c', 'd', 'e'].map(accepted),
  ended('a', 0),
  ended('b', 0),
  ended('c', 0),
  ended('d', 3),
  ended('e', null, 'SIGKILL'),
  { kind: 'denied', node: 'f', code: 'x', rule: 'never', reason: 'no shells' },
);
const digests: Record<string, string> = { a: '1', b: '1', c: '2', d: '1', e: '', f: '' };
const groups = groupsOf([...run.targets.values()], (node) => digests[node] ?? '');

describe('groups of answers', () => {
  test('need the same output and the same exit code', () => {
    expect(groups.map(({ names, outcome, code }) => [names.join(), outcome, code])).toEqual([
      ['a,b', 'ok', 0],
      ['c', 'ok', 0],
      ['d', 'failed', 3],
      ['e', 'failed', null],
      ['f', 'denied', null],
    ]);
  });

  test('on screens the worst come first, and of equally bad ones the rarest', () => {
    expect(outliersFirst(groups).map(({ names }) => names.join())).toEqual(['d', 'e', 'f', 'c', 'a,b']);
  });

  test('in plain text the largest come first, and failures last', () => {
    expect(largestFirst(groups).map(({ names }) => names.join())).toEqual(['a,b', 'c', 'f', 'd', 'e']);
  });

  test('are compared with the lowest exit code, then the largest', () => {
    expect(referenceGroup(groups)?.names).toEqual(['a', 'b']);
    expect(referenceGroup(groups.filter(({ code }) => code !== 0))?.names).toEqual(['d']);
    expect(referenceGroup([])).toBeUndefined();
  });
});

describe('a difference', () => {
  test('is shown with three lines of context', () => {
    const before = Array.from({ length: 20 }, (_, i) => `line ${i}\n`).join('');
    const { lines, problem } = diffTexts(before, before.replace('line 10', 'LINE 10'));
    expect(problem).toBe('');
    expect(lines.map(({ kind, text }) => `${kind} ${text}`)).toEqual([
      'head @@ -8,7 +8,7 @@',
      'context line 7',
      'context line 8',
      'context line 9',
      'removed line 10',
      'added LINE 10',
      'context line 11',
      'context line 12',
      'context line 13',
    ]);
  });

  test('of the same texts is none', () => {
    expect(diffTexts('a\n', 'a\n')).toEqual({ lines: [], problem: '' });
  });

  test('of texts that have nothing in common is not attempted for long', () => {
    const text = (stem: string): string =>
      Array.from({ length: 30_000 }, (_, i) => `${stem} ${i}\n`).join('');
    const comparing = (): void => {
      const { lines, problem } = diffTexts(text('a'), text('b'));
      expect(lines).toEqual([]);
      expect(problem).toContain('the first difference is in line 1');
    };
    expect(processorMs(comparing)).toBeLessThan(10_000);
    expect(diffTexts('x'.repeat(5_000_000), 'y').problem).toContain('too long');
  });
});

test('the largest code of a run counts what did not run as 255, timeouts as 124, signals from 128', () => {
  const number = (): number => 9;
  expect(maxRemoteCode(run, number)).toBe(255);
  expect(maxRemoteCode(reduceRun(startRun(['a'], 1, 0), accepted('a'), 1), number)).toBe(255);
  const one = (...events: RunEvent[]) =>
    maxRemoteCode(
      events.reduce((state, event) => reduceRun(state, event, 1), startRun(['a'], 1000, 0)),
      number,
    );
  expect(one(accepted('a'), ended('a', 3))).toBe(3);
  expect(one(accepted('a'), ended('a', null, 'SIGKILL'))).toBe(137);
  expect(one(accepted('a'), { ...(ended('a', null) as object), cause: 'timeout' } as RunEvent)).toBe(124);
});
