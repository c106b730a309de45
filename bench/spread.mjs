// From enter to the last answer to `uptime`, and to the prompt: fanout against Serf's query with query:ssh=/bin/sh.
import { fanoutCluster, hasProgram, median, ms, serfCluster, timeLines } from './support.mjs';

const ROUNDS = 7;

async function measure(cluster, args, isAck, isAnswer) {
  const times = { ack: [], answer: [], total: [] };
  let answers = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const run = await timeLines(cluster.run(args, { stdio: ['ignore', 'pipe', 'ignore'] }));
    const last = (wanted) => Math.max(...run.lines.filter(({ text }) => wanted(text)).map(({ at }) => at));
    answers = run.lines.filter(({ text }) => isAnswer(text)).length;
    times.ack.push(last(isAck));
    times.answer.push(last(isAnswer));
    times.total.push(run.total);
  }
  return { answers, ack: median(times.ack), answer: median(times.answer), total: median(times.total) };
}

async function fanoutTimes(count) {
  const cluster = await fanoutCluster(count);
  const args = ['uptime', '--tag', 'role=web', '--format', 'ndjson'];
  const is = (event) => (text) => text.includes(`"event":"${event}"`);
  const times = await measure(cluster, args, is('ack'), is('exit'));
  await cluster.stop();
  if (times.answers !== count) throw new Error(`${times.answers} of ${count} answers`);
  return times;
}

async function serfTimes(count) {
  const cluster = await serfCluster(count);
  const starts = (word) => (text) => text.startsWith(word);
  const times = await measure(
    cluster,
    ['query', 'ssh', 'uptime'],
    starts('Ack from'),
    starts('Response from'),
  );
  await cluster.stop();
  return times;
}

export async function spread() {
  const rows = [];
  for (const count of [20, 60]) {
    const fanout = await fanoutTimes(count);
    const serf = hasProgram('serf') ? await serfTimes(count) : undefined;
    for (const what of ['ack', 'answer', 'total']) {
      const row = {
        nodes: count,
        what: what === 'total' ? 'whole command' : `last ${what}`,
        fanout: ms(fanout[what]),
      };
      if (serf !== undefined) {
        row.Serf = ms(serf[what]);
        row.ratio = (fanout[what] / serf[what]).toFixed(2);
      }
      rows.push(row);
    }
  }
  console.table(rows);
}
