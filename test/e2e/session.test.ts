import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { TestCluster } from '../support/cluster.ts';
import { eventually, FANOUT, stopProcess } from '../support/processes.ts';
import { HAS_TMUX, Tmux } from '../support/tmux.ts';

const RULES = `  - id: look
    effect: allow
    readOnly: true
    operators: [alice]
    commands:
      - { program: uptime, argv: [] }
      - { program: printf, argv: ["*"] }
      - { program: "true", argv: [] }
      - { program: "false", argv: [] }
      - { program: sleep, argv: ["int:1..600"] }
`;

describe.skipIf(!HAS_TMUX)('the session in a real terminal', () => {
  let cluster: TestCluster;
  let env: NodeJS.ProcessEnv;
  let terminal: Tmux | undefined;
  const command = `${process.execPath} ${FANOUT}`;

  beforeAll(async () => {
    cluster = new TestCluster();
    await cluster.operator();
    const policy = cluster.addPolicy('policy', RULES, 'sandbox: none');
    const strict = cluster.addPolicy(
      'strict',
      `${RULES}  - { id: never, effect: deny, why: not on this one, programs: [uptime] }\n`,
      'sandbox: none',
    );
    const first = await cluster.start({ name: 'web1', tags: { role: 'web' }, policy });
    await cluster.start({ name: 'web2', tags: { role: 'web' }, policy, join: first.gossip });
    await cluster.start({ name: 'web3', tags: { role: 'web' }, policy: strict, join: first.gossip });
    await cluster.start({ name: 'db1', tags: { role: 'db' }, policy, join: first.gossip });
    await cluster.complete(4);
    env = { ...cluster.env, XDG_STATE_HOME: join(cluster.dir, 'state'), FANOUT_RPC_ADDR: first.control };
  });

  afterEach(() => {
    terminal?.stop();
    terminal = undefined;
  });

  afterAll(() => cluster.stop());

  function open(args = '', columns = 80, rows = 24): Tmux {
    terminal = new Tmux(`${command} ${args}; echo "exit=$?"`, env, columns, rows);
    return terminal;
  }

  /** At the command line with a selection, ready to type. */
  async function atCommand(selection = 'role=web'): Promise<Tmux> {
    const screen = open();
    await screen.shows('4 alive');
    screen.type(selection);
    await screen.shows(/matched \d of 4/);
    screen.press('Enter');
    await screen.shows(' Run ');
    return screen;
  }

  async function run(text: string, selection = 'role=web'): Promise<Tmux> {
    const screen = await atCommand(selection);
    screen.type(text);
    await screen.shows(/Verdict (allowed|denied)/);
    screen.press('Enter');
    await screen.shows('answered');
    return screen;
  }

  test('from the targets over the verdict to the answers, and back to the shell with a summary', async () => {
    const screen = await atCommand();
    screen.type('uptime');
    await screen.shows('denied on 1 by rule "never": not on this one');
    await screen.shows('allowed on 2 by rule "look", read-only');
    screen.press('Enter');
    await screen.shows(/ok 2\s+denied 1/);
    screen.press('Down');
    await screen.shows('load average');
    expect(screen.flags).toEqual({ alternate: true, cursor: false });
    screen.press('g');
    await screen.shows('different answers of 3 nodes');
    screen.press('q', 'Escape', 'Escape', 'Escape', 'Escape');
    await screen.shows('exit=5');
    expect(screen.flags).toEqual({ alternate: false, cursor: true });
    expect(screen.everything.replaceAll('\n', '')).toMatch(
      /fanout: uptime {2}on role=web: 1 denied, 2 ok in .*fanout show [0-9a-f]{8}/,
    );
  });

  test('what was run is kept: history, the last runs, and fanout show say the same', async () => {
    const screen = await run('printf kept-words');
    await screen.shows(/ok 3/);
    screen.press('L');
    await screen.shows(/3\/3\s+0\s+printf kept-words/);
    screen.press('q', 'Escape', 'C-r');
    screen.type('kept');
    await screen.shows('printf kept-words');
    screen.press('Escape', 'Escape', 'Escape', 'Escape', 'Escape');
    await screen.shows('exit=0');
    screen.type(`clear; ${command} last -b; ${command} history`);
    screen.press('Enter');
    await screen.shows(/web\[1-3\] \(3\)\s+-+\s+kept-words/);
    await screen.shows(/3\/3 ok\s+exit 0\s+printf kept-words\s+role=web/);
  });

  test('a run is stopped with c, its processes die, and the screen says what became of them', async () => {
    const screen = await run('sleep 444');
    await screen.shows('running 3');
    screen.press('c');
    await screen.shows(/cancelled 3/);
    await screen.shows('stopped by you');
    await screen.shows('killed');
  });

  test('one node is stopped, the others go on; the timeout moves', async () => {
    const screen = await run('sleep 445');
    await screen.shows('running 3');
    screen.press('+');
    await screen.shows('of 40.0 s');
    screen.press('x');
    await screen.shows('Stop the command on');
    screen.press('y');
    await screen.shows(/running 2\s+cancelled 1/);
    screen.press('c');
    await screen.shows('cancelled 3');
  });

  test('a search, the pager, and saving to a file that is for its owner alone', async () => {
    const screen = await run("printf 'alpha beta gamma'");
    await screen.shows('ok 3');
    screen.press('/');
    await screen.shows('Search in all outputs');
    screen.type('beta');
    await eventually('the typed word', () => screen.screen.includes('beta'));
    screen.press('Enter');
    await screen.shows('3 hits on 3 nodes');
    screen.press('Enter');
    await screen.shows('* alpha beta gamma');
    screen.press('q', 'q', 's', 'Tab', 'Tab');
    await screen.shows('JSON, one object');
    const file = join(cluster.dir, 'saved.json');
    screen.type(file);
    await screen.shows('saved.json');
    screen.press('Enter');
    await screen.shows('saved:');
    const saved = JSON.parse(readFileSync(file, 'utf8')) as { nodes: unknown[] };
    expect(saved.nodes.length).toBe(3);
  });

  test('a pasted line end runs nothing', async () => {
    const screen = await atCommand();
    screen.type('true');
    screen.type('\u001b[200~ \r\u001b[201~');
    screen.press('C-o');
    await screen.shows(/timeout 30s/);
    expect(screen.screen).not.toContain('answered');
    expect(existsSync(join(cluster.dir, 'state', 'fanout', 'history.jsonl'))).toBe(true);
    expect(readFileSync(join(cluster.dir, 'state', 'fanout', 'history.jsonl'), 'utf8')).not.toContain(
      '"true"',
    );
  });

  test('resizing, down to one honest line and back', async () => {
    const screen = await run('printf size');
    await screen.shows('ok 3');
    screen.resize(30, 8);
    await screen.shows('too small: 3/3 done, 3 ok');
    screen.resize(120, 40);
    await screen.shows('last line, or why');
    for (const [columns, rows] of [
      [50, 20],
      [150, 50],
      [41, 11],
      [80, 24],
    ] as const) {
      screen.resize(columns, rows);
    }
    await screen.shows('last line, or why');
    await eventually('the whole screen', () => screen.screen.split('\n')[0]?.includes('printf size'));
  });

  test('members that come and go show while it is open', async () => {
    const screen = open();
    await screen.shows('4 alive');
    screen.press('Tab', 'M');
    await screen.shows('Members');
    const [first] = cluster.agents;
    const extra = await cluster.start({ name: 'late1', tags: { role: 'late' }, join: first?.gossip ?? '' });
    await screen.shows(/late1\s+alive/);
    screen.press('q', 'E');
    await screen.shows(/member-join: late1 .*role=late/);
    await stopProcess(extra.child);
    screen.press('q', 'M');
    await screen.shows(/late1\s+(suspect|failed)/, 40_000);
  });

  test('Ctrl-Z gives the terminal back, and fg brings the session back', async () => {
    const screen = open();
    await screen.shows('4 alive');
    screen.press('C-z');
    await screen.shows('Stopped');
    expect(screen.flags.alternate).toBe(false);
    screen.type('fg');
    screen.press('Enter');
    await screen.shows('4 alive');
    await eventually('the screen of the session', () => screen.flags.alternate);
  });

  test('Ctrl-C twice leaves, and SIGTERM restores the terminal', async () => {
    const screen = open();
    await screen.shows('4 alive');
    screen.press('C-c');
    await screen.shows('Ctrl-C again leaves');
    screen.press('C-c');
    await screen.shows('exit=0');
    expect(screen.flags).toEqual({ alternate: false, cursor: true });
    const pidFile = join(cluster.dir, 'ui.pid');
    screen.type(`clear; (echo $BASHPID > ${pidFile}; exec ${command} ui); echo "ended=$?"`);
    screen.press('Enter');
    await screen.shows('4 alive');
    process.kill(Number(readFileSync(pidFile, 'utf8')), 'SIGTERM');
    await screen.shows('ended=0');
    expect(screen.flags).toEqual({ alternate: false, cursor: true });
  });

  test('the plain command on a terminal: a live line while it runs, lines as they come, -b at the end', async () => {
    const screen = open('--tag role=web -b "sleep 2"');
    await screen.shows(/0\/3 done {2}3 running/);
    await screen.shows('exit=0');
    expect(screen.everything).toContain('fanout: 3 of 3 ran it and returned 0');
    expect(screen.screen).not.toContain('3 running');
  });

  test('an output is opened in $PAGER, clean, and the session comes back', async () => {
    const file = join(cluster.dir, 'paged');
    env = { ...env, PAGER: `tee ${file}` };
    const screen = await run("printf 'paged words'");
    await screen.shows('ok 3');
    screen.press('Enter');
    await screen.shows('1-1 of 1 lines');
    screen.press('v');
    await eventually(
      'the pager to have it',
      () => existsSync(file) && readFileSync(file, 'utf8') === 'paged words\n',
    );
    await eventually(
      'the session to be back',
      () => screen.flags.alternate && screen.screen.includes('1-1 of 1 lines'),
    );
  });

  test('when the terminal is closed, the session ends with it', async () => {
    const screen = open();
    await screen.shows('4 alive');
    const sessions = (): string =>
      spawnSync('pgrep', ['-f', `^${process.execPath} ${FANOUT}$`], { encoding: 'utf8' }).stdout.trim();
    expect(sessions()).not.toBe('');
    screen.stop();
    await eventually('the process to be gone', () => sessions() === '');
  });

  test('when the agent goes away the screen says so, and it comes back with the agent', async () => {
    const screen = open();
    await screen.shows('4 alive');
    const [first, second] = cluster.agents;
    await stopProcess(first!.child);
    await screen.shows('THE AGENT IS GONE');
    const policy = join(cluster.dir, 'policy.yaml');
    await cluster.start({ name: 'web1', tags: { role: 'web' }, policy, join: second!.gossip });
    await screen.shows(/fanout {2}test .*4 alive/);
    screen.type('web[1-2]');
    await screen.shows('matched 2 of 4');
    screen.press('Enter');
    screen.type('uptime');
    await screen.shows('allowed on 2');
    screen.press('Enter');
    await screen.shows('ok 2');
  });

  test('without a terminal there is no session, and no question', async () => {
    const piped = await cluster.fanout(['ui']);
    expect(piped.code).toBe(2);
    expect(piped.stderr).toContain('needs a terminal');
    expect((await cluster.fanout([])).code).toBe(2);
  });
});
