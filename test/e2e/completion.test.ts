import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Rogue } from '../hostile/rogue.ts';
import { TestCluster } from '../support/cluster.ts';
import { hasOptional } from '../support/optional.ts';
import { eventually, FANOUT, freePort, runProgram } from '../support/processes.ts';
import { HAS_TMUX, Tmux } from '../support/tmux.ts';

const HAS_ZSH = hasOptional('zsh', 'completion in zsh', 'zsh');
const HAS_FISH = hasOptional('fish', 'completion in fish', 'fish');

/** What a member may call itself. Each would make the file PWNED, break the line, or become a flag or another word. */
const HOSTILE = [
  '$(touch PWNED)',
  '`touch PWNED`',
  'web;touch PWNED',
  'web\ntouch PWNED\n',
  `web"'x`,
  'web x',
  'web\u001b[31m\u0007',
  '-rf',
  '~root',
  'web\u202exyz',
  ':files',
];

describe('completion', () => {
  const cluster = new TestCluster();
  const rogues: Rogue[] = [];
  const cwd = join(cluster.dir, 'here');
  let env: NodeJS.ProcessEnv;

  beforeAll(async () => {
    const bin = join(cluster.dir, 'bin');
    for (const folder of [bin, cwd, join(cwd, 'folder')]) mkdirSync(folder);
    writeFileSync(join(cwd, 'policy.yaml'), '');
    symlinkSync(FANOUT, join(bin, 'fanout'));
    const web1 = await cluster.start({ name: 'web1', tags: { role: 'web', dc: 'oslo', zone: 'a:1' } });
    const spec = { policy: undefined, join: web1.gossip };
    await cluster.start({ name: 'web2', tags: { role: 'web', '$(touch PWNED)': 'x' }, join: spec.join });
    await cluster.start({ name: 'db.1-x_y', tags: { role: '`touch PWNED`', dc: 'to kyo' }, join: spec.join });
    for (const name of HOSTILE) rogues.push(await Rogue.join(cluster, web1, { name, tags: { role: name } }));
    await cluster.complete(3 + HOSTILE.length);
    const made = await cluster.fanout(['select', 'save', 'canaries', 'web1']);
    expect(made.code).toBe(0);
    env = { ...cluster.env, FANOUT_RPC_ADDR: web1.control, PATH: `${bin}:${process.env.PATH}` };
    for (const shell of ['bash', 'zsh', 'fish']) {
      const { stdout } = await cluster.fanout(['completion', shell]);
      writeFileSync(join(cluster.dir, `script.${shell}`), stdout);
    }
  }, 120_000);
  afterAll(async () => {
    expect(readdirSync(cwd).sort()).toEqual(['folder', 'policy.yaml']);
    await Promise.all(rogues.map((rogue) => rogue.leave()));
    await cluster.stop();
  });

  /** What bash would offer for this line, as it tells its functions of it. */
  async function bash(line: string): Promise<string[]> {
    const script = `cd "$2" && source ../script.bash && compopt() { printf 'compopt %s\\0' "$*"; }
      COMP_LINE=$1 COMP_POINT=\${#1} COMP_WORDBREAKS=$' \\t\\n"\\'@><=;|&(:'
      _fanout fanout && for word in "\${COMPREPLY[@]}"; do printf '%s\\0' "$word"; done`;
    const { stdout, stderr } = await runProgram('bash', ['-c', script, 'bash', line, cwd], { env });
    expect(stderr).toBe('');
    return stdout.split('\0').slice(0, -1);
  }

  async function fish(line: string): Promise<string[]> {
    const script = 'cd $argv[2]; source ../script.fish; complete -C $argv[1]';
    const { stdout, stderr } = await runProgram('fish', ['--no-config', '-c', script, line, cwd], { env });
    expect(stderr).toBe('');
    return stdout
      .split('\n')
      .slice(0, -1)
      .map((found) => found.split('\t')[0]!);
  }

  /** Each line and what has to be offered for it. A few side by side: they have little time before they give up. */
  async function offered(
    ask: (line: string) => Promise<string[]>,
    wanted: Readonly<Record<string, readonly string[]>>,
  ): Promise<void> {
    const lines = Object.keys(wanted);
    const found: Record<string, string[]> = {};
    const one = async (): Promise<void> => {
      for (let line = lines.shift(); line !== undefined; line = lines.shift()) found[line] = await ask(line);
    };
    await Promise.all([one(), one(), one()]);
    expect(found).toEqual(wanted);
  }

  test('in bash: commands, flags, values, names and tags, and only harmless ones', async () => {
    await offered(bash, {
      'fanout mem': ['members'],
      'fanout policy ex': ['explain'],
      'fanout members --sta': ['--status'],
      'fanout members --status ': ['alive', 'leaving', 'left', 'failed'],
      'fanout members --format=j': ['json'],
      'fanout --node ': ['db.1-x_y', 'web1', 'web2'],
      'fanout rtt web1 we': ['web1', 'web2'],
      'fanout -w web1,': ['web1,db.1-x_y', 'web1,web2'],
      'fanout -w @': ['@canaries'],
      'fanout -w web1,@c': ['@canaries'],
      'fanout --tag z': ['compopt -o nospace', 'zone='],
      'fanout --tag role=': ['web'],
      "fanout --tag 'role=w": ['role=web'],
      'fanout --tag zone=a:': ['1'],
      'fanout --tag dc!=': ['oslo'],
      'fanout agent --policy pol': ['compopt -o default'],
      'fanout handlers list --dir ': ['compopt -o dirnames'],
      'fanout -- --no': [],
    });
  });

  test.skipIf(!HAS_FISH)('in fish: the same', async () => {
    await offered(fish, {
      'fanout mem': ['members'],
      'fanout members --status ': ['alive', 'failed', 'leaving', 'left'],
      'fanout --node ': ['db.1-x_y', 'web1', 'web2'],
      'fanout -w web1,': ['web1,db.1-x_y', 'web1,web2'],
      'fanout --tag role=': ['role=web'],
      'fanout --tag zone=': ['zone=a:1'],
      'fanout agent --policy pol': ['policy.yaml'],
      'fanout handlers list --dir fol': ['folder/'],
      'fanout -- --no': [],
    });
  });

  test.skipIf(!HAS_TMUX || !HAS_ZSH)('in zsh, in a real terminal', async () => {
    const setup = `autoload -Uz compinit; compinit -u -d ${cluster.dir}/dump; source ../script.zsh`;
    const terminal = new Tmux(`cd ${cwd}; exec zsh -f`, env, 100, 40);
    try {
      terminal.type(`PS1='$ '; ${setup}; echo rea""dy`);
      terminal.press('Enter');
      await terminal.shows('ready');
      await typed(terminal, 'fanout polic', '$ fanout policy');
      await typed(terminal, 'fanout --tag zo', '$ fanout --tag zone=');
      await typed(terminal, 'fanout --tag zone=', '$ fanout --tag zone=a:1');
      await typed(terminal, 'fanout members --format=j', '$ fanout members --format=json');
      await typed(terminal, 'fanout --node d', '$ fanout --node db.1-x_y');
      await typed(terminal, 'fanout agent --policy pol', '$ fanout agent --policy policy.yaml');
      await typed(terminal, 'fanout --node ', /web1 +web2/);
      expect(terminal.screen).not.toMatch(/PWNED|-rf|~root|files/);
    } finally {
      terminal.stop();
    }
  });

  test.skipIf(!HAS_TMUX)('in bash, in a real terminal', async () => {
    const terminal = new Tmux(`cd ${cwd}; PS1='$ '; source ../script.bash; echo rea""dy`, env, 100, 40);
    try {
      await terminal.shows('ready');
      await typed(terminal, 'fanout polic', '$ fanout policy');
      await typed(terminal, 'fanout --tag zo', '$ fanout --tag zone=');
      await typed(terminal, 'fanout --tag zone=', '$ fanout --tag zone=a:1');
      await typed(terminal, 'fanout --tag "zone=', '$ fanout --tag "zone=a:1"');
      await typed(terminal, 'fanout members --format=j', '$ fanout members --format=json');
      await typed(terminal, 'fanout --node d', '$ fanout --node db.1-x_y');
      await typed(terminal, 'fanout -w @c', '$ fanout -w @canaries');
      await typed(terminal, 'fanout agent --policy pol', '$ fanout agent --policy policy.yaml');
      await typed(terminal, 'fanout handlers list --dir fol', '$ fanout handlers list --dir folder/');
      terminal.press('C-u');
      terminal.type('fanout --node ');
      terminal.press('Tab', 'Tab');
      await terminal.shows(/db\.1-x_y +web1 +web2/);
      expect(terminal.screen).not.toMatch(/PWNED|-rf|~root|:files/);
    } finally {
      terminal.stop();
    }
  });

  /** Types a line, presses Tab, waits for what stands there then, and clears the line. */
  async function typed(terminal: Tmux, line: string, wanted: string | RegExp): Promise<void> {
    terminal.type(line);
    terminal.press('Tab');
    await terminal.shows(wanted);
    terminal.press('C-u', 'C-l');
    await eventually('a clean line', () => /^\$\s*$/.test(terminal.screen.trim()));
  }

  test('offers nothing, and soon, when no agent answers', async () => {
    const nobody = `127.0.0.1:${await freePort()}`;
    // Takes connections into its queue and never answers.
    const { createServer } = await import('node:net');
    const deaf = createServer((socket) => void socket.on('error', () => {}));
    await new Promise<void>((resolve) => deaf.listen(0, '127.0.0.1', resolve));
    const address = deaf.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    try {
      for (const to of [nobody, `127.0.0.1:${port}`, '/nowhere.sock', 'no address at all']) {
        const from = performance.now();
        const args = [FANOUT, 'complete', 'fish', '--', '--rpc-addr', to, '--node', ''];
        const found = await runProgram(process.execPath, args, { env, timeoutMs: 20_000 });
        expect(found).toEqual({ code: 0, stdout: '', stderr: '' });
        expect(performance.now() - from).toBeLessThan(10_000);
      }
    } finally {
      deaf.close();
    }
    expect(existsSync(join(cwd, 'PWNED'))).toBe(false);
  });
});
