import { chmodSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  type Asker,
  type LaunchedRun,
  type LaunchRequest,
  launch,
  openAsker,
} from '../../src/asker/launch.ts';
import { planRun } from '../../src/asker/plan.ts';
import { parseSelector } from '../../src/policy/selector-parser.ts';
import { exitCode, type RunEvent, type RunState } from '../../src/run/model.ts';
import type { RolloutPlan } from '../../src/run/rollout.ts';
import { TestCluster } from '../support/cluster.ts';
import { eventually, processesRunning } from '../support/processes.ts';

const NODES = ['n1', 'n2', 'n3', 'n4'];
const RULES = `
  - id: scripts
    effect: allow
    operators: [alice]
    sandbox: none
    dangerous: scripts of the tests
    commands:
      - { program: sh, argv: ["-c", "any:4000"] }
      - { program: sleep, argv: ["int:1..1000"] }
  - { id: look, effect: allow, readOnly: true, operators: [alice], commands: [{ program: uptime, argv: [] }] }
`;
const NO_SLEEP = `
  - { id: no-sleep, effect: deny, why: nobody sleeps here, programs: [sleep] }
`;
const PLAN: RolloutPlan = { batch: undefined, batchSleepMs: 0, canary: 0, maxErrors: undefined, window: 0 };
const nodes = (value: number) => ({ value, unit: 'nodes' }) as const;

describe('a run on four nodes that its asker holds in its hand', () => {
  const cluster = new TestCluster();
  let asker: Asker;
  let folder: string;
  let folders = 0;

  beforeAll(async () => {
    vi.stubEnv('XDG_CONFIG_HOME', cluster.env.XDG_CONFIG_HOME);
    vi.stubEnv('XDG_STATE_HOME', cluster.env.XDG_STATE_HOME);
    vi.stubEnv('FANOUT_IDENTITY', undefined);
    await cluster.operator();
    const policy = cluster.addPolicy('open', RULES);
    const noSleep = cluster.addPolicy('no-sleep', NO_SLEEP + RULES);
    const first = await cluster.start({ name: 'n1', policy });
    for (const name of ['n2', 'n3']) await cluster.start({ name, policy, join: first.gossip });
    await cluster.start({ name: 'n4', policy: noSleep, join: first.gossip });
    await cluster.complete(4);
    asker = await openAsker({ rpcAddr: first.control });
    // The commands run as nobody.
    chmodSync(cluster.dir, 0o711);
  });

  afterAll(async () => {
    asker.client.close();
    await cluster.stop();
    vi.unstubAllEnvs();
  });

  beforeEach(() => {
    folder = join(cluster.dir, `touched-${++folders}`);
    mkdirSync(folder);
    chmodSync(folder, 0o777);
  });

  /** What the scripts have written, a line each. */
  function log(): string[] {
    const path = join(folder, 'log');
    return existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(0, -1) : [];
  }

  async function start(
    argv: readonly string[],
    changes: Partial<LaunchRequest> = {},
  ): Promise<LaunchedRun & { events: RunEvent[] }> {
    const events: RunEvent[] = [];
    const launched = await launch(asker, {
      argv,
      selector: parseSelector(''),
      targets: NODES,
      timeoutMs: 20_000,
      onEvent: (_state, event) => {
        events.push(event);
        return true;
      },
      ...changes,
    });
    return { ...launched, events };
  }

  /** Nothing of it is left: at once, and two seconds later at most. */
  async function gone(seconds: string): Promise<void> {
    await eventually(
      `sleep ${seconds} to be gone`,
      () => processesRunning('sleep', seconds).length === 0,
      5000,
    );
  }

  const script = (text: string): string[] => ['sh', '-c', `cd ${folder} && ${text}`];

  function statesOf(state: RunState): string[] {
    return NODES.map((name) => state.targets.get(name)?.state ?? 'none');
  }

  test('batches: the second begins when the first is over', async () => {
    const run = await start(script('echo begin >> log; sleep 0.2; echo end >> log'), {
      rollout: { ...PLAN, batch: { value: 50, unit: 'percent' }, batchSleepMs: 50 },
    });
    const state = await run.ended;
    expect(exitCode(state)).toBe(0);
    const lines = log();
    for (const batch of [lines.slice(0, 4), lines.slice(4)]) {
      expect(batch.sort()).toEqual(['begin', 'begin', 'end', 'end']);
    }
    const started = run.events
      .filter(({ kind }) => kind === 'started')
      .map((event) => 'node' in event && event.node);
    expect([started.slice(0, 2).sort(), started.slice(2).sort()]).toEqual([
      ['n1', 'n2'],
      ['n3', 'n4'],
    ]);
  });

  test('a window: never more than so many at once', async () => {
    const run = await start(script('echo begin >> log; sleep 0.1; echo end >> log'), {
      rollout: { ...PLAN, window: 1 },
    });
    expect(exitCode(await run.ended)).toBe(0);
    expect(log()).toEqual(NODES.flatMap(() => ['begin', 'end']));
  });

  test('a canary that fails keeps the command from all the others', async () => {
    const run = await start(script('echo ran >> log; exit 3'), { rollout: { ...PLAN, canary: 1 } });
    const state = await run.ended;
    expect(log()).toEqual(['ran']);
    expect([exitCode(state), state.halted]).toEqual([6, 'the canary n1 failed']);
    expect(statesOf(state)).toEqual(['exited', 'cancelled', 'cancelled', 'cancelled']);
  });

  test('too many failures stop the rest', async () => {
    const run = await start(script('echo ran >> log; exit 3'), {
      rollout: { ...PLAN, batch: nodes(1), maxErrors: nodes(1) },
    });
    const state = await run.ended;
    expect(log()).toEqual(['ran', 'ran']);
    expect([exitCode(state), state.halted]).toEqual([6, '2 of 4 failed, more than --max-errors 1']);
  });

  test('a node that does not finish in time is one failure, and the next batch goes on', async () => {
    const run = await start(script('mkdir first && sleep 355; echo ran >> log'), {
      rollout: { ...PLAN, batch: nodes(1), maxErrors: nodes(1) },
      targets: ['n1', 'n2'],
      selector: parseSelector('node=n1,n2'),
      timeoutMs: 3000,
    });
    const state = await run.ended;
    expect(['n1', 'n2'].map((name) => state.targets.get(name)?.state)).toEqual(['timed-out', 'exited']);
    expect(log()).toEqual(['ran']);
    await gone('355');
  });

  test('one node is stopped, and its process dies there while the others go on', async () => {
    const run = await start(['sleep', '366'], { targets: ['n1', 'n2', 'n3'] });
    await eventually('three sleeps', () => processesRunning('sleep', '366').length === 3);
    run.session.cancelNode('n2');
    await eventually('one to be gone', () => processesRunning('sleep', '366').length === 2);
    await eventually('the confirmation', () => run.events.some(({ kind }) => kind === 'ended'));
    run.session.interrupt();
    const state = await run.ended;
    expect(state.targets.get('n2')).toMatchObject({ state: 'cancelled', reason: 'killed' });
    await gone('366');
  });

  test('a deadline that is moved on lets the command end by itself', async () => {
    const run = await start(script('sleep 2.5; echo ran >> log'), { timeoutMs: 1500 });
    run.session.moveDeadline(15_000);
    expect(exitCode(await run.ended)).toBe(0);
    expect(log().length).toBe(4);
  });

  test('a deadline that is moved up ends it early', async () => {
    const run = await start(['sleep', '377'], { targets: ['n1', 'n2'] });
    await eventually('two sleeps', () => processesRunning('sleep', '377').length === 2);
    run.session.moveDeadline(300);
    const state = await run.ended;
    expect(['n1', 'n2'].map((name) => state.targets.get(name)?.state)).toEqual(['timed-out', 'timed-out']);
    await gone('377');
  });

  test('a confirmation that is refused runs nothing', async () => {
    const asked: object[] = [];
    const confirm = {
      above: 3,
      ask: (facts: object): Promise<boolean> => {
        asked.push(facts);
        return Promise.resolve(false);
      },
    };
    const run = await start(script('echo ran >> log'), { confirm });
    const state = await run.ended;
    expect(asked).toEqual([{ count: 4, notReadOnly: 4 }]);
    expect([exitCode(state), state.halted, log()]).toEqual([6, 'not confirmed', []]);
  });

  test('a confirmation that is given runs it, and what only reads is not asked about', async () => {
    let asked = 0;
    const confirm = {
      above: 3,
      ask: (): Promise<boolean> => {
        asked++;
        return Promise.resolve(true);
      },
    };
    expect(exitCode(await (await start(script('echo ran >> log'), { confirm })).ended)).toBe(0);
    expect([log().length, asked]).toEqual([4, 1]);
    expect(exitCode(await (await start(['uptime'], { confirm })).ended)).toBe(0);
    expect(asked).toBe(1);
  });

  describe('a plan', () => {
    const everybody = { selector: parseSelector(''), targets: NODES, timeoutMs: 9000 };

    test('says who would run it and who would not, and runs nothing', async () => {
      const plan = await planRun(asker, { ...everybody, argv: ['sleep', '388'] }).plan;
      expect(plan?.groups).toEqual([
        {
          verdict: 'denied',
          rule: 'no-sleep',
          reason: 'nobody sleeps here',
          readOnly: undefined,
          names: ['n4'],
        },
        { verdict: 'allowed', rule: 'scripts', reason: '', readOnly: false, names: ['n1', 'n2', 'n3'] },
      ]);
      expect(plan?.counts).toMatchObject({ allowed: 3, denied: 1, silent: 0 });
      expect(plan?.exitCode).toBe(5);
      expect(plan?.targets[0]).toMatchObject({
        name: 'n1',
        program: '/usr/bin/sleep',
        sandbox: 'none',
        limitMs: 9000,
      });
      await gone('388');
    });

    test('a script would run everywhere and has run nowhere', async () => {
      const plan = await planRun(asker, { ...everybody, argv: script('echo ran >> log') }).plan;
      expect([plan?.exitCode, log()]).toEqual([0, []]);
    });

    test('a question that is aborted has no answer, and the next one has', async () => {
      const first = planRun(asker, { ...everybody, argv: ['uptime'] });
      first.abort();
      const second = planRun(asker, { ...everybody, argv: ['uptime'] });
      expect(await first.plan).toBeUndefined();
      expect((await second.plan)?.groups).toMatchObject([
        { verdict: 'allowed', rule: 'look', readOnly: true },
      ]);
    });

    test('a silent node is named', async () => {
      const frozen = cluster.agents.find(({ name }) => name === 'n3');
      frozen?.child.kill('SIGSTOP');
      const plan = await planRun(asker, { ...everybody, argv: ['uptime'], waitMs: 2000 }).plan;
      frozen?.child.kill('SIGCONT');
      expect(plan?.groups[0]).toMatchObject({ verdict: 'silent', names: ['n3'] });
      expect(plan?.exitCode).toBe(4);
    });
  });
});
