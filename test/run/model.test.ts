import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  exitCode,
  FINAL_STATES,
  isFinal,
  type RunEvent,
  type RunState,
  reduceRun,
  startRun,
  type Target,
} from '../../src/run/model.ts';

const NAMES = ['web1', 'web2', 'web10', 'db1'];
const accepted = (node: string): RunEvent => {
  const verdict = { rule: 'r', program: '/bin/ps', sandbox: 'standard', readOnly: false, limitMs: 1000 };
  return { kind: 'accepted', node, firstSeen: false, ...verdict };
};
const ended = (node: string, facts: Partial<Extract<RunEvent, { kind: 'ended' }>> = {}): RunEvent => ({
  kind: 'ended',
  node,
  code: 0,
  signal: null,
  cause: 'exit',
  durationMs: 5,
  stdoutBytes: 0,
  stderrBytes: 0,
  ...facts,
});

function runAfter(names: readonly string[], ...events: RunEvent[]): RunState {
  return events.reduce((state, event, i) => reduceRun(state, event, i + 1), startRun(names, 1000, 0));
}

function target(state: RunState, name: string): Target {
  return state.targets.get(name)!;
}

const node = fc.constantFrom(...NAMES, 'stranger');
const anyEvent: fc.Arbitrary<RunEvent> = fc.oneof(
  node.map((node): RunEvent => ({ kind: 'acked', node })),
  fc.record({ node, firstSeen: fc.boolean() }).map(({ node, firstSeen }): RunEvent => {
    const verdict = { rule: 'r', program: '/bin/ps', sandbox: 'none', readOnly: true, limitMs: 1000 };
    return { kind: 'accepted', node, firstSeen, ...verdict };
  }),
  node.map((node): RunEvent => ({ kind: 'started', node })),
  node.map((node): RunEvent => ({ kind: 'allowed', node })),
  node.map((node): RunEvent => ({ kind: 'cancel', node })),
  node.map((node): RunEvent => ({ kind: 'cancel-over', node })),
  fc.nat().map((timeoutMs): RunEvent => ({ kind: 'deadline', timeoutMs })),
  fc.constant<RunEvent>({ kind: 'halt', reason: 'too many errors' }),
  fc.record({ node, bytes: fc.nat() }).map(({ node, bytes }): RunEvent => {
    return { kind: 'output', node, stream: bytes % 2 === 0 ? 'stdout' : 'stderr', bytes };
  }),
  fc
    .record({
      node,
      code: fc.option(fc.constantFrom(0, 1, 255)),
      signal: fc.option(fc.constant('SIGKILL')),
      cause: fc.constantFrom(
        'exit' as const,
        'timeout' as const,
        'output-limit' as const,
        'cancelled' as const,
      ),
    })
    .map(({ node, ...facts }) => ended(node, facts)),
  node.map((node): RunEvent => ({ kind: 'denied', node, code: 'c', rule: 'r', reason: 'no' })),
  node.map((node): RunEvent => ({ kind: 'failed', node, reason: 'no such program', hint: 'install it' })),
  node.map((node): RunEvent => ({ kind: 'untrusted', node, reason: 'its key has changed' })),
  node.map((node): RunEvent => ({ kind: 'disconnected', node })),
  fc
    .record({ node, status: fc.constantFrom('none', 'alive', 'leaving', 'left', 'failed') })
    .map(({ node, status }): RunEvent => ({ kind: 'member', node, status: status as 'alive' })),
  node.map((node): RunEvent => ({ kind: 'joined-late', node })),
  fc.constantFrom<RunEvent>(
    { kind: 'interrupt' },
    { kind: 'timeout' },
    { kind: 'grace-over' },
    { kind: 'agent-lost' },
  ),
);

describe('for any sequence of events', () => {
  const names = fc.uniqueArray(fc.constantFrom(...NAMES));

  test('every target ends in exactly one final state once the grace after a stop is over', () => {
    fc.assert(
      fc.property(names, fc.array(anyEvent, { maxLength: 60 }), fc.boolean(), (names, events, interrupts) => {
        const stop: RunEvent = { kind: interrupts ? 'interrupt' : 'timeout' };
        const state = runAfter(names, ...events, stop, { kind: 'grace-over' });
        expect(state.phase).toBe('ended');
        expect(state.open).toBe(0);
        const counts = FINAL_STATES.map(
          (final) => [...state.targets.values()].filter((one) => one.state === final).length,
        );
        expect(counts.reduce((sum, count) => sum + count, 0)).toBe(state.targets.size);
        for (const name of names) expect(state.targets.has(name)).toBe(true);
      }),
      { numRuns: 3000 },
    );
  });

  test('a final target never changes unless it is doubted, nobody goes back, and `open` counts those that are not final', () => {
    const rank = ['pending', 'acked', 'accepted', 'running'];
    const rankOf = (one: Target): number => (isFinal(one.state) ? rank.length : rank.indexOf(one.state));
    fc.assert(
      fc.property(names, fc.array(anyEvent, { maxLength: 60 }), (names, events) => {
        let state = startRun(names, 1000, 0);
        for (const [i, event] of events.entries()) {
          const before = new Map(state.targets);
          state = reduceRun(state, event, i + 1);
          expect([...state.targets.values()].filter((one) => !isFinal(one.state)).length).toBe(state.open);
          expect(state.phase === 'ended').toBe(state.open === 0);
          for (const [name, old] of before) {
            expect(rankOf(target(state, name))).toBeGreaterThanOrEqual(rankOf(old));
            const isDoubted = event.kind === 'untrusted' && event.node === name;
            if (isFinal(old.state) && !isDoubted) expect(target(state, name)).toEqual(old);
          }
        }
      }),
      { numRuns: 3000 },
    );
  });

  test('the exit code is 0 only when there was a target and every one exited with 0, or would have been let run', () => {
    fc.assert(
      fc.property(names, fc.array(anyEvent, { maxLength: 60 }), (names, events) => {
        const state = runAfter(names, ...events);
        const isFine = [...state.targets.values()].every(
          (one) =>
            one.state === 'allowed' || (one.state === 'exited' && one.code === 0 && one.cause === 'exit'),
        );
        if (exitCode(state) === 0) expect(isFine && state.targets.size > 0).toBe(true);
        if (isFine && state.targets.size > 0 && !state.interrupted) expect(exitCode(state)).toBe(0);
        expect([0, 1, 3, 4, 5, 6, 7, 130]).toContain(exitCode(state));
      }),
      { numRuns: 3000 },
    );
  });

  test('the same events give the same run', () => {
    fc.assert(
      fc.property(names, fc.array(anyEvent, { maxLength: 40 }), (names, events) => {
        expect(runAfter(names, ...events)).toEqual(runAfter(names, ...events));
      }),
    );
  });
});

describe('how a target ends', () => {
  test('at the timeout, who never acknowledged and who acknowledged in silence are told apart', () => {
    const state = runAfter(['a', 'b'], { kind: 'acked', node: 'b' }, { kind: 'timeout' });
    expect(target(state, 'a')).toMatchObject({
      state: 'unreachable',
      reason: 'it never acknowledged the command',
    });
    expect(target(state, 'b')).toMatchObject({ state: 'unreachable' });
    expect(target(state, 'b').reason).toMatch(/no fanout agent/);
    expect(state.phase).toBe('ended');
  });

  test('at the timeout, what runs is awaited until the node confirms that it killed it', () => {
    const stopping = runAfter(['a'], accepted('a'), { kind: 'started', node: 'a' }, { kind: 'timeout' });
    expect(stopping).toMatchObject({ phase: 'stopping', open: 1 });
    const confirmed = reduceRun(
      stopping,
      ended('a', { code: null, signal: 'SIGKILL', cause: 'cancelled' }),
      9,
    );
    expect(target(confirmed, 'a')).toMatchObject({ state: 'timed-out', reason: 'killed', signal: 'SIGKILL' });
    expect(exitCode(confirmed)).toBe(4);
  });

  test('a kill that nobody confirmed is not claimed', () => {
    for (const [stop, state] of [
      ['timeout', 'timed-out'],
      ['interrupt', 'cancelled'],
    ] as const) {
      const run = runAfter(
        ['a'],
        accepted('a'),
        { kind: 'started', node: 'a' },
        { kind: stop },
        { kind: 'grace-over' },
      );
      expect(target(run, 'a')).toMatchObject({
        state,
        reason: 'the kill was not confirmed: it may still run',
      });
    }
  });

  test('an interrupt cancels who is still pending and waits for the others', () => {
    const state = runAfter(['a', 'b'], accepted('b'), { kind: 'started', node: 'b' }, { kind: 'interrupt' });
    expect(target(state, 'a')).toMatchObject({ state: 'cancelled', reason: 'stopped before it began' });
    expect(target(state, 'b').state).toBe('running');
    expect(exitCode(state)).toBe(130);
  });

  test('a node that stops its own command is not taken for our timeout', () => {
    const run = runAfter(
      ['a'],
      accepted('a'),
      { kind: 'started', node: 'a' },
      ended('a', { code: null, signal: 'SIGKILL', cause: 'cancelled' }),
    );
    expect(target(run, 'a')).toMatchObject({ state: 'cancelled', reason: 'killed by its own node' });
    expect(exitCode(run)).toBe(4);
  });

  test('the end of a grace that never began changes nothing', () => {
    expect(target(runAfter(['a'], { kind: 'grace-over' }), 'a').state).toBe('pending');
  });

  test('a member that fails or leaves is lost only while it has not answered', () => {
    const gone = (status: 'failed' | 'left'): RunEvent => ({ kind: 'member', node: 'a', status });
    expect(target(runAfter(['a'], gone('failed')), 'a').state).toBe('lost');
    expect(target(runAfter(['a'], { kind: 'acked', node: 'a' }, gone('left')), 'a').state).toBe('lost');
    expect(target(runAfter(['a'], accepted('a'), gone('failed')), 'a').state).toBe('accepted');
    expect(target(runAfter(['a'], { kind: 'member', node: 'a', status: 'leaving' }), 'a').state).toBe(
      'pending',
    );
  });

  test('output that was cut by a limit is no success, even with code 0', () => {
    const run = runAfter(['a'], accepted('a'), ended('a', { cause: 'output-limit' }));
    expect(exitCode(run)).toBe(1);
    expect(target(run, 'a').reason).toMatch(/the output is cut/);
  });

  test('a lost agent loses everything that is open and nothing that has ended', () => {
    const run = runAfter(['a', 'b'], accepted('a'), ended('a'), { kind: 'agent-lost' });
    expect([target(run, 'a').state, target(run, 'b').state]).toEqual(['exited', 'lost']);
    expect(exitCode(run)).toBe(4);
  });

  test('a member that came late counts, once', () => {
    const run = runAfter(['a'], { kind: 'joined-late', node: 'b' }, { kind: 'joined-late', node: 'b' });
    expect(run).toMatchObject({ open: 2 });
    expect(target(run, 'b').late).toBe(true);
  });

  test('bytes are counted as they come, and the node has the last word', () => {
    const out = (bytes: number): RunEvent => ({ kind: 'output', node: 'a', stream: 'stdout', bytes });
    const run = runAfter(['a'], accepted('a'), out(3), out(4));
    expect(target(run, 'a').stdoutBytes).toBe(7);
    expect(target(reduceRun(run, ended('a', { stdoutBytes: 9 }), 9), 'a').stdoutBytes).toBe(9);
  });
});

test('of several exit codes the worst counts: 130, then 7, 4, 5, 1', () => {
  const failing = (code: number): RunEvent[] => [accepted('e'), ended('e', { code })];
  const steps: [RunEvent[], number][] = [
    [[ended('a')], 0],
    [failing(2), 1],
    [[{ kind: 'denied', node: 'd', code: 'c', rule: '', reason: '' }], 5],
    [[{ kind: 'disconnected', node: 'l' }], 4],
    [[{ kind: 'untrusted', node: 'u', reason: '' }], 7],
  ];
  const names = ['a', 'e', 'd', 'l', 'u'];
  for (let count = 1; count <= steps.length; count++) {
    const some = steps.slice(0, count);
    expect(exitCode(runAfter(names.slice(0, count), ...some.flatMap(([events]) => events)))).toBe(
      some.at(-1)![1],
    );
  }
  expect(exitCode(runAfter(['a', 'b'], ended('a'), { kind: 'interrupt' }))).toBe(130);
  expect(exitCode(startRun([], 1000, 0))).toBe(3);
});

test('a million output events of a thousand nodes do not copy the targets each time', () => {
  const names = Array.from({ length: 1000 }, (_, i) => `n${i}`);
  let state = startRun(names, 1000, 0);
  const shared = state.targets;
  for (let i = 0; i < 1_000_000; i++) {
    state = reduceRun(state, { kind: 'output', node: names[i % 1000]!, stream: 'stdout', bytes: 1 }, i);
  }
  expect(state.targets).toBe(shared);
  expect(target(state, 'n7').stdoutBytes).toBe(1000);
});

describe('one target is stopped', () => {
  test('before it was accepted it ends at once', () => {
    const state = runAfter(['web1', 'web2'], { kind: 'cancel', node: 'web1' });
    expect(target(state, 'web1')).toMatchObject({ state: 'cancelled', reason: 'stopped before it began' });
    expect(state).toMatchObject({ phase: 'running', open: 1 });
  });

  test('a running one ends when its node confirms the kill', () => {
    const begun = runAfter(['web1'], accepted('web1'), { kind: 'started', node: 'web1' });
    const asked = reduceRun(begun, { kind: 'cancel', node: 'web1' }, 5);
    expect(target(asked, 'web1')).toMatchObject({ state: 'running', cancelling: true });
    const state = reduceRun(asked, ended('web1', { cause: 'cancelled', code: null, signal: 'SIGKILL' }), 6);
    expect(target(state, 'web1')).toMatchObject({ state: 'cancelled', reason: 'killed', cancelling: false });
    expect(exitCode(state)).toBe(4);
  });

  test('without a confirmation it is said to be perhaps alive', () => {
    const state = runAfter(
      ['web1'],
      accepted('web1'),
      { kind: 'started', node: 'web1' },
      { kind: 'cancel', node: 'web1' },
      { kind: 'cancel-over', node: 'web1' },
    );
    expect(target(state, 'web1')).toMatchObject({
      state: 'cancelled',
      reason: 'the kill was not confirmed: it may still run',
    });
  });

  test('a late cancel-over of a target that nobody stopped changes nothing', () => {
    const begun = runAfter(['web1'], accepted('web1'), { kind: 'started', node: 'web1' });
    expect(target(reduceRun(begun, { kind: 'cancel-over', node: 'web1' }, 9), 'web1').state).toBe('running');
  });
});

describe('a run is halted', () => {
  test('what runs goes on, the rest is not started, and the exit code says so', () => {
    let state = runAfter(['web1', 'web2', 'db1'], accepted('web1'), accepted('web2'), {
      kind: 'started',
      node: 'web1',
    });
    state = reduceRun(state, { kind: 'halt', reason: '3 failed' }, 7);
    expect(target(state, 'web1').state).toBe('running');
    expect(target(state, 'web2')).toMatchObject({ state: 'cancelled', reason: 'not started: 3 failed' });
    expect(target(state, 'db1').state).toBe('cancelled');
    state = reduceRun(state, ended('web1'), 8);
    expect(state.phase).toBe('ended');
    expect(exitCode(state)).toBe(6);
  });
});

test('a target that was only asked ends as allowed once it has accepted, and not before', () => {
  const asked: RunEvent = { kind: 'allowed', node: 'web1' };
  expect(target(runAfter(['web1'], asked), 'web1').state).toBe('pending');
  const state = runAfter(['web1'], accepted('web1'), asked);
  expect(target(state, 'web1')).toMatchObject({ state: 'allowed', rule: 'r' });
  expect([state.phase, exitCode(state)]).toEqual(['ended', 0]);
});

test('the timeout moves while the run goes on, and not afterwards', () => {
  const moved = runAfter(['web1'], { kind: 'deadline', timeoutMs: 90_000 });
  expect(moved.timeoutMs).toBe(90_000);
  const stopped = reduceRun(moved, { kind: 'timeout' }, 9);
  expect(reduceRun(stopped, { kind: 'deadline', timeoutMs: 5 }, 10).timeoutMs).toBe(90_000);
});
