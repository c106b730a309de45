import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Confirmation } from '../../src/asker/holding.ts';
import { RunSession, type RunSessionOptions } from '../../src/asker/run-session.ts';
import { KnownNodes } from '../../src/identity/known-nodes.ts';
import { exitCode, type RunEvent, type RunState } from '../../src/run/model.ts';
import type { RolloutPhase, RolloutPlan } from '../../src/run/rollout.ts';
import { replyKeys, scratchFolder } from '../identity/fixtures.ts';
import { FakeNode, REQUEST_ID } from './fake-node.ts';

const PLAN: RolloutPlan = { batch: undefined, batchSleepMs: 0, canary: 0, maxErrors: undefined, window: 0 };
const ONE_BY_ONE: RolloutPlan = { ...PLAN, batch: { value: 1, unit: 'nodes' } };

interface Driven {
  readonly session: RunSession;
  readonly events: RunEvent[];
  readonly phases: RolloutPhase[];
  readonly state: () => RunState;
}

function drive(targets: readonly string[], changes: Partial<RunSessionOptions> = {}): Driven {
  const events: RunEvent[] = [];
  const phases: RolloutPhase[] = [];
  let state: RunState | undefined;
  const session = new RunSession({
    targets,
    timeoutMs: 30_000,
    environment: 'test',
    requestId: REQUEST_ID,
    replySecret: replyKeys.secret,
    knownNodes: KnownNodes.load(join(scratchFolder(), 'known_nodes')),
    mayJoin: () => false,
    now: () => Date.now(),
    onEvent: (after, event) => {
      state = after;
      events.push(event);
      return true;
    },
    onReaderReady: () => {},
    onPhase: (phase) => phases.push(phase),
    ...changes,
  });
  return { session, events, phases, state: () => state! };
}

function stateOf(run: Driven, node: string): string | undefined {
  return run.state().targets.get(node)?.state;
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('a run without a plan', () => {
  test('hears nothing under a name that the stream was not announced with', async () => {
    const run = drive(['a', 'b'], { mayJoin: () => true });
    const honest = ['a', 'b'].map((name) => new FakeNode(name).accept(run.session));
    const posed = [
      new FakeNode('c').accept(run.session, false, 'a'),
      new FakeNode('a', 'other').accept(run.session, false, 'c'),
    ];
    for (const node of posed) expect([node.heard, node.isClosed]).toEqual([[], true]);
    for (const node of honest) node.finish();
    expect(exitCode(await run.session.ended)).toBe(0);
    expect([...run.state().targets.keys()]).toEqual(['a', 'b']);
  });

  test('lets everybody go at once and ends with the last', async () => {
    const run = drive(['a', 'b']);
    const nodes = ['a', 'b'].map((name) => new FakeNode(name).accept(run.session));
    expect(nodes.map(({ heard }) => heard)).toEqual([['go'], ['go']]);
    for (const node of nodes) node.finish();
    expect(exitCode(await run.session.ended)).toBe(0);
    expect(run.session.rolloutPhase).toBeUndefined();
    // What is left of this turn of the event loop.
    vi.advanceTimersByTime(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('that only asks ends with what the nodes would do, and nobody is let go', async () => {
    const run = drive(['a', 'b'], { explainOnly: true });
    const node = new FakeNode('a').accept(run.session);
    expect(stateOf(run, 'a')).toBe('allowed');
    run.session.event({ kind: 'denied', node: 'b', code: 'c', rule: 'r', reason: 'no' });
    expect(exitCode(await run.session.ended)).toBe(5);
    expect(node).toMatchObject({ heard: [], isClosed: true });
  });
});

describe('a rollout', () => {
  test('holds a node until its batch begins, and says so every 20 s', () => {
    const run = drive(['a', 'b'], { rollout: ONE_BY_ONE, timeoutMs: 300_000 });
    const a = new FakeNode('a').accept(run.session);
    expect(a.heard).toEqual(['hold']);
    const b = new FakeNode('b').accept(run.session);
    expect(a.heard).toEqual(['hold', 'go']);
    expect(run.session.rolloutPhase).toMatchObject({ kind: 'running', batch: 1, batches: 2 });
    vi.advanceTimersByTime(45_000);
    expect(b.heard).toEqual(['hold', 'hold', 'hold']);
    a.finish();
    expect(b.heard).toEqual(['hold', 'hold', 'hold', 'go']);
    b.finish();
    expect(run.phases.map(({ kind, batch }) => `${kind} ${batch}`)).toEqual([
      'gathering 0',
      'running 1',
      'running 2',
      'done 2',
    ]);
    // What is left of this turn of the event loop.
    vi.advanceTimersByTime(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('begins without those who are silent for two seconds', () => {
    const run = drive(['a', 'b'], { rollout: ONE_BY_ONE });
    const b = new FakeNode('b').accept(run.session);
    vi.advanceTimersByTime(1999);
    expect(b.heard).toEqual(['hold']);
    vi.advanceTimersByTime(1);
    expect(b.heard).toEqual(['hold', 'go']);
  });

  test('that is halted closes the streams of those who are held, and lets the others end', async () => {
    const run = drive(['a', 'b'], { rollout: { ...PLAN, canary: 1 } });
    const [a, b] = ['a', 'b'].map((name) => new FakeNode(name).accept(run.session));
    a?.finish({ code: 1 });
    expect(b).toMatchObject({ heard: ['hold'], isClosed: true });
    const state = await run.session.ended;
    expect(state.halted).toBe('the canary a failed');
    expect([exitCode(state), stateOf(run, 'b')]).toEqual([6, 'cancelled']);
  });

  test('gives each batch the whole timeout, and the nodes a moment to keep it themselves', () => {
    const run = drive(['a', 'b'], { rollout: ONE_BY_ONE, timeoutMs: 10_000 });
    const [a, b] = ['a', 'b'].map((name) => new FakeNode(name).accept(run.session));
    vi.advanceTimersByTime(9000);
    a?.finish();
    expect(run.state().timeoutMs).toBe(19_000);
    vi.advanceTimersByTime(12_000);
    expect(b?.heard).toEqual(['hold', 'go']);
    expect(run.state().phase).toBe('running');
    vi.advanceTimersByTime(1000);
    expect(b?.heard).toEqual(['hold', 'go', 'cancel']);
  });
});

describe('one node is stopped', () => {
  test('a running one is told, once, and has 4 s to confirm', () => {
    const run = drive(['a', 'b']);
    const [a, b] = ['a', 'b'].map((name) => new FakeNode(name).accept(run.session));
    run.session.cancelNode('a');
    run.session.cancelNode('a');
    expect([a?.heard, b?.heard]).toEqual([['go', 'cancel'], ['go']]);
    expect(stateOf(run, 'a')).toBe('running');
    vi.advanceTimersByTime(4000);
    expect(run.state().targets.get('a')).toMatchObject({
      state: 'cancelled',
      reason: 'the kill was not confirmed: it may still run',
    });
    expect(a?.isClosed).toBe(true);
    expect(run.state().phase).toBe('running');
  });

  test('an interrupt after that says nothing more to it', () => {
    const run = drive(['a', 'b']);
    const [a, b] = ['a', 'b'].map((name) => new FakeNode(name).accept(run.session));
    run.session.cancelNode('a');
    run.session.interrupt();
    expect([a?.heard, b?.heard]).toEqual([
      ['go', 'cancel'],
      ['go', 'cancel'],
    ]);
    a?.finish({ code: null, signal: 'SIGKILL', cause: 'cancelled' });
    expect(stateOf(run, 'a')).toBe('cancelled');
  });

  test('one that answers after it was stopped is sent away', () => {
    const run = drive(['a', 'b']);
    run.session.cancelNode('a');
    expect(stateOf(run, 'a')).toBe('cancelled');
    expect(new FakeNode('a').accept(run.session)).toMatchObject({ heard: [], isClosed: true });
  });

  test('a held one never runs', () => {
    const run = drive(['a', 'b'], { rollout: ONE_BY_ONE });
    const [a, b] = ['a', 'b'].map((name) => new FakeNode(name).accept(run.session));
    run.session.cancelNode('b');
    expect(b?.heard).toEqual(['hold', 'cancel']);
    a?.finish();
    b?.hangUp();
    expect(b?.heard).toEqual(['hold', 'cancel']);
    expect(run.state().targets.get('b')).toMatchObject({
      state: 'cancelled',
      reason: 'stopped before it began',
    });
  });
});

describe('the deadline is moved', () => {
  test('later: what runs is told how long it has from its own start, and the run goes on', () => {
    const run = drive(['a', 'b'], { timeoutMs: 10_000 });
    vi.advanceTimersByTime(3000);
    const a = new FakeNode('a').accept(run.session);
    run.session.moveDeadline(60_000);
    expect(a.heard).toEqual(['go', 'deadline 57000']);
    vi.advanceTimersByTime(7000);
    const b = new FakeNode('b').accept(run.session);
    expect(b.heard).toEqual(['go', 'deadline 50000']);
    vi.advanceTimersByTime(49_999);
    expect(run.state().phase).toBe('running');
    vi.advanceTimersByTime(1);
    expect(a.heard.at(-1)).toBe('cancel');
  });

  test('to a moment that has passed: the run ends', () => {
    const run = drive(['a'], { timeoutMs: 10_000 });
    const a = new FakeNode('a').accept(run.session);
    vi.advanceTimersByTime(5000);
    run.session.moveDeadline(2000);
    expect(a.heard).toEqual(['go', 'cancel']);
  });
});

describe('a confirmation', () => {
  /** A question whose answer the test gives. */
  class Question implements Confirmation {
    readonly above: number;
    readonly asked: object[] = [];
    answer: (isYes: boolean) => void = () => {};
    constructor(above: number) {
      this.above = above;
    }
    ask(facts: object): Promise<boolean> {
      this.asked.push(facts);
      return new Promise((resolve) => {
        this.answer = resolve;
      });
    }
  }

  test('is not asked for few nodes, and then nobody is held', () => {
    const confirm = new Question(2);
    const run = drive(['a', 'b'], { confirm });
    const nodes = ['a', 'b'].map((name) => new FakeNode(name).accept(run.session));
    expect(nodes.map(({ heard }) => heard)).toEqual([['go'], ['go']]);
    expect(confirm.asked).toEqual([]);
  });

  test('is not asked when nothing changes', () => {
    const confirm = new Question(1);
    const run = drive(['a', 'b'], { confirm });
    const nodes = ['a', 'b'].map((name) => new FakeNode(name).accept(run.session, true));
    expect(nodes.map(({ heard }) => heard)).toEqual([['hold', 'go'], ['go']]);
    expect(confirm.asked).toEqual([]);
  });

  test('comes once all have answered; a yes lets them go, and the time that it took does not count', async () => {
    const confirm = new Question(1);
    const run = drive(['a', 'b', 'c'], { confirm, timeoutMs: 10_000 });
    const nodes = [
      new FakeNode('a').accept(run.session, true),
      new FakeNode('b').accept(run.session),
      new FakeNode('c').accept(run.session),
    ];
    expect(confirm.asked).toEqual([{ count: 3, notReadOnly: 2 }]);
    await vi.advanceTimersByTimeAsync(50_000);
    expect(nodes.map(({ heard }) => heard.at(-1))).toEqual(['hold', 'hold', 'hold']);
    confirm.answer(true);
    await vi.advanceTimersByTimeAsync(0);
    expect(nodes.map(({ heard }) => heard.at(-1))).toEqual(['go', 'go', 'go']);
    expect(run.state().timeoutMs).toBe(60_000);
    await vi.advanceTimersByTimeAsync(9999);
    expect(run.state().phase).toBe('running');
    await vi.advanceTimersByTimeAsync(1);
    expect(run.state().phase).toBe('stopping');
  });

  test.each(['no', 'rejection'])('a %s lets nobody go', async (kind) => {
    const confirm = new Question(1);
    if (kind === 'rejection') confirm.ask = () => Promise.reject(new Error('no terminal'));
    const run = drive(['a', 'b'], { confirm });
    const nodes = ['a', 'b'].map((name) => new FakeNode(name).accept(run.session));
    confirm.answer(false);
    const state = await run.session.ended;
    expect(nodes.map(({ heard, isClosed }) => ({ heard, isClosed }))).toEqual([
      { heard: ['hold'], isClosed: true },
      { heard: ['hold'], isClosed: true },
    ]);
    expect([state.halted, exitCode(state)]).toEqual(['not confirmed', 6]);
  });

  test('also guards those who answer late: the one with whom they are too many is held', async () => {
    const confirm = new Question(1);
    const run = drive(['a', 'b', 'c'], { confirm });
    const a = new FakeNode('a').accept(run.session);
    vi.advanceTimersByTime(2000);
    expect([a.heard.at(-1), confirm.asked]).toEqual(['go', []]);
    const b = new FakeNode('b').accept(run.session);
    expect([b.heard, confirm.asked]).toEqual([['hold'], [{ count: 2, notReadOnly: 2 }]]);
    confirm.answer(true);
    await vi.advanceTimersByTimeAsync(0);
    expect(b.heard).toEqual(['hold', 'go']);
    expect(new FakeNode('c').accept(run.session).heard).toEqual(['go']);
    expect(confirm.asked.length).toBe(1);
  });

  test('comes before the first batch', async () => {
    const confirm = new Question(1);
    const run = drive(['a', 'b'], { confirm, rollout: ONE_BY_ONE });
    const nodes = ['a', 'b'].map((name) => new FakeNode(name).accept(run.session));
    expect(run.session.rolloutPhase).toMatchObject({ kind: 'gathering', batch: 0 });
    confirm.answer(true);
    await vi.advanceTimersByTimeAsync(0);
    expect(nodes.map(({ heard }) => heard)).toEqual([['hold', 'go'], ['hold']]);
  });

  test('an answer that comes after an interrupt changes nothing', async () => {
    const confirm = new Question(1);
    const run = drive(['a', 'b'], { confirm });
    const nodes = ['a', 'b'].map((name) => new FakeNode(name).accept(run.session));
    run.session.interrupt();
    for (const node of nodes) node.hangUp();
    confirm.answer(true);
    const state = await run.session.ended;
    expect(exitCode(state)).toBe(130);
    expect(nodes.map(({ heard }) => heard)).toEqual([
      ['hold', 'cancel'],
      ['hold', 'cancel'],
    ]);
  });
});

test('a held node whose name a second machine claims is sent away', () => {
  const run = drive(['a', 'b'], { rollout: ONE_BY_ONE });
  const a = new FakeNode('a').accept(run.session);
  new FakeNode('a', 'another key').accept(run.session);
  expect(stateOf(run, 'a')).toBe('untrusted');
  expect(a).toMatchObject({ heard: ['hold'], isClosed: true });
});

test('a run that is halted at the first start of a batch starts no second', () => {
  let halt = (): void => {};
  const run = drive(['a', 'b'], {
    rollout: { ...PLAN, batch: { value: 2, unit: 'nodes' } },
    onEvent: (_state, event) => {
      if (event.kind === 'started') halt();
      return true;
    },
  });
  halt = () => run.session.halt('enough');
  const nodes = ['a', 'b'].map((name) => new FakeNode(name).accept(run.session));
  expect(nodes.map(({ heard }) => heard)).toEqual([['hold', 'go'], []]);
});

test('a slow reader holds the node back until it has caught up', () => {
  let caughtUp = (): void => {};
  const run = drive(['a'], {
    onEvent: (_state, event) => event.kind !== 'output',
    onReaderReady: (listener) => {
      caughtUp = listener;
    },
  });
  const a = new FakeNode('a').accept(run.session);
  a.output('x');
  expect(a.isPaused).toBe(true);
  caughtUp();
  expect(a.isPaused).toBe(false);
});
