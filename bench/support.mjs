// What the benchmarks share: temporary clusters of both kinds, and plain statistics.
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const FANOUT = fileURLToPath(new URL('../dist/fanout.js', import.meta.url));

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

export function hasProgram(name) {
  return spawnSync('sh', ['-c', `command -v ${name}`]).status === 0;
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export async function eventually(what, probe, timeoutMs = 180_000) {
  for (const end = Date.now() + timeoutMs; Date.now() < end; await sleep(200)) {
    const found = await probe();
    if (found) return found;
  }
  throw new Error(`waited in vain for ${what}`);
}

/** Resident memory of a process in bytes. */
export function residentBytes(pid) {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
}

/** Highest resident memory of a process so far, in bytes. */
export function peakBytes(pid) {
  return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
}

/** Processor time of a process so far, in milliseconds. */
export function cpuMs(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

async function stopAll(children, dir) {
  const gone = children.map((child) =>
    child.exitCode === null && child.signalCode === null
      ? new Promise((resolve) => child.once('exit', resolve))
      : undefined,
  );
  for (const child of children) child.kill('SIGKILL');
  await Promise.all(gone);
  rmSync(dir, { recursive: true, force: true });
}

/** A cluster of fanout agents on loopback, all with role=web, and one operator. */
export async function fanoutCluster(count) {
  const dir = mkdtempSync(join(tmpdir(), 'fanout-bench-'));
  const env = { ...process.env, XDG_CONFIG_HOME: join(dir, 'config'), NO_COLOR: '1' };
  writeFileSync(join(dir, 'key'), randomBytes(32).toString('base64'), { mode: 0o600 });
  const line = String(
    spawnSync(process.execPath, [FANOUT, 'operator', 'keygen', '--name', 'alice'], { env }).stdout,
  ).trim();
  writeFileSync(
    join(dir, 'policy.yaml'),
    `version: 1
environment: bench
operators: { alice: { key: "${line}" } }
defaults: { sandbox: [standard, none], dangerous: bench, limits: { timeout: 120s, output: 2GiB, concurrency: 50 } }
rules:
  - { id: all, effect: allow, operators: [alice], commands: [{ program: uptime, argv: [] }, { program: head, argv: ["-c", "int:1..4000000000", /dev/zero] }, { program: "true", argv: [] }] }
`,
  );
  const children = [];
  const start = (i, via) => {
    const args = [
      'agent',
      '--node',
      `n${i}`,
      '--bind',
      '127.0.0.1:0',
      '--rpc-addr',
      join(dir, `${i}.sock`),
      '--tag',
      'role=web',
    ];
    args.push(
      '--encrypt-file',
      join(dir, 'key'),
      '--policy',
      join(dir, 'policy.yaml'),
      '--data-dir',
      join(dir, `d${i}`),
      '--log-level',
      'warn',
    );
    if (via !== undefined) args.push('--join', via);
    const child = spawn(process.execPath, [FANOUT, ...args], { env, stdio: ['ignore', 'pipe', 'inherit'] });
    children.push(child);
    return new Promise((resolve, reject) => {
      let said = '';
      child.stdout.on('data', (chunk) => {
        said += chunk;
        const gossip = /gossip:\s+(\S+:\d+)/.exec(said);
        if (gossip !== null) resolve(gossip[1]);
      });
      child.once('exit', () => reject(new Error(`agent ${i} stopped: ${said}`)));
    });
  };
  const via = await start(1);
  for (let i = 2; i <= count; i += 4) {
    await Promise.all([0, 1, 2, 3].filter((k) => i + k <= count).map((k) => start(i + k, via)));
  }
  const run = (args, options = {}) =>
    spawn(process.execPath, [FANOUT, ...args], {
      env: { ...env, FANOUT_RPC_ADDR: join(dir, '1.sock') },
      ...options,
    });
  await eventually(`${count} fanout members`, () => {
    const { stdout } = spawnSync(
      process.execPath,
      [FANOUT, 'members', '--status', 'alive', '--format', 'json'],
      {
        env: { ...env, FANOUT_RPC_ADDR: join(dir, '1.sock') },
      },
    );
    return JSON.parse(String(stdout) || '{"members":[]}').members.length === count;
  });
  return {
    children,
    run,
    env: { ...env, FANOUT_RPC_ADDR: join(dir, '1.sock') },
    stop: () => stopAll(children, dir),
  };
}

/** A cluster of real Serf agents on loopback that answer the query ssh with a shell, as people set it up. */
export async function serfCluster(count) {
  const dir = mkdtempSync(join(tmpdir(), 'serf-bench-'));
  const key = randomBytes(32).toString('base64');
  const rpc = (i) => `127.0.0.1:${21000 + i}`;
  const children = [];
  for (let i = 1; i <= count; i++) {
    const args = [
      'agent',
      '-node',
      `n${i}`,
      '-bind',
      `127.0.0.1:${20000 + i}`,
      '-rpc-addr',
      rpc(i),
      '-encrypt',
      key,
    ];
    args.push('-tag', 'role=web', '-event-handler', 'query:ssh=/bin/sh', '-log-level', 'err');
    if (i > 1) args.push('-join', '127.0.0.1:20001');
    children.push(spawn('serf', args, { stdio: 'ignore' }));
    if (i === 1) await sleep(1000);
  }
  await eventually(`${count} serf members`, () => {
    const { stdout } = spawnSync('serf', ['members', '-rpc-addr', rpc(1), '-status', 'alive']);
    return String(stdout).trim().split('\n').length === count;
  });
  const run = (args, options = {}) =>
    spawn('serf', [args[0], '-rpc-addr', rpc(1), ...args.slice(1)], options);
  return { children, run, stop: () => stopAll(children, dir) };
}

/** Runs a command and tells when each line came and when it ended, in ms after the start. */
export function timeLines(child) {
  const started = performance.now();
  const lines = [];
  let buffer = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    buffer += text;
    for (let at = buffer.indexOf('\n'); at >= 0; at = buffer.indexOf('\n')) {
      lines.push({ text: buffer.slice(0, at), at: performance.now() - started });
      buffer = buffer.slice(at + 1);
    }
  });
  return new Promise((resolve) =>
    child.once('close', (code) => resolve({ code, lines, total: performance.now() - started })),
  );
}

export const ms = (value) => `${value < 100 ? value.toFixed(1) : Math.round(value)} ms`;
export const mib = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
