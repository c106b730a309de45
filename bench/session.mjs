// The session over a real pseudo-terminal, with the production bundle: from key to screen while a thousand nodes answer
// within a second and one of them sends 200 MiB; the first frame; and memory.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { FANOUT, hasProgram, median, mib, ms, sleep } from './support.mjs';

const KEYS = 120;
const LARGE_BYTES = 200 * 2 ** 20;
const ROUNDS = 9;
/** Ends each frame that the painter writes. */
const FRAME_END = '\u001b[?2026l';

export async function session() {
  if (!hasProgram('script')) return console.log('skipped: needs script(1), apt-get install bsdutils');
  const dir = mkdtempSync(join(tmpdir(), 'fanout-bench-'));
  const agentFile = join(dir, 'agent.mjs');
  await build({
    entryPoints: [fileURLToPath(new URL('fake-agent.ts', import.meta.url))],
    outfile: agentFile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    banner: { js: "import { createRequire as r_ } from 'node:module'; const require = r_(import.meta.url);" },
    logLevel: 'error',
  });
  const env = {
    ...process.env,
    XDG_CONFIG_HOME: join(dir, 'config'),
    XDG_STATE_HOME: join(dir, 'state'),
    TERM: 'xterm-256color',
  };
  for (const name of ['CI', 'NO_COLOR', 'FANOUT_IDENTITY']) delete env[name];
  spawnSync(process.execPath, [FANOUT, 'operator', 'keygen', '--name', 'alice'], { env });
  console.table([await firstFrame(dir, agentFile, env)]);
  const rows = [];
  for (const nodes of [1000, 10_000]) rows.push(await keysDuringBurst(dir, agentFile, env, nodes));
  console.table(rows);
  rmSync(dir, { recursive: true, force: true });
}

async function fakeAgent(dir, file, nodes) {
  const socket = join(dir, `${nodes}-${Math.random().toString(36).slice(2)}.sock`);
  const child = spawn(process.execPath, [file, socket, String(nodes), '1000', String(LARGE_BYTES)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  return { child, socket };
}

/** The session in a pseudo-terminal of script(1): keys in, what it paints out. */
function open(env, socket) {
  const line = `stty rows 24 cols 80; exec ${process.execPath} ${FANOUT}`;
  const started = performance.now();
  const child = spawn('script', ['-qfec', line, '/dev/null'], { env: { ...env, FANOUT_RPC_ADDR: socket } });
  const screen = { text: '', frames: 0, firstAt: undefined, hasEnded: false, child, started };
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    screen.text = (screen.text + chunk).slice(-400_000);
    screen.frames += chunk.split(FRAME_END).length - 1;
    screen.hasEnded ||= screen.text.includes('ended after');
    if (screen.frames > 0) screen.firstAt ??= performance.now();
  });
  return screen;
}

async function until(what, probe, timeoutMs = 60_000) {
  for (const end = performance.now() + timeoutMs; performance.now() < end; await sleep(1))
    if (probe()) return;
  throw new Error(`waited in vain for ${what}`);
}

async function firstFrame(dir, file, env) {
  const agent = await fakeAgent(dir, file, 100);
  const bare = [];
  const first = [];
  for (let round = 0; round < ROUNDS; round++) {
    const started = performance.now();
    spawnSync('script', ['-qfec', `stty rows 24 cols 80; exec ${process.execPath} -e 0`, '/dev/null'], {
      env,
    });
    bare.push(performance.now() - started);
    const screen = open(env, agent.socket);
    await until('the first frame', () => screen.firstAt !== undefined);
    first.push(screen.firstAt - screen.started);
    await quit(screen);
  }
  agent.child.kill();
  const beyond = median(first) - median(bare);
  return { 'first frame': ms(median(first)), 'node -e 0': ms(median(bare)), beyond: ms(beyond) };
}

async function quit(screen) {
  const gone = new Promise((resolve) => screen.child.once('exit', resolve));
  screen.child.stdin.write('\u0003');
  await sleep(100);
  screen.child.stdin.write('\u0003');
  await Promise.race([gone, sleep(8000).then(() => screen.child.kill('SIGKILL'))]);
}

async function keysDuringBurst(dir, file, env, nodes) {
  const agent = await fakeAgent(dir, file, nodes);
  const screen = open(env, agent.socket);
  await until('the members', () => screen.text.includes(`matched ${nodes} of ${nodes}`));
  screen.child.stdin.write('\r');
  await until('the command line', () => screen.text.includes('Run'));
  screen.child.stdin.write('ps ax');
  await sleep(200);
  screen.text = '';
  screen.child.stdin.write('\r');
  await until('the run', () => screen.text.includes('answered'));
  const times = [];
  // Down the list, a key at a time; each is on the screen when the row that it chose carries the mark.
  for (let i = 0; i < KEYS; i++) {
    screen.text = '';
    const sent = performance.now();
    screen.child.stdin.write(i % 10 < 9 ? 'j' : 'k');
    await until(
      'the key on the screen',
      () => />[^\n]{0,20}n\d{5}/.test(screen.text) && screen.text.includes(FRAME_END),
    );
    times.push(performance.now() - sent);
    await sleep(10);
  }
  const pid = Number(
    String(spawnSync('pgrep', ['-f', '-n', `^${process.execPath} ${FANOUT}$`]).stdout).trim(),
  );
  await until('the end of the run', () => screen.hasEnded, 180_000);
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const peak = Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
  await quit(screen);
  agent.child.kill();
  times.sort((a, b) => a - b);
  return {
    nodes,
    'key to screen, median': ms(median(times)),
    '95 %': ms(times[Math.floor(times.length * 0.95)]),
    worst: ms(times.at(-1)),
    'within 100 ms': `${times.filter((time) => time <= 100).length} of ${times.length}`,
    'peak memory': mib(peak),
  };
}
