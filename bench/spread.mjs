// From enter to the last answer to `uptime`, and to the prompt: fanout against Serf's query with query:ssh=/bin/sh.
import { fanoutCluster, hasProgram, median, ms, serfCluster, timeLines } from './support.mjs';

const ROUNDS = 7;

async function measure(cluster, args, isAnswer) {
  const last = [];
  const total = [];
  let answers = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const run = await timeLines(cluster.run(args, { stdio: ['ignore', 'pipe', 'ignore'] }));
    const times = run.lines.filter(({ text }) => isAnswer(text)).map(({ at }) => at);
    answers = times.length;
    last.push(Math.max(...times));
    total.push(run.total);
  }
  return { answers, last: median(last), total: median(total) };
}

export async function spread() {
  const rows = [];
  for (const count of [20, 60]) {
    const ours = await fanoutCluster(count);
    const fanout = await measure(ours, ['uptime', '--tag', 'role=web', '--format', 'ndjson'], (text) =>
      text.includes('"event":"exit"'),
    );
    await ours.stop();
    if (fanout.answers !== count) throw new Error(`${fanout.answers} of ${count} answers`);
    const row = {
      nodes: count,
      'fanout last answer': ms(fanout.last),
      'fanout whole command': ms(fanout.total),
    };
    if (hasProgram('serf')) {
      const theirs = await serfCluster(count);
      const serf = await measure(theirs, ['query', 'ssh', 'uptime'], (text) =>
        text.startsWith('Response from'),
      );
      await theirs.stop();
      row['Serf last answer'] = `${ms(serf.last)} (${serf.answers} answers)`;
      row['Serf whole command'] = ms(serf.total);
      row['last answer, ratio'] = (fanout.last / serf.last).toFixed(2);
      row['whole command, ratio'] = (fanout.total / serf.total).toFixed(3);
    }
    rows.push(row);
  }
  console.table(rows);
}
