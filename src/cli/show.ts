import { findRun, listRuns, type RecordedRun, RunRecord } from '../asker/run-record.ts';
import { FanoutError } from '../lib/errors.ts';
import { safeJson, sanitiseText } from '../lib/sanitise.ts';
import { formatDuration } from '../lib/time.ts';
import { commandText } from '../policy/command-text.ts';
import { didYouMean } from '../policy/suggest.ts';
import { createRenderer } from '../report/renderers.ts';
import { exitCode } from '../run/model.ts';
import { outputOptionsOf, type RunOptions } from './run-flags.ts';
import { StandardSink } from './standard-sink.ts';
import { formatTable } from './table.ts';
import { terminals } from './terminals.ts';

export interface ShowOptions extends RunOptions {
  readonly only?: string;
}

/** `fanout last`, `fanout show ID`: a run of before, as it was. Its exit code; without an id the list of runs. */
export async function show(wanted: string | undefined, options: ShowOptions): Promise<number> {
  if (wanted === undefined) return list(options.format);
  const found = findRun(wanted);
  const record = RunRecord.open(found.path);
  try {
    if (options.only !== undefined) return await showNode(record, options.only);
    const sink = new StandardSink();
    const { head } = record;
    if (options.format === 'text') {
      const when = formatDuration(Math.max(0, Date.now() - head.unixMs));
      const where = head.selector === '' ? 'everybody' : head.selector;
      const line = `fanout: ${commandText(head.argv)}  on ${where}  ${when} ago  (run ${found.id.slice(0, 8)})`;
      process.stderr.write(`${sanitiseText(line)}\n`);
      if (!record.isComplete)
        process.stderr.write('fanout: the record has no end: it is going on, or was cut off\n');
    }
    record.replay(createRenderer(outputOptionsOf(options), sink, head, terminals(options.color)));
    await sink.flushed();
    return exitCode(record.state);
  } finally {
    record.close();
  }
}

/** All output of one node, byte for byte when it does not go to a terminal. */
async function showNode(record: RunRecord, node: string): Promise<number> {
  const target = record.state.targets.get(node);
  if (target === undefined) {
    throw new FanoutError('USAGE', `that run had no target "${node}"`, {
      hint: didYouMean(node, record.state.targets.keys()) ?? 'Without --only all of it is shown.',
    });
  }
  if (process.stdout.isTTY === true) {
    const count = record.outputs.lineCount(node);
    for (let at = 0; at < count; at += 1000) {
      const lines = record.outputs.lines(node, at, 1000).map(({ text }) => `${text}\n`);
      process.stdout.write(lines.join(''));
    }
  } else {
    const sink = new StandardSink();
    for (const { stream, data } of record.outputs.chunks(node)) sink.write(stream, data);
    await sink.flushed();
  }
  if (target.reason !== '') process.stderr.write(`fanout: ${sanitiseText(`${node}: ${target.reason}`)}\n`);
  return target.code ?? exitCode(record.state);
}

function list(format: string): number {
  const runs = listRuns();
  if (format === 'json') {
    const rows = runs.map(({ id, head, trailer }) => ({ ...head, id, ...(trailer ?? {}) }));
    process.stdout.write(`${safeJson({ runs: rows }, 2)}\n`);
    return 0;
  }
  if (runs.length === 0) process.stderr.write('fanout: no run is recorded yet\n');
  else process.stdout.write(`${formatTable(runs.map(rowOf))}\n`);
  return 0;
}

function rowOf({ id, head, trailer }: RecordedRun): string[] {
  const when = `${formatDuration(Math.max(0, Date.now() - head.unixMs))} ago`;
  const ok = trailer === undefined ? 'no end' : `${trailer.counts.ok ?? 0}/${head.targets.length} ok`;
  const exit = trailer === undefined ? '-' : `exit ${trailer.exit}`;
  const where = head.selector === '' ? 'everybody' : head.selector;
  return [id.slice(0, 8), when, ok, exit, commandText(head.argv), where].map(sanitiseText);
}
