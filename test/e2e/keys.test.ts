import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { createOperatorKey } from '../../src/identity/operator-key.ts';
import { fingerprint, formatPublicLine, parsePublicLine } from '../../src/identity/ssh-key.ts';
import { starts } from '../hostile/rogue.ts';
import { signerOf } from '../identity/fixtures.ts';
import { type AgentProcess, TestCluster } from '../support/cluster.ts';
import { FakeAgent } from '../support/fake-agent.ts';
import { eventually, FANOUT, type Result, runProgram, stopProcess } from '../support/processes.ts';
import { SecurityKey } from '../support/security-key.ts';
import { HAS_SSH_AGENT, SshAgent } from '../support/ssh-agent.ts';
import { HAS_TMUX, Tmux } from '../support/tmux.ts';

const RULES = `  - id: look
    effect: allow
    readOnly: true
    operators: [alice]
    commands:
      - { program: echo, positionals: { max: 5, match: ["any:100"] } }
`;

const PASSPHRASE = 'correct horse battery';

const cluster = new TestCluster();
let web1: AgentProcess;
let web2: AgentProcess;
let policy: string;
let operatorKey: string;

beforeAll(async () => {
  await cluster.operator();
  operatorKey = join(cluster.dir, 'config', 'fanout', 'operator.key');
  policy = cluster.addPolicy('policy', RULES, 'sandbox: none');
  web1 = await cluster.start({ name: 'web1', tags: { role: 'web' }, policy });
  web2 = await cluster.start({ name: 'web2', tags: { role: 'web' }, policy, join: web1.gossip });
  await cluster.complete(2);
});

afterAll(() => cluster.stop());

/** The built command with another environment, and without the terminal that the tests may have. */
function detached(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Result> {
  return runProgram('setsid', ['-w', process.execPath, FANOUT, ...args], {
    env: { ...cluster.env, FANOUT_RPC_ADDR: web1.control, ...env },
  });
}

describe.skipIf(!HAS_SSH_AGENT)('a key in ssh-agent', () => {
  let agent: SshAgent;

  beforeAll(async () => {
    agent = await new SshAgent().ready();
    agent.add(['-q', operatorKey]);
  });

  afterAll(() => agent.stop());

  test('signs what nodes carry out, and operator show says where it is', async () => {
    const env = { SSH_AUTH_SOCK: agent.socket, FANOUT_IDENTITY: `${operatorKey}.pub` };
    expect(await detached(['echo by-agent', '--node', 'web1'], env)).toMatchObject({
      code: 0,
      stdout: 'web1: by-agent\n',
    });
    const shown = await detached(['operator', 'show', '--format', 'json'], env);
    const fingerprint = agent.add(['-l']).split(' ')[1];
    expect(JSON.parse(shown.stdout)).toEqual({
      file: `${operatorKey}.pub`,
      chosenBy: 'FANOUT_IDENTITY',
      protection: 'ssh-agent',
      fingerprint,
      publicLine: cluster.publicLine,
    });
    const text = await detached(['operator', 'show'], env);
    expect(text.stdout).toContain('kept by the ssh-agent');
    expect(text.stdout).toMatch(new RegExp(`fingerprint +${fingerprint?.replaceAll('+', '\\+')}\n`));
  });

  test('that is not there names the ssh-add that helps', async () => {
    const env = { SSH_AUTH_SOCK: agent.socket };
    const other = agent.keygen('other', { passphrase: PASSPHRASE });
    expect(await detached(['-i', other, 'echo no'], env)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(`ssh-add ${other}`),
    });
  });
});

describe('a security key', () => {
  const device = new SecurityKey('alice');

  /** An agent whose policy knows alice by her device, and the environment in which an ssh-agent holds that. */
  async function node(name: string, flags: number) {
    const file = cluster.addPolicy(name, RULES, 'sandbox: none');
    const own = readFileSync(file, 'utf8').replace(
      cluster.publicLine,
      formatPublicLine(device.publicKey, ''),
    );
    writeFileSync(file, own);
    const agent = await cluster.start({ name, policy: file, join: web1.gossip });
    const held = await device.agent(flags);
    onTestFinished(() => held.stop());
    const pub = join(cluster.dir, `${name}.pub`);
    writeFileSync(pub, `${formatPublicLine(device.publicKey, 'alice')}\n`);
    await cluster.complete(3, agent);
    onTestFinished(() => stopProcess(agent.child, 'SIGINT'));
    const env = { SSH_AUTH_SOCK: held.path, FANOUT_IDENTITY: pub, FANOUT_RPC_ADDR: agent.control };
    return { agent, env };
  }

  test('in ssh-agent signs what nodes carry out', async () => {
    const { env } = await node('sk1', 1);
    const run = await detached(['echo by-device', '--node', 'sk1'], env);
    expect(run).toMatchObject({ code: 0, stdout: 'sk1: by-device\n' });
    const shown = await detached(['operator', 'show', '--format', 'json'], env);
    expect(JSON.parse(shown.stdout)).toMatchObject({
      protection: 'ssh-agent',
      fingerprint: fingerprint(device.publicKey),
      publicLine: formatPublicLine(device.publicKey, 'my device'),
    });
  });

  test('that nobody touched signs nothing that is sent', async () => {
    const { agent, env } = await node('sk2', 0);
    const run = await detached(['echo untouched', '--node', 'sk2'], env);
    expect(run).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('without a touch') });
    expect(starts(agent, 'echo', 'untouched')).toBe(0);
  });
});

test('an agent that signs with another key gets nothing sent, and the exit status is 7', async () => {
  const mallory = signerOf('mallory');
  const string = (bytes: Uint8Array): Buffer => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return Buffer.concat([length, bytes]);
  };
  const { key } = parsePublicLine(cluster.publicLine);
  const type = Buffer.from('ssh-ed25519');
  const count = Buffer.from([0, 0, 0, 1]);
  const list = Buffer.concat([
    Buffer.of(12),
    count,
    string(Buffer.concat([string(type), string(key)])),
    string(Buffer.of()),
  ]);
  const agent = await new FakeAgent((request) => {
    if (request[0] === 11) return string(list);
    // The signature is a good one over the right bytes, by the wrong person.
    const message = request.subarray(1 + 4 + 51 + 4, -4);
    const blob = Buffer.concat([string(type), string(mallory.sign(message))]);
    return string(Buffer.concat([Buffer.of(14), string(blob)]));
  }).start();
  onTestFinished(() => agent.stop());
  const env = { SSH_AUTH_SOCK: agent.path };
  const run = await detached(['-i', `${operatorKey}.pub`, 'echo forged-by-agent'], env);
  expect(run).toMatchObject({ code: 7, stdout: '', stderr: expect.stringContaining('Nothing was sent') });
  for (const node of [web1, web2]) expect(starts(node, 'echo', 'forged-by-agent')).toBe(0);
});

test('SSH_AUTH_SOCK that names a folder, or nothing, is an error in words', async () => {
  for (const SSH_AUTH_SOCK of [cluster.dir, join(cluster.dir, 'none'), operatorKey, 'x'.repeat(5000)]) {
    const run = await detached(['-i', `${operatorKey}.pub`, 'echo no'], { SSH_AUTH_SOCK });
    expect(run.code).toBe(2);
    expect(run.stderr).toMatch(/ssh-agent|SSH_AUTH_SOCK/);
    expect(run.stderr).not.toContain('bug in fanout');
  }
});

// Every key that is sealed or opened takes its price in time, on a busy machine several seconds.
describe.skipIf(!HAS_TMUX)('a passphrase, on a terminal', { timeout: 180_000 }, () => {
  const command = `${process.execPath} ${FANOUT}`;
  let screen: Tmux | undefined;

  afterEach(() => {
    expect(screen?.everything ?? '', 'a passphrase is never shown').not.toContain('horse');
    screen?.stop();
    screen = undefined;
  });

  function open(line: string): Tmux {
    const env = { ...cluster.env, FANOUT_RPC_ADDR: web1.control, XDG_STATE_HOME: join(cluster.dir, 'state') };
    screen = new Tmux(`${line}; echo "exit=$?"`, env, 120);
    return screen;
  }

  async function answer(terminal: Tmux, question: string | RegExp, text: string): Promise<void> {
    await terminal.shows(question);
    terminal.type(text);
    terminal.press('Enter');
  }

  test('keygen asks twice, again when the two differ, and seals the key', async () => {
    const made = join(cluster.dir, 'made.key');
    const terminal = open(`${command} operator keygen --name bob --passphrase -o ${made}`);
    await answer(terminal, /new passphrase:$/m, PASSPHRASE);
    await answer(terminal, /once more:$/m, 'something else');
    await answer(terminal, /not the same\s+new passphrase:$/m, 'short');
    await answer(terminal, /at least 8 characters\s+new passphrase:$/m, PASSPHRASE);
    await answer(terminal, /characters\s+new passphrase:\s+the same once more:$/m, PASSPHRASE);
    await terminal.shows('exit=0');
    expect(statSync(made).mode & 0o777).toBe(0o600);
    expect(readFileSync(made, 'utf8')).toMatch(
      /^-----BEGIN FANOUT SEALED KEY-----\nkdf: scrypt 131072 8 1\n/,
    );
    const shown = await detached(['operator', 'show', '-i', made]);
    expect(shown.stdout).toContain(readFileSync(`${made}.pub`, 'utf8').trim());
  });

  /** A copy of the operator's key, put under the passphrase. */
  async function seal(name: string): Promise<string> {
    const file = join(cluster.dir, name);
    copyFileSync(operatorKey, file);
    const terminal = open(`${command} operator passphrase ${file}`);
    await answer(terminal, /new passphrase:$/m, PASSPHRASE);
    await answer(terminal, /once more:$/m, PASSPHRASE);
    await terminal.shows('exit=0');
    terminal.stop();
    expect(statSync(file).mode & 0o777).toBe(0o600);
    return file;
  }

  test('is put on a key and asked for by a run, on the terminal and nowhere else', async () => {
    const sealed = await seal('asked.key');
    const silent = await detached(['-i', sealed, 'echo no']);
    expect(silent).toMatchObject({ code: 2, stderr: expect.stringContaining('no terminal') });
    const terminal = open(`${command} -i ${sealed} --node web1 'echo opened' </dev/null | cat`);
    await answer(terminal, `passphrase of ${sealed}:`, 'not this one');
    await answer(terminal, /this is not the passphrase\s+passphrase of \S+:$/m, PASSPHRASE);
    await terminal.shows('web1: opened');
  });

  test('is changed; the old one opens the key no more, and wrong ones leave it as it is', async () => {
    const sealed = await seal('changed.key');
    let terminal = open(`${command} operator passphrase ${sealed}`);
    await answer(terminal, 'passphrase of', PASSPHRASE);
    await answer(terminal, /new passphrase:$/m, `new ${PASSPHRASE}`);
    await answer(terminal, /once more:$/m, `new ${PASSPHRASE}`);
    await terminal.shows('exit=0');
    terminal.stop();
    const before = readFileSync(sealed, 'utf8');
    terminal = open(`${command} operator passphrase ${sealed} --remove`);
    for (const turn of [1, 2, 3]) {
      await answer(terminal, new RegExp(`(passphrase of \\S+:[\\s\\S]*){${turn}}$`), PASSPHRASE);
    }
    await terminal.shows('three times a wrong passphrase');
    expect(readFileSync(sealed, 'utf8')).toBe(before);
  });

  test('is removed; the key stays the same', async () => {
    const sealed = await seal('removed.key');
    const terminal = open(`${command} operator passphrase ${sealed} --remove`);
    await answer(terminal, 'passphrase of', PASSPHRASE);
    await terminal.shows('exit=0');
    expect(readFileSync(sealed, 'utf8')).toBe(readFileSync(operatorKey, 'utf8'));
    expect(statSync(sealed).mode & 0o777).toBe(0o600);
    expect((await detached(['operator', 'passphrase', sealed, '--remove'])).code).toBe(2);
  });

  test('Ctrl-C at the question ends it, and the terminal shows again what is typed', async () => {
    const made = join(cluster.dir, 'never.key');
    const terminal = open(`${command} operator keygen --name bob --passphrase -o ${made}`);
    await terminal.shows(/new passphrase:$/m);
    terminal.press('C-c');
    // A shell that sees its child die of Ctrl-C does not go on with the line.
    await terminal.shows(/passphrase:\s+(\$|bash\S*#)/);
    terminal.type('echo "exit=$?"');
    terminal.press('Enter');
    await terminal.shows('exit=130');
    terminal.type('stty -a | tr " " "\\n" | grep -x echo');
    await terminal.shows('grep -x echo');
    terminal.press('Enter');
    await terminal.shows(/^echo$/m);
    expect(() => statSync(made)).toThrow();
    expect(() => statSync(`${made}.pub`)).toThrow();
  });

  test('the session asks once, before there is a screen, and runs with it as often as one likes', async () => {
    const file = await seal('session.key');
    const terminal = open(`${command} ui -i ${file} -s role=web`);
    await terminal.shows('passphrase of');
    expect(terminal.flags.alternate).toBe(false);
    terminal.type(PASSPHRASE);
    terminal.press('Enter');
    await terminal.shows('2 alive');
    terminal.press('Enter');
    await terminal.shows(' Run ');
    terminal.type('echo twice');
    await terminal.shows(/Verdict allowed/);
    terminal.press('Enter');
    await terminal.shows(/ok 2/);
    expect(terminal.screen).not.toContain('passphrase');
  });
});

describe.skipIf(!HAS_TMUX)('approving', { timeout: 180_000 }, () => {
  test('asks for the passphrase of the approver once, also when there is no agent to ask for verdicts', async () => {
    const bob = join(cluster.dir, 'bob.key');
    createOperatorKey(bob, 'bob', PASSPHRASE);
    const [request, approved] = [join(cluster.dir, 'request'), join(cluster.dir, 'approved')];
    const made = await detached(['request', 'echo together', '-o', request]);
    expect(made.code, made.stderr).toBe(0);
    const line = `${process.execPath} ${FANOUT} approve ${request} -y -i ${bob} -o ${approved}; echo "exit=$?"`;
    const screen = new Tmux(line, { ...cluster.env, FANOUT_RPC_ADDR: join(cluster.dir, 'nobody.sock') }, 120);
    onTestFinished(() => screen.stop());
    await screen.shows('passphrase of');
    screen.type(PASSPHRASE);
    screen.press('Enter');
    await screen.shows('exit=0');
    expect(screen.everything.match(/passphrase of/g)).toHaveLength(1);
    expect(screen.everything).toContain('no verdicts');
    expect(readFileSync(approved, 'utf8')).toContain(readFileSync(`${bob}.pub`, 'utf8').trim());
  });
});

test.skipIf(!HAS_SSH_AGENT)(
  'a key of ssh is left to ssh: neither in the open nor locked is it put under a passphrase of ours',
  async () => {
    const folder = join(cluster.dir, '.ssh');
    await runProgram('mkdir', ['-m', '700', folder]);
    const file = join(folder, 'id_ed25519');
    copyFileSync(operatorKey, file);
    const refused = await detached(['operator', 'passphrase', file]);
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining(`ssh-keygen -p -f ${file}`) });
    expect((await runProgram('ssh-keygen', ['-q', '-p', '-N', PASSPHRASE, '-P', '', '-f', file])).code).toBe(
      0,
    );
    const locked = await detached(['operator', 'passphrase', file]);
    expect(locked).toMatchObject({ code: 2, stderr: expect.stringContaining(`ssh-keygen -p -f ${file}`) });
  },
);

describe('a change of the keys of the cluster', () => {
  const next = Buffer.alloc(32, 9).toString('base64');
  /** Somebody whose only keys are those that a test puts there. */
  const person = (name: string): { env: NodeJS.ProcessEnv; key: string } => {
    const home = join(cluster.dir, name);
    const config = join(home, '.config');
    mkdirSync(join(config, 'fanout'), { recursive: true, mode: 0o700 });
    const env = { HOME: home, XDG_CONFIG_HOME: config, SSH_AUTH_SOCK: '' };
    return { env, key: join(config, 'fanout', 'operator.key') };
  };
  const rings = async (): Promise<string> => (await detached(['keys', '--list'])).stdout;

  test('goes on unsigned where there is no key, says so, and a node with a policy refuses it', async () => {
    const run = await detached(['keys', '--install', next], person('nobody').env);
    expect(run.code).toBe(1);
    expect(run.stderr).toContain('the change was not signed: there is no operator key');
    expect(run.stdout).toContain('an operator has to sign it');
    expect(await rings()).not.toContain(next);
  });

  test('is not sent when there is a key that cannot be used, and the way out is told', async () => {
    const open = person('open');
    copyFileSync(operatorKey, open.key);
    chmodSync(open.key, 0o644);
    const broken = person('broken');
    writeFileSync(broken.key, 'no key\n', { mode: 0o600 });
    const folder = person('folder');
    mkdirSync(folder.key, { mode: 0o700 });
    const sealed = person('sealed');
    createOperatorKey(sealed.key, 'alice', PASSPHRASE);
    const named = { env: { ...person('named').env, FANOUT_IDENTITY: join(cluster.dir, 'gone.key') } };
    const settings = person('settings');
    writeFileSync(join(settings.key, '..', 'config.yaml'), 'identity: 7\n', { mode: 0o600 });
    const cases: [NodeJS.ProcessEnv, string, string][] = [
      [open.env, 'operator.key', 'chmod '],
      [broken.env, 'operator.key', 'fanout operator keygen'],
      [folder.env, 'operator.key', ''],
      [sealed.env, 'has a passphrase, and there is no terminal', '-i FILE.pub'],
      [named.env, 'there is no operator key', 'fanout operator keygen'],
      [settings.env, 'config.yaml', ''],
      [{ ...person('socket').env, SSH_AUTH_SOCK: join(cluster.dir, 'no.sock') }, 'SSH_AUTH_SOCK', ''],
    ];
    for (const [env, what, wayOut] of cases) {
      const run = await detached(['keys', '--install', next], env);
      expect([run.code, run.stdout], run.stderr).toEqual([2, '']);
      expect(run.stderr).toContain(what);
      expect(run.stderr).toContain(wayOut);
      expect(run.stderr).not.toContain('bug in fanout');
    }
    expect(await rings()).not.toContain(next);
  });

  test.skipIf(!HAS_TMUX)('is not sent after three wrong passphrases', { timeout: 180_000 }, async () => {
    const { env, key } = person('wrong');
    createOperatorKey(key, 'alice', PASSPHRASE);
    const line = `${process.execPath} ${FANOUT} keys --install ${next}; echo "exit=$?"`;
    const screen = new Tmux(line, { ...cluster.env, ...env, FANOUT_RPC_ADDR: web1.control }, 120);
    onTestFinished(() => screen.stop());
    for (const turn of [1, 2, 3]) {
      await screen.shows(new RegExp(`(passphrase of \\S+:[\\s\\S]*){${turn}}$`));
      screen.type('a wrong one');
      screen.press('Enter');
    }
    await screen.shows('three times a wrong passphrase');
    await screen.shows('exit=2');
    expect(await rings()).not.toContain(next);
  });
});

describe('known nodes', () => {
  const lastLine = (text: string): string => text.trimEnd().split('\n').at(-1) ?? '';

  test('are listed with the fingerprint that the agent prints, and when they were first seen', async () => {
    expect((await detached(['echo met'])).code).toBe(0);
    const { stdout } = await detached(['known-nodes']);
    const nodeKey = /node key:\s+(\S+)/.exec(web1.log())?.[1];
    expect(stdout).toMatch(/^NAME +ENV +FINGERPRINT +FIRST SEEN\n/);
    const row = stdout.split('\n').find((line) => line.startsWith('web1 '));
    expect(row?.split(/ +/)).toEqual(['web1', 'test', nodeKey, expect.stringMatching(/^\d{4}-.*Z$/)]);
    const listed = JSON.parse((await detached(['known-nodes', '--format', 'json'])).stdout) as unknown[];
    expect(listed).toContainEqual(
      expect.objectContaining({ node: 'web1', environment: 'test', fingerprint: nodeKey }),
    );
  });

  test('that nobody knows are not forgotten: exit status 3', async () => {
    const before = readFileSync(join(cluster.dir, 'config/fanout/known_nodes'), 'utf8');
    const none = await detached(['known-nodes', 'forget', 'web', '*', '', '\u001b[2J']);
    expect(none).toMatchObject({ code: 3, stdout: '' });
    expect(none.stderr).toContain('fanout known-nodes');
    expect(none.stderr).not.toContain('\u001b');
    expect((await detached(['known-nodes', 'forget', 'web1', '--env', 'production'])).code).toBe(3);
    expect((await detached(['known-nodes', 'forget'])).code).toBe(2);
    expect(readFileSync(join(cluster.dir, 'config/fanout/known_nodes'), 'utf8')).toBe(before);
  });

  test('a name that would drive the terminal is shown as the file has it, and can be forgotten so', async () => {
    const config = join(cluster.dir, 'odd');
    const env = { XDG_CONFIG_HOME: config };
    await detached(['select', 'list'], env);
    const name = 'web%1B%5B2J'.replace('%5B', '[');
    const folder = join(config, 'fanout');
    await runProgram('mkdir', ['-p', '-m', '700', folder]);
    writeFileSync(join(folder, 'known_nodes'), `${name} test ${Buffer.alloc(64, 7).toString('base64')}\n`, {
      mode: 0o600,
    });
    const { stdout } = await detached(['known-nodes'], env);
    expect(stdout).not.toContain('\u001b');
    expect(lastLine(stdout).split(/ +/)).toEqual([name, 'test', expect.stringMatching(/^SHA256:/), '-']);
    expect((await detached(['known-nodes', '--format', 'json'], env)).stdout).not.toContain('\u001b');
    const gone = await detached(['known-nodes', 'forget', name], env);
    expect(gone).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(`forgotten: ${name} test SHA256:`),
    });
    expect((await detached(['known-nodes'], env)).stdout).toBe('');
  });

  test('a changed key says file, line, both fingerprints and the command that takes the new one, here and in the session', async () => {
    const pinned = /node key:\s+(\S+)/.exec(web2.log())?.[1];
    await stopProcess(web2.child, 'SIGKILL');
    rmSync(join(web2.dataDir, 'node.key'));
    const back = await cluster.start({
      name: 'web2',
      tags: { role: 'web' },
      policy,
      join: web1.gossip,
      args: ['--bind', web2.gossip],
    });
    await cluster.complete(2, back);
    await cluster.complete(2);
    const shown = /node key:\s+(\S+)/.exec(back.log())?.[1] ?? '';
    expect(shown).not.toBe(pinned);
    const run = await eventually('web2 to answer with its new key', async () => {
      const result = await detached(['echo changed', '--node', 'web2']);
      return result.code === 7 ? result : undefined;
    });
    const file = join(cluster.dir, 'config/fanout/known_nodes');
    const line =
      readFileSync(file, 'utf8')
        .split('\n')
        .findIndex((text) => text.startsWith('web2 ')) + 1;
    expect(line).toBeGreaterThan(0);
    const wanted = [`${file}:${line} pins ${pinned}`, shown, 'run: fanout known-nodes forget web2'];
    for (const text of wanted) expect(run.stderr).toContain(text);
    if (HAS_TMUX) {
      const env = {
        ...cluster.env,
        FANOUT_RPC_ADDR: web1.control,
        XDG_STATE_HOME: join(cluster.dir, 'state'),
      };
      const screen = new Tmux(`${process.execPath} ${FANOUT} ui -s node=web2`, env, 100, 30);
      onTestFinished(() => screen.stop());
      await screen.shows('2 alive');
      screen.press('Enter');
      await screen.shows(' Run ');
      screen.type('echo changed');
      await screen.shows('NOT TRUSTED');
      screen.press('Enter');
      await screen.shows('untrusted 1');
      await screen.shows('forget web2');
      const all = screen.screen.replace(/\n +/g, ' ').replace(/\s+/g, '');
      for (const text of wanted) expect(all).toContain(text.replace(/\s+/g, ''));
    }
    const forgotten = await detached(['known-nodes', 'forget', 'web2']);
    expect(forgotten).toMatchObject({ code: 0, stdout: `forgotten: web2 test ${pinned}\n` });
    expect(await detached(['echo anew', '--node', 'web2'])).toMatchObject({
      code: 0,
      stdout: 'web2: anew\n',
    });
    expect(starts(back, 'echo', 'changed')).toBe(0);
  });
});
