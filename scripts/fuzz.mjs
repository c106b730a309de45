// npm run fuzz -- [--cases N] [--seed N] [--workers N]: holds the policy engine against a second reading of its rules on
// random cases. The same seed and number of cases give the same cases, whatever the number of workers.
import { randomInt } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { build } from 'esbuild';

const ROUND = 100_000;
/** Apart by more than the number of rounds, so that runs of neighbouring seeds share none. */
const SEED_STEP = 0x9e3779b1;

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: String(randomInt(2 ** 31)) },
    workers: { type: 'string', default: String(availableParallelism()) },
  },
});
const [cases, seed, workers] = [values.cases, values.seed, values.workers].map(Number);
if (![cases, seed, workers].every((number) => Number.isSafeInteger(number) && number >= 0) || workers < 1) {
  console.error('fuzz: --cases, --seed and --workers take whole numbers');
  process.exit(2);
}

const rounds = Array.from({ length: Math.ceil(cases / ROUND) }, (_, i) => ({
  seed: (seed + i * SEED_STEP) >>> 0,
  cases: Math.min(ROUND, cases - i * ROUND),
}));

const folder = mkdtempSync(join(tmpdir(), 'fanout-fuzz-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
const file = join(folder, 'worker.mjs');
await build({
  entryPoints: [fileURLToPath(new URL('../test/policy/fuzz-worker.ts', import.meta.url))],
  outfile: file,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  logLevel: 'warning',
  banner: {
    js: "import { createRequire as createRequire_ } from 'node:module'; const require = createRequire_(import.meta.url);",
  },
});

console.log(`seed ${seed}, ${cases} cases, ${workers} workers`);
const started = performance.now();
const total = { cases: 0, policies: 0, paths: 0, disagreements: 0 };
const mix = {};
function add(result) {
  for (const key of Object.keys(total)) total[key] += result[key];
  for (const [kind, count] of Object.entries(result.mix)) mix[kind] = (mix[kind] ?? 0) + count;
  if (result.first !== undefined && total.disagreements === result.disagreements) console.log(result.first);
  if (total.cases % 1_000_000 < ROUND) {
    const seconds = (performance.now() - started) / 1000;
    console.error(`${total.cases} cases, ${total.disagreements} disagreements, ${seconds.toFixed(0)} s`);
  }
}
await Promise.all(
  Array.from({ length: workers }, (_, share) => {
    const worker = new Worker(file, {
      workerData: { rounds: rounds.filter((_round, i) => i % workers === share) },
      resourceLimits: { maxYoungGenerationSizeMb: 64 },
    });
    worker.on('message', add);
    return new Promise((resolve, reject) => worker.once('exit', resolve).once('error', reject));
  }),
);
const share = (count) => `${((100 * count) / total.cases).toFixed(1)} %`;
const verdicts = Object.entries(mix).sort(([, a], [, b]) => b - a);
console.log(`${total.cases} cases of ${total.policies} policies, ${total.paths} real paths`);
console.log(verdicts.map(([kind, count]) => `${kind} ${count} (${share(count)})`).join(', '));
console.log(
  `disagreements ${total.disagreements}, seconds ${((performance.now() - started) / 1000).toFixed(0)}`,
);
process.exitCode = total.disagreements === 0 && total.cases === cases ? 0 : 1;
