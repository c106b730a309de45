import { createHash } from 'node:crypto';
import { closeSync, constants, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import type { AuditLog } from '../identity/audit.ts';
import type { AuditLine } from '../identity/audit-record.ts';
import { openOwnedFile, quote, readOpenFile } from '../identity/owned-file.ts';
import { writeSecretFile } from '../identity/secret-file.ts';
import { utf8, utf8Text } from '../lib/bytes.ts';
import { FanoutError, messageOf } from '../lib/errors.ts';
import type { Millis } from '../lib/time.ts';

/** The agent's notes about its own end, in its data folder. */
const FILE_NAME = 'last-run.json';
const FILE_BYTES_MAX = 256 * 1024;
/** The oldest are forgotten first. */
const SUSPECTS_MAX = 500;
/** No command runs longer than a day: what was started before that has no end for another reason. */
const LOOK_BACK_MS: Millis = 25 * 3_600_000;
/** Records that are looked at, of an agent that was busy before it died. */
const RECORDS_MAX = 200_000;

const code = 'INTEGRITY' as const;

const notesSchema = v.strictObject({
  version: v.literal(1),
  /** Of the machine while the agent ran: a machine that goes down is no command's fault. */
  boot: v.pipe(v.string(), v.maxLength(64)),
  /** The number of the last audit record before the agent started. */
  since: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  /** Whether it was told to stop. */
  clean: v.boolean(),
  suspects: v.pipe(
    v.array(
      v.strictObject({
        /** SHA-256 of rule and arguments. */
        key: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
        found: v.pipe(v.string(), v.isoTimestamp()),
      }),
    ),
    v.maxLength(SUSPECTS_MAX),
  ),
});
type Notes = v.InferOutput<typeof notesSchema>;

/** What was found at the start of an agent. */
export interface LastEnd {
  /** False when it ended without being told to, and the machine did not go down with it. */
  readonly wasClean: boolean;
  /** Requests that ran then. */
  readonly running: readonly string[];
  /** Why it could not be noted that this agent runs: its own death will not be noticed. Empty when it could. */
  readonly problem: string;
}

export interface SuspectsOptions {
  readonly dataDir: string;
  readonly audit: AuditLog;
  readonly unixMs: () => number;
  /** Forget everything that is held against commands. */
  readonly forgive: boolean;
  /** Other than the kernel's, in tests. */
  readonly boot?: string;
}

/**
 * Remembers what ran when the agent died: such a command is not run a second time by the same rule, until somebody who
 * looks after the node says so. What was running is in the audit log, as a start without an end.
 */
export class Suspects {
  readonly lastEnd: LastEnd;
  private readonly path: string;
  private readonly notes: Notes;
  private readonly found: ReadonlyMap<string, string>;

  private constructor(path: string, notes: Notes, lastEnd: LastEnd) {
    this.path = path;
    this.notes = notes;
    this.lastEnd = lastEnd;
    this.found = new Map(notes.suspects.map(({ key, found }) => [key, found]));
  }

  /** Reads what the agent before this one left, and notes that this one runs. Throws FanoutError INTEGRITY. */
  static open(options: SuspectsOptions): Suspects {
    const { dataDir, audit, unixMs, forgive, boot = bootId() } = options;
    const path = join(dataDir, FILE_NAME);
    const before = readNotes(path);
    const wasClean = before === undefined || before.clean || before.boot !== boot;
    const starts = wasClean ? [] : unended(audit, before.since, unixMs() - LOOK_BACK_MS);
    const found = new Date(unixMs()).toISOString();
    const suspects = new Map((before?.suspects ?? []).map((one) => [one.key, one]));
    for (const { rule, argv } of starts) {
      const key = keyOf(rule, argv);
      suspects.set(key, { key, found });
    }
    const kept = forgive ? [] : [...suspects.values()].slice(-SUSPECTS_MAX);
    const notes: Notes = { version: 1, boot, since: audit.head.seq, clean: false, suspects: kept };
    const problem = writeNotes(path, notes);
    return new Suspects(path, notes, { wasClean, running: starts.map(({ id }) => id), problem });
  }

  get size(): number {
    return this.found.size;
  }

  /** The day and time at which it was found to have run when an agent died. */
  since(rule: string, argv: readonly string[]): string | undefined {
    return this.found.get(keyOf(rule, argv));
  }

  /** The agent was told to stop, and nothing of it runs any more. Returns why it could not be noted, or nothing. */
  close(): string {
    return writeNotes(this.path, { ...this.notes, clean: true });
  }
}

function keyOf(rule: string, argv: readonly string[]): string {
  return createHash('sha256')
    .update(JSON.stringify([rule, ...argv]))
    .digest('hex');
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return '';
  }
}

interface Start {
  readonly id: string;
  readonly rule: string;
  readonly argv: readonly string[];
}

const startSchema = v.object({ rule: v.string(), argv: v.array(v.string()) });

/** The starts that have no end, of the records after number `since`. */
function unended(audit: AuditLog, since: number, notBeforeUnixMs: number): Start[] {
  const ended = new Set<string>();
  const starts: Start[] = [];
  let left = RECORDS_MAX;
  for (const line of audit.newestFirst()) {
    if (line.seq <= since || line.unixMs < notBeforeUnixMs || left-- === 0) break;
    const start = line.id === undefined || ended.has(line.id) ? undefined : startOf(line, line.id);
    if (start !== undefined) starts.push(start);
    else if (line.id !== undefined) ended.add(line.id);
  }
  // In their order: the newest are kept longest.
  return starts.reverse();
}

function startOf({ event, fields }: AuditLine, id: string): Start | undefined {
  if (event !== 'start') return undefined;
  const parsed = v.safeParse(startSchema, fields);
  return parsed.success ? { id, ...parsed.output } : undefined;
}

function readNotes(path: string): Notes | undefined {
  const file = openOwnedFile(path, { flags: constants.O_RDONLY, forbidden: 0o077, code });
  if (file === undefined) return undefined;
  try {
    const bytes = readOpenFile(file, { from: 0, maxBytes: FILE_BYTES_MAX, code });
    return v.parse(notesSchema, JSON.parse(utf8Text(bytes) ?? ''));
  } catch (cause) {
    if (cause instanceof FanoutError) throw cause;
    throw new FanoutError(code, `${path} is not what an agent left there: ${String(cause)}`, {
      hint: `It tells which commands an agent died of. Look at it, and forget them all with: rm ${quote(path)}`,
      cause,
    });
  } finally {
    closeSync(file.fd);
  }
}

/** A full disk must not keep an agent out of its cluster: the problem is returned. */
function writeNotes(path: string, notes: Notes): string {
  try {
    writeSecretFile(path, utf8(`${JSON.stringify(notes)}\n`), { overwrite: true });
    return '';
  } catch (error) {
    return messageOf(error);
  }
}
