// What a sandbox costs: a command that does nothing, from its start to its end, against a bare spawn of the same program.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { median, ms } from './support.mjs';

const ROUNDS = 60;
const PROGRAM = '/usr/bin/true';

/** The runtime's own start of a command, as the agent bundles it. */
async function runtime(folder) {
  const outfile = join(folder, 'runtime.mjs');
  await build({
    stdin: {
      contents: `
        export { startCommand } from './process.ts';
        export { probeAbilities } from './abilities-probe.ts';
        export { resolveUser } from './run-as.ts';`,
      resolveDir: fileURLToPath(new URL('../src/runtime', import.meta.url)),
      loader: 'ts',
    },
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile,
    logLevel: 'silent',
  });
  return import(outfile);
}

function bare() {
  return new Promise((resolve) =>
    spawn(PROGRAM, { stdio: ['ignore', 'pipe', 'pipe'] }).once('close', resolve),
  );
}

async function timed(action) {
  const started = performance.now();
  await action();
  return performance.now() - started;
}

export async function sandbox() {
  const folder = mkdtempSync(join(tmpdir(), 'fanout-bench-'));
  const { startCommand, probeAbilities, resolveUser } = await runtime(folder);
  const { sandboxes, groupHome } = await probeAbilities([]);
  const common = { path: PROGRAM, argv: ['true'], network: 'none', user: resolveUser(undefined) };
  const spec = { ...common, timeoutMs: 10_000, outputBytesMax: 4096 };
  const start = (how) => async () => {
    const end = await startCommand({ ...spec, ...how }, () => {}).ended;
    if (end.code !== 0) throw new Error(JSON.stringify(end));
  };
  const ways = [['bare spawn', bare]];
  for (const { profile, available } of sandboxes) {
    if (!available) continue;
    ways.push([profile, start({ sandbox: profile })]);
    const budget = { cpuMs: 10_000, tasks: 64, memoryBytes: groupHome.memory && 2 ** 28 };
    if (Object.keys(groupHome).length === 0) continue;
    ways.push([`${profile}, in a control group`, start({ sandbox: profile, budget, groupHome })]);
  }
  const times = ways.map(() => []);
  // Interleaved, so that whatever else the machine does hits all of them alike.
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, [, action]] of ways.entries()) times[i].push(await timed(action));
  }
  rmSync(folder, { recursive: true });
  const base = median(times[0]);
  console.table(
    ways.map(([what], i) => ({
      what,
      time: ms(median(times[i])),
      'against a bare spawn': (median(times[i]) / base).toFixed(1),
    })),
  );
}
