import { readHistory } from '../asker/history.ts';
import { FanoutError } from '../lib/errors.ts';
import { safeJson, sanitiseText } from '../lib/sanitise.ts';
import { formatTable } from './table.ts';

/** `fanout history`: the commands that were run, the newest last, as shells print it. */
export async function history(options: { count: string; format: string }): Promise<number> {
  if (!/^\d{1,6}$/.test(options.count)) {
    throw new FanoutError('USAGE', `--count ${options.count}: not a number`, { hint: 'Write --count 20.' });
  }
  const entries = readHistory().slice(0, Number(options.count)).reverse();
  if (options.format === 'json') {
    process.stdout.write(`${safeJson({ history: entries }, 2)}\n`);
    return 0;
  }
  if (entries.length === 0) process.stderr.write('fanout: nothing was run yet\n');
  const rows = entries.map(({ id, unixMs, command, selector, targets, counts, exit }) => [
    new Date(unixMs).toISOString().slice(0, 19).replace('T', ' '),
    id.slice(0, 8),
    `${counts.ok ?? 0}/${targets} ok`,
    `exit ${exit}`,
    sanitiseText(command),
    sanitiseText(selector === '' ? 'everybody' : selector),
  ]);
  if (rows.length > 0) process.stdout.write(`${formatTable(rows)}\n`);
  return 0;
}
