import { removeSelection, savedSelections, saveSelection } from '../asker/saved-selections.ts';
import { FanoutError } from '../lib/errors.ts';
import { safeJson, sanitiseText } from '../lib/sanitise.ts';
import { didYouMean } from '../policy/suggest.ts';
import { formatTable } from './table.ts';

/** `fanout select list`: the saved selections. */
export async function listSelections(options: { format: string }): Promise<number> {
  const all = [...savedSelections()];
  if (options.format === 'json') process.stdout.write(`${safeJson(Object.fromEntries(all), 2)}\n`);
  else if (all.length > 0) process.stdout.write(`${formatTable(all.map((row) => row.map(sanitiseText)))}\n`);
  return 0;
}

/** `fanout select save NAME EXPR`. */
export async function saveAs(name: string, text: string): Promise<number> {
  saveSelection(name, text);
  process.stdout.write(`@${name} is ${sanitiseText(text)}\n`);
  return 0;
}

/** `fanout select remove NAME`. */
export async function removeSaved(name: string): Promise<number> {
  if (removeSelection(name)) return 0;
  const hint = didYouMean(name, savedSelections().keys()) ?? '"fanout select list" shows them.';
  throw new FanoutError('USAGE', `there is no saved selection "${name}"`, { hint });
}
