// How long the command line takes to start, against bare Node.
import { spawnSync } from 'node:child_process';
import { FANOUT, fanoutCluster, median, ms } from './support.mjs';

const ROUNDS = 25;

function time(args, env) {
  const started = performance.now();
  spawnSync(process.execPath, args, { stdio: 'ignore', env });
  return performance.now() - started;
}

export async function startup() {
  const cluster = await fanoutCluster(1);
  const commands = [
    ['node -e 0', ['-e', '0']],
    ['fanout --help', [FANOUT, '--help']],
    ['fanout members', [FANOUT, 'members']],
  ];
  const times = commands.map(() => []);
  // Interleaved, so that whatever else the machine does hits all of them alike.
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, [, args]] of commands.entries()) times[i].push(time(args, cluster.env));
  }
  await cluster.stop();
  const base = median(times[0]);
  console.table(
    commands.map(([what], i) => ({
      what,
      time: ms(median(times[i])),
      'against node -e 0': (median(times[i]) / base).toFixed(2),
    })),
  );
}
