import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { CommandBody } from '../../src/identity/envelope.ts';
import { encodeDead } from '../../src/memberlist/messages.ts';
import { type AgentProcess, TestCluster } from '../support/cluster.ts';
import { eventually, FANOUT, type Result, runProgram } from '../support/processes.ts';
import { operatorKey, Rogue, starts } from './rogue.ts';

const RULES = `
  - id: basics
    effect: allow
    operators: ["group:sre"]
    commands:
      - { program: echo, positionals: { max: 60, match: ["any:4096"] } }
      - { program: sleep, argv: ["int:1..10000"] }
`;

/** What the impostor would have people believe. */
const LIE = 'all is well, trust me\n';

describe('somebody who answers in the place of web1', () => {
  const cluster = new TestCluster();
  let ops: AgentProcess;
  let web1: AgentProcess;
  let web2: AgentProcess;
  let rogue: Rogue;

  beforeAll(async () => {
    await cluster.operator();
    const policy = cluster.addPolicy('open', RULES);
    ops = await cluster.start({ name: 'ops', args: ['--env', 'test'] });
    web1 = await cluster.start({ name: 'web1', tags: { role: 'web' }, policy, join: ops.gossip });
    web2 = await cluster.start({ name: 'web2', tags: { role: 'web' }, policy, join: ops.gossip });
    rogue = await Rogue.join(cluster, ops);
    await cluster.complete(4);
    // From here on the keys of both are known.
    expect((await cluster.fanout(['echo met', '--tag', 'role=web'])).code).toBe(0);
  });

  afterEach(() => web1.child.kill('SIGCONT'));

  afterAll(async () => {
    await rogue.leave();
    await cluster.stop();
  });

  /** Starts a run while web1 is frozen, lets `attack` have the first word, and then web1 go on. */
  async function ahead(
    command: string,
    selector: readonly string[],
    attack: (body: CommandBody) => Promise<void>,
    env: NodeJS.ProcessEnv = {},
  ): Promise<Result> {
    web1.child.kill('SIGSTOP');
    const run = runProgram(process.execPath, [FANOUT, command, ...selector], {
      env: { ...cluster.env, FANOUT_RPC_ADDR: ops.control, ...env },
    });
    const { body } = await rogue.capture(...command.split(' '));
    await attack(body);
    web1.child.kill('SIGCONT');
    return run;
  }

  test('garbage, silence, half a greeting and the greeting of another run do not count', async () => {
    const visit = rogue.visits.length;
    const signed = rogue.envelope(operatorKey(cluster), ['echo', 'recorded']);
    rogue.query(web1, signed);
    const { socket, early } = await eventually('a greeting to record', () => rogue.visits[visit]);
    let recorded = Buffer.from(early);
    await eventually('its bytes', () => {
      recorded = Buffer.concat([recorded, (socket.read() as Buffer | null) ?? Buffer.alloc(0)]);
      return recorded.length > 200;
    });
    const { code, stdout, stderr } = await ahead('echo honest-1', ['--node', 'web1'], async (body) => {
      const claims = [
        randomBytes(2000),
        new Uint8Array(0),
        Uint8Array.of(0xff, 0xff, 0xff, 0xff),
        recorded,
        recorded.subarray(0, 100),
        Buffer.concat([recorded.subarray(0, 150), randomBytes(500)]),
      ];
      for (const bytes of claims) {
        const stream = await rogue.open(ops, { op: 'answer', run: body.id, node: 'web1' });
        stream.write(bytes);
      }
    });
    expect([code, stdout]).toEqual([0, 'web1: honest-1\n']);
    expect(stderr).not.toContain('untrusted');
  });

  test('hundreds of silent claims do not shut the honest answer out', async () => {
    const { code, stdout } = await ahead('echo honest-2', ['--node', 'web1'], async (body) => {
      const claims = Array.from({ length: 300 }, () =>
        rogue.open(ops, { op: 'answer', run: body.id, node: 'web1' }),
      );
      await Promise.all(claims);
    });
    expect([code, stdout]).toEqual([0, 'web1: honest-2\n']);
  });

  test('another key before the honest answer is a loud error, its output is not shown, and web1 runs nothing', async () => {
    const run = await ahead('sleep 2', ['--tag', 'role=web'], async (body) => {
      await eventually('web2 to run it', () => starts(web2, 'sleep', '2') === 1);
      const stream = await rogue.impersonate(ops, body, 'web1', LIE);
      await new Promise((resolve) => stream.resume().once('close', resolve));
    });
    expect(run.code).toBe(7);
    expect(run.stderr).toMatch(/key of "?web1"? has changed/);
    expect(run.stdout).not.toContain(LIE.trim());
    expect(starts(web1, 'sleep', '2'), 'what was reported as not trusted did not run').toBe(0);
  });

  test('another key after the honest answer has begun changes nothing', async () => {
    const run = cluster.fanout(['sleep 3', '--node', 'web1']);
    const { body } = await rogue.capture('sleep', '3');
    await eventually('web1 to run it', () => starts(web1, 'sleep', '3') === 1);
    const stream = await rogue.impersonate(ops, body, 'web1', LIE);
    await new Promise((resolve) => stream.resume().once('close', resolve));
    const { code, stdout, stderr } = await run;
    expect([code, stdout]).toEqual([0, '']);
    expect(stderr).not.toContain('untrusted');
  });

  test('another key at first sight is found out as soon as the honest node answers', async () => {
    const config = join(cluster.dir, 'newcomer');
    const identity = join(cluster.dir, 'config', 'fanout', 'operator.key');
    mkdirSync(config, { mode: 0o700 });
    const attack = async (body: CommandBody): Promise<void> => {
      await rogue.impersonate(ops, body, 'web1', LIE);
      await eventually('the key to be kept', () =>
        existsSync(join(config, 'fanout', 'known_nodes'))
          ? readFileSync(join(config, 'fanout', 'known_nodes'), 'utf8').includes('web1')
          : false,
      );
    };
    const env = { XDG_CONFIG_HOME: config, FANOUT_IDENTITY: identity };
    const run = await ahead('sleep 4', ['--tag', 'role=web'], attack, env);
    expect(run.code).toBe(7);
    expect(run.stderr).toMatch(/not trusted: web1/i);
    expect(starts(web1, 'sleep', '4')).toBe(0);
    // The wrong key stays pinned, so every further run says that something is wrong.
    const next = await runProgram(process.execPath, [FANOUT, 'echo next', '--node', 'web1'], {
      env: { ...cluster.env, FANOUT_RPC_ADDR: ops.control, ...env },
    });
    expect([next.code, next.stdout]).toEqual([7, '']);
    expect(next.stderr).toMatch(/key of "?web1"? has changed/);
  });

  test('a key that cannot be kept is not trusted, and its node does not run the command', async () => {
    const config = join(cluster.dir, 'crowded');
    mkdirSync(config, { mode: 0o700 });
    const env = {
      XDG_CONFIG_HOME: config,
      FANOUT_IDENTITY: join(cluster.dir, 'config', 'fanout', 'operator.key'),
    };
    // Another run of this operator meets another web1 in the same moment.
    const meet = async (): Promise<void> => {
      const pin = `web1 test ${Buffer.alloc(64, 7).toString('base64')}\n`;
      writeFileSync(join(config, 'fanout', 'known_nodes'), pin, { mode: 0o600 });
    };
    const { code, stderr } = await ahead('echo unkept', ['--node', 'web1'], meet, env);
    expect(code).toBe(7);
    expect(stderr).toMatch(/key of "web1" has changed/);
    expect(stderr).not.toContain('bug in fanout');
    expect(starts(web1, 'echo', 'unkept')).toBe(0);
  });

  test('who was not asked gets no say in a run that names its nodes', async () => {
    const { code, stdout } = await ahead('echo honest-3', ['--node', 'web1'], async (body) => {
      for (const name of ['web7', 'mallory', 'web1 ', '\u001b[2Jweb1', '../../web1']) {
        const stream = await rogue.impersonate(ops, body, name, LIE);
        await new Promise((resolve) => stream.resume().once('close', resolve));
      }
    });
    expect([code, stdout]).toEqual([0, 'web1: honest-3\n']);
    const known = readFileSync(join(cluster.dir, 'config', 'fanout', 'known_nodes'), 'utf8');
    expect(
      known
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => line.split(' ')[0]),
    ).toEqual(expect.arrayContaining(['web1', 'web2']));
    expect(known.trim().split('\n').length).toBe(2);
  });

  test('a node that is said to be gone is reported so, and then does not run what was given up', async () => {
    const run = await ahead('sleep 5', ['--tag', 'role=web', '--timeout', '20s'], async () => {
      await eventually('web2 to run it', () => starts(web2, 'sleep', '5') === 1);
      await eventually('the rumour to be believed', async () => {
        // What the rogue knows of web1 may be behind what ops knows: it says it again.
        const incarnation = rogue.driver.serf.memberlist.table.get('web1')?.incarnation ?? 0;
        rogue.packet(ops, encodeDead({ incarnation, node: 'web1', from: 'web1' }));
        return (await cluster.fanout(['members', '--node', 'web1'])).stdout.includes('failed');
      });
    });
    expect(run.code).toBe(4);
    expect(run.stderr).toMatch(/web1.*lost/);
    expect(starts(web1, 'sleep', '5')).toBe(0);
  });
});
