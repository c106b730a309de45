import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import * as v from 'valibot';
import { statePath } from './paths.ts';

const LINES_MAX = 2000;
const LINES_KEPT = 1000;
const FILE_BYTES_MAX = 16 * 1024 * 1024;

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const entrySchema = v.object({
  id: v.string(),
  unixMs: v.pipe(v.number(), v.finite()),
  command: v.pipe(v.string(), v.maxLength(64 * 1024)),
  selector: v.pipe(v.string(), v.maxLength(64 * 1024)),
  targets: count,
  counts: v.record(v.string(), count),
  exit: count,
  durationMs: v.pipe(v.number(), v.finite()),
});

/** One command that was run, and what came of it. */
export type HistoryRecord = v.InferOutput<typeof entrySchema>;

/** The commands that were run, the newest first. Lines that cannot be read are left out. */
export function readHistory(): HistoryRecord[] {
  const entries: HistoryRecord[] = [];
  for (const line of lines().reverse()) {
    const result = v.safeParse(entrySchema, parsed(line));
    if (result.success) entries.push(result.output);
  }
  return entries;
}

/** Adds a command. One write, so that two sessions at once lose nothing; the oldest go when there are too many. */
export function addHistory(entry: HistoryRecord): void {
  const path = statePath('history.jsonl');
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW;
  const file = openSync(path, flags, 0o600);
  try {
    writeSync(file, `${JSON.stringify(entry)}\n`);
  } finally {
    closeSync(file);
  }
  const all = lines();
  if (all.length <= LINES_MAX) return;
  const next = `${path}.${process.pid}`;
  writeFileSync(next, `${all.slice(-LINES_KEPT).join('\n')}\n`, { mode: 0o600 });
  renameSync(next, path);
}

function lines(): string[] {
  try {
    const text = readFileSync(statePath('history.jsonl'), 'utf8');
    return text
      .slice(-FILE_BYTES_MAX)
      .split('\n')
      .filter((line) => line !== '');
  } catch {
    return [];
  }
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
