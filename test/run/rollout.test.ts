import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NEVER } from '../../src/lib/time.ts';
import { isFinal, type RunEvent, type RunState, reduceRun, startRun } from '../../src/run/model.ts';
import {
  type Rollout,
  type RolloutPlan,
  type RolloutStep,
  startRollout,
  stepRollout,
} from '../../src/run/rollout.ts';

const PLAIN: RolloutPlan = { batch: undefined, batchSleepMs: 0, canary: 0, maxErrors: undefined, window: 0 };
const nodes = (value: number) => ({ value, unit: 'nodes' }) as const;
const percent = (value: number) => ({ value, unit: 'percent' }) as const;

/** A run with its rollout, driven by hand. */
class Play {
  run: RunState;
  rollout: Rollout;
  last: RolloutStep;
  constructor(plan: Partial<RolloutPlan>, count: number) {
    const names = Array.from({ length: count }, (_, i) => `n${i}`);
    this.run = startRun(names, 1e6, 0);
    this.rollout = startRollout({ ...PLAIN, ...plan });
    this.last = stepRollout(this.rollout, this.run, 0);
  }
  /** Applies an event and steps; whoever is let go starts. Gives the names. */
  apply(now: number, ...events: RunEvent[]): string[] {
    for (const event of events) this.run = reduceRun(this.run, event, now);
    return this.step(now);
  }
  step(now: number): string[] {
    this.last = stepRollout(this.rollout, this.run, now);
    this.rollout = this.last.rollout;
    for (const node of this.last.release) this.run = reduceRun(this.run, { kind: 'started', node }, now);
    if (this.last.halt !== undefined) {
      this.run = reduceRun(this.run, { kind: 'halt', reason: this.last.halt }, now);
    }
    return this.last.release;
  }
}

const accepted = (...names: string[]): RunEvent[] =>
  names.map((node) => {
    const verdict = { rule: 'r', program: '/bin/true', sandbox: 'none', readOnly: false, limitMs: 1000 };
    return { kind: 'accepted', node, firstSeen: false, ...verdict };
  });
const ended = (node: string, code = 0): RunEvent => {
  const counts = { durationMs: 1, stdoutBytes: 0, stderrBytes: 0 };
  return { kind: 'ended', node, code, signal: null, cause: 'exit', ...counts };
};
const denied = (node: string): RunEvent => ({ kind: 'denied', node, code: 'c', rule: 'r', reason: '' });

describe('batches', () => {
  test('without a plan everybody goes at once, whenever they answer', () => {
    const play = new Play({}, 3);
    expect(play.apply(1, ...accepted('n2'))).toEqual(['n2']);
    expect(play.apply(2, ...accepted('n0'))).toEqual(['n0']);
    expect(play.apply(9000, ...accepted('n1'))).toEqual(['n1']);
    expect(play.last.phase).toEqual({ kind: 'running', batch: 1, batches: 1, isCanary: false, until: NEVER });
  });

  test('go in the order of the targets, each when the one before has ended and the pause is over', () => {
    const play = new Play({ batch: nodes(2), batchSleepMs: 100 }, 5);
    expect(play.apply(1, ...accepted('n4', 'n3', 'n1', 'n0'))).toEqual([]);
    expect(play.last.phase).toMatchObject({ kind: 'gathering', batch: 0, batches: 3, until: 2000 });
    expect(play.apply(2, ...accepted('n2'))).toEqual(['n0', 'n1']);
    expect(play.last.phase).toMatchObject({ kind: 'running', batch: 1, batches: 3 });
    expect(play.apply(10, ended('n0'))).toEqual([]);
    expect(play.apply(20, ended('n1'))).toEqual([]);
    expect(play.last).toMatchObject({ wakeAt: 120, phase: { kind: 'sleeping', batch: 1, until: 120 } });
    expect(play.step(119)).toEqual([]);
    expect(play.step(120)).toEqual(['n2', 'n3']);
    play.apply(130, ended('n2'), ended('n3'));
    expect(play.step(230)).toEqual(['n4']);
    expect(play.apply(240, ended('n4'))).toEqual([]);
    expect(play.last.phase).toMatchObject({ kind: 'done', batch: 3, batches: 3 });
  });

  test('begin after two seconds without the silent ones, who join a later batch', () => {
    const play = new Play({ batch: nodes(2) }, 4);
    expect(play.apply(1, ...accepted('n1'))).toEqual([]);
    expect(play.last.wakeAt).toBe(2000);
    expect(play.step(2000)).toEqual(['n1']);
    expect(play.apply(2100, ...accepted('n0'))).toEqual([]);
    expect(play.apply(2200, ended('n1'))).toEqual(['n0']);
    expect(play.apply(2300, ended('n0'))).toEqual([]);
    expect(play.last.phase).toMatchObject({ kind: 'gathering', batch: 2, batches: 3, until: NEVER });
    expect(play.apply(9000, ...accepted('n3'))).toEqual(['n3']);
  });

  test('a share is of all targets, rounded down, and never nobody', () => {
    const sizes = (value: number, count: number): number => {
      const play = new Play({ batch: percent(value) }, count);
      return play.apply(1, ...accepted(...play.run.targets.keys())).length;
    };
    expect([sizes(25, 10), sizes(1, 10), sizes(100, 10)]).toEqual([2, 1, 10]);
  });

  test('a target that was stopped while it was held is not let go', () => {
    const play = new Play({ batch: nodes(1) }, 2);
    play.apply(1, ...accepted('n0', 'n1'));
    expect(play.apply(2, { kind: 'cancel', node: 'n1' }, ended('n0'))).toEqual([]);
    expect(play.apply(3, { kind: 'disconnected', node: 'n1' })).toEqual([]);
    expect(play.run.phase).toBe('ended');
  });
});

describe('the window', () => {
  test('slides: who ends makes room for the next', () => {
    const play = new Play({ window: 2 }, 4);
    expect(play.apply(1, ...accepted('n3'))).toEqual(['n3']);
    expect(play.apply(2, ...accepted('n0', 'n1', 'n2'))).toEqual(['n0']);
    expect(play.apply(3, ended('n3'))).toEqual(['n1']);
    expect(play.apply(4, ended('n1'))).toEqual(['n2']);
  });

  test('works inside a batch', () => {
    const play = new Play({ window: 1, batch: nodes(2) }, 3);
    expect(play.apply(1, ...accepted('n0', 'n1', 'n2'))).toEqual(['n0']);
    expect(play.apply(2, ended('n0'))).toEqual(['n1']);
    expect(play.last.phase.batch).toBe(1);
    expect(play.apply(3, ended('n1'))).toEqual(['n2']);
    expect(play.last.phase.batch).toBe(2);
  });
});

describe('a run is halted', () => {
  test('when the canary fails, before the others go', () => {
    const play = new Play({ canary: 1, maxErrors: nodes(9) }, 3);
    expect(play.apply(1, ...accepted('n0', 'n1', 'n2'))).toEqual(['n0']);
    expect(play.last.phase).toMatchObject({ isCanary: true, batch: 1, batches: 2 });
    expect(play.apply(2, ended('n0', 1))).toEqual([]);
    expect(play.last).toMatchObject({ halt: 'the canary n0 failed', phase: { kind: 'done' } });
    expect(play.run).toMatchObject({ phase: 'ended', halted: 'the canary n0 failed' });
  });

  test('when the canary is stopped by hand', () => {
    const play = new Play({ canary: 1 }, 2);
    play.apply(1, ...accepted('n0', 'n1'));
    play.apply(2, { kind: 'cancel', node: 'n0' });
    play.apply(3, { kind: 'cancel-over', node: 'n0' });
    expect(play.last.halt).toBe('the canary n0 was stopped');
  });

  test('not when the canary is well: then all the others go at once', () => {
    const play = new Play({ canary: 1 }, 4);
    play.apply(1, ...accepted('n0', 'n1', 'n2'), denied('n3'));
    expect(play.apply(2, ended('n0'))).toEqual(['n1', 'n2']);
    expect(play.last.phase).toMatchObject({ isCanary: false, batch: 2, batches: 2 });
  });

  test('when more have failed than may; refusals count', () => {
    const play = new Play({ batch: nodes(1), maxErrors: nodes(1) }, 4);
    expect(play.apply(1, ...accepted('n0', 'n1', 'n2'), denied('n3'))).toEqual(['n0']);
    expect(play.apply(2, ended('n0', 1))).toEqual([]);
    expect(play.last.halt).toBe('2 of 4 failed, more than --max-errors 1');
    expect(play.step(3)).toEqual([]);
    expect(play.last.halt).toBeUndefined();
  });

  test('a share of errors is exact', () => {
    const play = new Play({ batch: nodes(1), maxErrors: percent(25) }, 4);
    play.apply(1, ...accepted('n0', 'n1', 'n2'), denied('n3'));
    expect(play.last.release).toEqual(['n0']);
    play.apply(2, ended('n0', 1));
    expect(play.last.halt).toBe('2 of 4 failed, more than --max-errors 25%');
  });

  test('not when nothing is held back any more', () => {
    const play = new Play({ maxErrors: nodes(0) }, 2);
    expect(play.apply(1, ...accepted('n0', 'n1'))).toEqual(['n0', 'n1']);
    play.apply(2, ended('n0', 1));
    expect(play.last.halt).toBeUndefined();
  });
});

test('after an interrupt nobody is let go', () => {
  const play = new Play({ batch: nodes(1) }, 2);
  play.apply(1, ...accepted('n0', 'n1'));
  expect(play.apply(2, { kind: 'interrupt' }, ended('n0'))).toEqual([]);
  expect(play.last.phase.kind).toBe('done');
});

/** How one node of the property tests behaves. */
const behaviour = fc.record({
  answersAt: fc.integer({ min: 1, max: 4000 }),
  runsMs: fc.integer({ min: 1, max: 500 }),
  fate: fc.constantFrom('ok', 'ok', 'ok', 'fails', 'denied', 'silent'),
});
const amount = fc.oneof(
  fc.integer({ min: 1, max: 6 }).map(nodes),
  fc.integer({ min: 1, max: 100 }).map(percent),
);
const plans = fc.record({
  batch: fc.option(amount, { nil: undefined }),
  batchSleepMs: fc.constantFrom(0, 0, 70),
  canary: fc.constantFrom(0, 0, 1, 2),
  maxErrors: fc.option(fc.integer({ min: 0, max: 4 }).map(nodes), { nil: undefined }),
  window: fc.constantFrom(0, 0, 1, 3),
});

interface Release {
  readonly at: number;
  readonly batch: number;
  readonly name: string;
}

/** Plays a rollout to its end in virtual time. `each` sees the state after every step. */
function playOut(
  plan: RolloutPlan,
  behaviours: readonly { answersAt: number; runsMs: number; fate: string }[],
  each: (play: Play, now: number) => void = () => {},
): { play: Play; releases: Release[]; haltedAt: number | undefined } {
  const play = new Play(plan, behaviours.length);
  const agenda: { at: number; event: RunEvent }[] = [];
  for (const [i, { answersAt, fate }] of behaviours.entries()) {
    const event = fate === 'denied' ? denied(`n${i}`) : accepted(`n${i}`)[0]!;
    if (fate !== 'silent') agenda.push({ at: answersAt, event });
  }
  const releases: Release[] = [];
  let haltedAt: number | undefined;
  let now = 0;
  for (let steps = 0; steps < 10_000; steps++) {
    for (const name of play.step(now)) {
      releases.push({ at: now, batch: play.last.phase.batch, name });
      const { runsMs, fate } = behaviours[Number(name.slice(1))]!;
      agenda.push({ at: now + runsMs, event: ended(name, fate === 'fails' ? 1 : 0) });
    }
    if (play.last.halt !== undefined) haltedAt = now;
    each(play, now);
    agenda.sort((a, b) => a.at - b.at);
    const next = Math.min(agenda[0]?.at ?? NEVER, play.last.wakeAt > now ? play.last.wakeAt : NEVER);
    if (next === NEVER || play.run.phase === 'ended') return { play, releases, haltedAt };
    now = next;
    if (agenda[0]?.at === now) play.run = reduceRun(play.run, agenda.shift()!.event, now);
  }
  throw new Error('a rollout that does not end');
}

describe('for any plan and any nodes', () => {
  const some = fc.array(behaviour, { minLength: 1, maxLength: 12 });

  test('never more than the window run at once, and nobody is let go twice or after a halt', () => {
    fc.assert(
      fc.property(plans, some, (plan, behaviours) => {
        const { releases, haltedAt } = playOut(plan, behaviours, ({ run }) => {
          const running = [...run.targets.values()].filter(({ state }) => state === 'running').length;
          if (plan.window > 0) expect(running).toBeLessThanOrEqual(plan.window);
        });
        expect(new Set(releases.map(({ name }) => name)).size).toBe(releases.length);
        // In the moment of the halt itself somebody may have gone just before it.
        if (haltedAt !== undefined) expect(releases.every(({ at }) => at <= haltedAt)).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  test('a batch is no larger than it may be, and begins after the last of the one before, and the pause', () => {
    fc.assert(
      fc.property(plans, some, (plan, behaviours) => {
        const { play, releases } = playOut(plan, behaviours);
        const total = behaviours.length;
        for (const { at, batch } of releases) {
          const isCanary = batch === 1 && plan.canary > 0;
          const members = releases.filter((other) => other.batch === batch).length;
          const { value, unit } = plan.batch ?? nodes(total);
          if (isCanary) expect(members).toBeLessThanOrEqual(plan.canary);
          else if (unit === 'nodes') expect(members).toBeLessThanOrEqual(value);
          else expect(members).toBeLessThanOrEqual(Math.max(1, (value * total) / 100));
          for (const before of releases.filter((other) => other.batch < batch)) {
            const { endedAt } = play.run.targets.get(before.name)!;
            expect(endedAt).toBeDefined();
            expect(at).toBeGreaterThanOrEqual(endedAt! + plan.batchSleepMs);
          }
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('whoever accepts is let go in the end, unless the run is halted, and a halt has its reason', () => {
    fc.assert(
      fc.property(plans, some, (plan, behaviours) => {
        const { play, releases, haltedAt } = playOut(plan, behaviours);
        const errors = behaviours.filter(({ fate }) => fate === 'denied' || fate === 'fails').length;
        if (haltedAt === undefined) {
          const willing = behaviours.filter(({ fate }) => fate === 'ok' || fate === 'fails').length;
          expect(releases.length).toBe(willing);
          for (const { state } of play.run.targets.values()) {
            expect(isFinal(state) || state === 'pending').toBe(true);
          }
        } else {
          const canary = releases.filter(({ batch }) => plan.canary > 0 && batch === 1);
          const canaryFailed = canary.some(({ name }) => behaviours[Number(name.slice(1))]!.fate === 'fails');
          expect(canaryFailed || errors > (plan.maxErrors?.value ?? NEVER)).toBe(true);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('the count of batches that is shown is never behind the batch that runs', () => {
    fc.assert(
      fc.property(plans, some, (plan, behaviours) => {
        playOut(plan, behaviours, ({ last: { phase } }) => {
          expect(phase.batch).toBeLessThanOrEqual(phase.batches);
        });
      }),
    );
  });
});
