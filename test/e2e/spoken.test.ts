import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { TestCluster } from '../support/cluster.ts';
import { eventually, FANOUT } from '../support/processes.ts';
import { HAS_TMUX } from '../support/tmux.ts';

const RULES = `  - id: look
    effect: allow
    readOnly: true
    operators: [alice]
    commands:
      - { program: printf, argv: ["*"] }
      - { program: sleep, argv: ["int:1..600"] }
`;

/** The session in a pseudo-terminal of script(1) that is not even asked to move its cursor. */
class Heard {
  text = '';
  code: number | null | undefined;
  private readonly child: ChildProcess;

  constructor(env: NodeJS.ProcessEnv, args: string) {
    const line = `stty -echo; exec ${process.execPath} ${FANOUT} ui ${args}`;
    this.child = spawn('script', ['-qfec', line, '/dev/null'], { env, stdio: ['pipe', 'pipe', 'pipe'] });
    this.child.stdout?.setEncoding('utf8').on('data', (chunk) => {
      this.text += chunk;
    });
    this.child.once('exit', (code) => {
      this.code = code;
    });
  }

  type(line: string): void {
    this.child.stdin?.write(`${line}\n`);
  }

  async says(what: RegExp): Promise<void> {
    await eventually(String(what), () => what.test(this.text)).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${this.text}`);
    });
  }

  async ends(): Promise<number | null> {
    await eventually('the end of the session', () => this.code !== undefined);
    return this.code ?? null;
  }

  stop(): void {
    this.child.kill('SIGKILL');
  }
}

// script(1) comes with util-linux like the rest of what the suite needs; tmux stands for "the packages are there".
describe.skipIf(!HAS_TMUX)('the session in lines', () => {
  let cluster: TestCluster;
  let env: NodeJS.ProcessEnv;
  let session: Heard | undefined;

  beforeAll(async () => {
    cluster = new TestCluster();
    await cluster.operator();
    const policy = cluster.addPolicy('policy', RULES, 'sandbox: none');
    const first = await cluster.start({ name: 'web1', tags: { role: 'web' }, policy });
    await cluster.start({ name: 'web2', tags: { role: 'web' }, policy, join: first.gossip });
    await cluster.complete(2);
    env = { ...cluster.env, XDG_STATE_HOME: join(cluster.dir, 'state'), FANOUT_RPC_ADDR: first.control };
    delete env.CI;
  });

  afterEach(() => session?.stop());
  afterAll(() => cluster.stop());

  test.each([
    ['--screen-reader', 'xterm-256color'],
    ['', 'dumb'],
  ])('from the targets to the answers, with nothing but text (%s, TERM=%s)', async (args, term) => {
    session = new Heard({ ...env, TERM: term }, args);
    await session.says(/2 of 2 living nodes match/);
    session.type('role=web');
    await session.says(/role=web/);
    session.type(':enter');
    await session.says(/Run/);
    session.type('printf \\033[2Jhello');
    await session.says(/not a command|backslash/);
    session.type('printf hello');
    await session.says(/allowed on 2 .*by rule .?look.*:enter runs it/);
    expect(session.text).not.toContain('answered');
    session.type(':enter');
    await session.says(/ended after|the run has ended: 2 ok/);
    session.type('g');
    await session.says(/1 different answer of 2 nodes/);
    session.type(':?');
    await session.says(/show the output of the first node|keys/i);
    session.type(':escape');
    session.type(':ctrl-c ctrl-c');
    expect(await session.ends()).toBe(0);
    // Neither a colour nor a cursor movement, from beginning to end.
    expect(session.text).not.toMatch(/[\u001b\u0007\b]/);
    expect(session.text).toContain('2 ok');
  });

  test('Ctrl-C stops what runs, and says so', async () => {
    session = new Heard({ ...env, TERM: 'dumb' }, "-s 'role=web'");
    await session.says(/2 of 2 living/);
    session.type(':enter');
    await session.says(/Run/);
    session.type('sleep 300');
    await session.says(/allowed on 2/);
    session.type(':enter');
    await session.says(/2 running|running {1,2}2/);
    session.type('\u0003');
    await session.says(/2 cancelled/);
    session.type(':ctrl-c ctrl-c');
    expect(await session.ends()).toBe(130);
  });
});
