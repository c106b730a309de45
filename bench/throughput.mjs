// One gigabyte of output from one node, against a bare TCP pipe on the same machine; and the memory of everybody.
import { spawn } from 'node:child_process';
import { fanoutCluster, hasProgram, mib, peakBytes, sleep } from './support.mjs';

const BYTES = 1_000_000_000;
const ROUNDS = 3;

/** Reads a stream to its end and counts. */
function count(stream) {
  let bytes = 0;
  stream.on('data', (chunk) => {
    bytes += chunk.length;
  });
  return new Promise((resolve) => stream.once('end', () => resolve(bytes)));
}

async function viaNetcat(port) {
  const server = spawn('nc', ['-l', '-N', '127.0.0.1', String(port)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await sleep(300);
  const started = performance.now();
  const client = spawn('sh', ['-c', `head -c ${BYTES} /dev/zero | nc -N 127.0.0.1 ${port}`], {
    stdio: 'ignore',
  });
  const bytes = await count(server.stdout);
  const seconds = (performance.now() - started) / 1000;
  client.kill();
  server.kill();
  return { bytes, seconds };
}

async function viaFanout(cluster) {
  const started = performance.now();
  const child = cluster.run(
    ['--node', 'n2', '--timeout', '120s', '--', 'head', '-c', String(BYTES), '/dev/zero'],
    {
      stdio: ['ignore', 'pipe', 'ignore'],
    },
  );
  let peak = 0;
  const watch = setInterval(() => {
    try {
      peak = Math.max(peak, peakBytes(child.pid));
    } catch {}
  }, 100);
  const bytes = await count(child.stdout);
  clearInterval(watch);
  return { bytes, seconds: (performance.now() - started) / 1000, peak };
}

const rate = ({ bytes, seconds }) => bytes / seconds / 1e6;
const best = (runs) => runs.reduce((a, b) => (rate(a) > rate(b) ? a : b));

export async function throughput() {
  const cluster = await fanoutCluster(2);
  const ours = [];
  for (let round = 0; round < ROUNDS; round++) ours.push(await viaFanout(cluster));
  const agents = cluster.children.map(({ pid }) => peakBytes(pid));
  await cluster.stop();
  const fanout = best(ours);
  const row = { 'fanout MB/s': Math.round(rate(fanout)), 'command line, peak': mib(fanout.peak) };
  row['node agent, peak'] = mib(agents[1]);
  row["asker's agent, peak"] = mib(agents[0]);
  if (hasProgram('nc')) {
    const pipes = [];
    for (let round = 0; round < ROUNDS; round++) pipes.push(await viaNetcat(22_222 + round));
    row['nc MB/s'] = Math.round(rate(best(pipes)));
    row.ratio = (rate(fanout) / rate(best(pipes))).toFixed(2);
  }
  console.table([row]);
}
