import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parsePrivateKey } from '../../src/identity/ssh-key.ts';
import { type AgentProcess, TestCluster } from '../support/cluster.ts';
import { eventually, FANOUT, stopProcess } from '../support/processes.ts';
import { isAlive } from './rogue.ts';

const RULES = `
  - id: basics
    effect: allow
    operators: ["group:sre"]
    commands:
      - { program: echo, positionals: { max: 60, match: ["any:4096"] } }
      - { program: sleep, argv: ["int:1..10000"] }
`;
const NOBODY = 65_534;
const IS_ROOT = process.getuid?.() === 0;

/** Tries on each path everything that could be useful to somebody else, and prints what worked. */
const INTRUDER = `
const fs = require('node:fs'), net = require('node:net'), path = require('node:path');
const found = [];
const attempt = (what, where, action) => { try { action(); found.push(what + ' ' + where); } catch {} };
const dial = (where) => new Promise((resolve) => {
  const socket = net.connect(where);
  socket.once('connect', () => { found.push('connect ' + where); socket.destroy(); resolve(); });
  socket.once('error', resolve);
});
(async () => {
  for (const [kind, where] of JSON.parse(fs.readFileSync(0, 'utf8'))) {
    if (kind === 'socket') await dial(where);
    else if (kind === 'folder') {
      attempt('list', where, () => fs.readdirSync(where));
      attempt('make', where, () => { const file = path.join(where, 'planted'); fs.writeFileSync(file, ''); fs.unlinkSync(file); });
    } else {
      attempt('read', where, () => fs.closeSync(fs.openSync(where, 'r')));
      if (kind === 'file') attempt('write', where, () => fs.closeSync(fs.openSync(where, 'r+')));
      if (kind === 'file') attempt('link', where, () => { fs.linkSync(where, where + '.link'); fs.unlinkSync(where + '.link'); });
    }
  }
  console.log(JSON.stringify(found));
})();
`;

type Target = readonly [kind: 'file' | 'folder' | 'socket' | 'proc', path: string];

/** What somebody with this user id gets done. */
function intrude(uid: number, targets: readonly Target[]): Promise<string[]> {
  const child = spawn(process.execPath, ['-e', INTRUDER], {
    uid,
    gid: uid,
    cwd: '/',
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.on('data', (chunk) => {
    said += String(chunk);
  });
  child.stdin.end(JSON.stringify(targets));
  return new Promise((resolve) => child.once('close', () => resolve(JSON.parse(said) as string[])));
}

function below(folder: string): Target[] {
  const inside = readdirSync(folder).flatMap((name): Target[] => {
    const path = join(folder, name);
    const stats = statSync(path);
    if (stats.isDirectory()) return below(path);
    return [[stats.isSocket() ? 'socket' : 'file', path]];
  });
  return [['folder', folder], ...inside];
}

describe.skipIf(!IS_ROOT)('another user of the same machine', () => {
  const cluster = new TestCluster();
  const state = join(cluster.dir, 'state');
  const control = join(cluster.dir, 'run', 'agent.sock');
  let web1: AgentProcess;

  beforeAll(async () => {
    cluster.env.XDG_STATE_HOME = state;
    // The careless umask that somebody has set must not matter, and the way to the files is open.
    const umask = process.umask(0);
    await cluster.operator();
    const policy = cluster.addPolicy('open', RULES);
    const started = await cluster.start({ name: 'web1', policy, args: ['--rpc-addr', control] });
    web1 = Object.assign(started, { control });
    expect((await cluster.fanout(['echo kept', '--node', 'web1'])).code).toBe(0);
    expect((await cluster.fanout(['select', 'save', 'mine', 'role=web'])).code).toBe(0);
    process.umask(umask);
    chmodSync(cluster.dir, 0o755);
  });

  afterAll(() => cluster.stop());

  test('gets at no socket, key, pin, audit log, record or process of either side; root would get at all of them', async () => {
    const pid = web1.child.pid;
    const targets: Target[] = [
      ...[web1.dataDir, join(cluster.dir, 'run'), join(cluster.dir, 'config'), state].flatMap(below),
      ['file', join(cluster.dir, 'cluster.key')],
      ['proc', `/proc/${pid}/environ`],
      ['proc', `/proc/${pid}/mem`],
      ['proc', `/proc/${pid}/fd/0`],
    ];
    const names = targets.map(([, path]) => path);
    for (const wanted of [
      'node.key',
      'audit.jsonl',
      'agent.sock',
      'operator.key',
      'known_nodes',
      'history',
    ]) {
      expect(
        names.filter((name) => name.includes(wanted)),
        wanted,
      ).not.toEqual([]);
    }
    const byRoot = await intrude(0, targets);
    for (const [, path] of targets)
      expect(
        byRoot.some((what) => what.endsWith(path)),
        path,
      ).toBe(true);
    expect(await intrude(NOBODY, targets)).toEqual([]);
    expect(isAlive(web1)).toBe(true);
  });

  test('is told so when it starts the command line on the socket of somebody else', async () => {
    const child = spawn(process.execPath, [FANOUT, 'members', '--rpc-addr', control], {
      uid: NOBODY,
      gid: NOBODY,
      cwd: '/',
      env: { PATH: process.env.PATH, HOME: '/nonexistent' },
    });
    let said = '';
    child.stderr.on('data', (chunk) => {
      said += String(chunk);
    });
    expect(await new Promise((resolve) => child.once('close', resolve))).toBe(69);
    expect(said).toContain(control);
    expect(said).not.toContain('bug in fanout');
  });

  /** A secret in every spelling in which it could stand somewhere. */
  function spellings(secret: Buffer): string[] {
    const forms = (['base64', 'base64url', 'hex', 'latin1'] as const).map((form) => secret.toString(form));
    return [...forms, forms[2]!.toUpperCase()];
  }

  function secrets(): string[] {
    const operator = parsePrivateKey(readFileSync(join(cluster.dir, 'config/fanout/operator.key'), 'utf8'));
    const node = readFileSync(join(web1.dataDir, 'node.key'), 'utf8').match(/[A-Za-z0-9+/]{40,}=*/g) ?? [];
    const raw = [
      Buffer.from(cluster.key, 'base64'),
      Buffer.from(operator.seed),
      ...node.map((text) => Buffer.from(text, 'base64')),
    ];
    expect(raw.length).toBeGreaterThan(2);
    return raw.flatMap(spellings);
  }

  /** All there is to read of all processes in /proc: what they are called with, and their environments. */
  function exposed(): Map<string, string> {
    const texts = new Map<string, string>();
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      for (const name of ['cmdline', 'environ']) {
        try {
          texts.set(`${pid}/${name}`, readFileSync(`/proc/${pid}/${name}`, 'latin1'));
        } catch {
          // It has ended meanwhile.
        }
      }
    }
    return texts;
  }

  test('finds no secret in the arguments or the environment of any process, at any moment of a run', async () => {
    const all = secrets();
    const seen = new Set<string>();
    const leaks: string[] = [];
    const look = (): void => {
      for (const [where, text] of exposed()) {
        if (/sleep\x004714\0$/.test(text)) seen.add(/^[^\0]*sleep\0/.test(text) ? 'command' : 'around it');
        if (all.some((secret) => text.includes(secret))) leaks.push(`${where}: ${text}`);
      }
      if (exposed().get(`${web1.child.pid}/cmdline`)?.includes('agent') === true) seen.add('agent');
    };
    const children: Promise<unknown>[] = [
      cluster.fanout(['sleep 4714', '--timeout', '4s']),
      cluster.fanout(['keygen']),
      cluster.fanout(['members']),
      cluster.fanout(['operator', 'keygen', '--name', 'bob', '--output', join(cluster.dir, 'bob.key')]),
    ];
    let isOver = false;
    void Promise.all(children).then(() => {
      isOver = true;
    });
    await eventually('all of them to end', () => {
      look();
      return isOver;
    });
    expect(leaks).toEqual([]);
    expect([...seen]).toEqual(expect.arrayContaining(['agent', 'command', 'around it']));
  });

  test('does not find a cluster key that was given on the command line, as Serf takes it, and the log advises against it', async () => {
    const folder = join(cluster.dir, 'careless');
    mkdirSync(folder);
    const args = ['agent', '--node', 'careless', '--bind', '127.0.0.1:0', '--encrypt', cluster.key];
    args.push('--rpc-addr', join(folder, 'a.sock'), '--data-dir', join(folder, 'data'));
    const child: ChildProcess = spawn(process.execPath, [FANOUT, ...args], { env: cluster.env });
    let log = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk) => {
        log += String(chunk);
      });
    }
    try {
      await eventually('it to run', () => log.includes('gossip:'));
      expect(readFileSync(`/proc/${child.pid}/cmdline`, 'utf8')).not.toContain(cluster.key.slice(0, 20));
      expect(log).toContain('use --encrypt-file');
      expect(log).not.toContain(cluster.key);
      // The tools that list processes are not told either.
      writeFileSync(join(folder, 'seen'), [...exposed().values()].join('\n'));
      expect(readFileSync(join(folder, 'seen'), 'latin1').includes(cluster.key)).toBe(false);
    } finally {
      await stopProcess(child);
    }
  });
});
