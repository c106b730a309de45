import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  fdatasync,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  openSync,
  writeSync,
} from 'node:fs';
import { assert } from '../lib/assert.ts';
import { EMPTY, utf8, utf8Text } from '../lib/bytes.ts';
import { FanoutError } from '../lib/errors.ts';
import { linesBackward, linesForward, TOO_LONG } from './file-lines.ts';
import { errnoOf, openOwnedFile, quote } from './owned-file.ts';

/** Longest line. Holds the longest argv (32 KiB) with every byte escaped, and room for the rest. */
const LINE_BYTES_MAX = 256 * 1024;
/** The `prev` of the first line. */
const NO_LINE = '0'.repeat(64);
/** Fields that the log itself writes. */
const OWN_FIELDS = ['seq', 'prev', 'time', 'clock'];

type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue };

/**
 * What a record says. `id`, the request id in hexadecimal, is what `recentRequestIds` collects: a record with
 * it must be written before the command runs.
 */
export interface AuditFields {
  readonly event: string;
  readonly id?: string;
  readonly [field: string]: JsonValue | undefined;
}

/** The last record: whoever kept an earlier head can tell whether the log was rewritten. */
export interface AuditHead {
  /** 0 for an empty log. */
  readonly seq: number;
  /** SHA-256 of the line without its newline, in hexadecimal. */
  readonly hash: string;
}

interface Line {
  readonly seq: number;
  readonly prev: string;
  readonly unixMs: number;
  readonly id: string | undefined;
}

/**
 * A log in which no line can be changed, removed or moved unnoticed: JSON lines {seq, prev, time, ...record},
 * where prev is the SHA-256 of the line before.
 */
export class AuditLog {
  private readonly path: string;
  private readonly fd: number;
  private readonly unixMs: () => number;
  private size: number;
  private last: { seq: number; hash: string; unixMs: number };
  private broken: string | undefined;
  private isSyncing = false;
  private needsSync = false;

  private constructor(path: string, fd: number, size: number, unixMs: () => number) {
    this.path = path;
    this.fd = fd;
    this.unixMs = unixMs;
    this.size = size;
    this.last = { seq: 0, hash: NO_LINE, unixMs: 0 };
  }

  /**
   * Opens the log, makes it (0600) when it is missing. A last line without its end, which a crash leaves, is
   * moved to PATH.torn and noted. Throws FanoutError INTEGRITY when others can write the file or its last
   * line is not a record.
   */
  static open(path: string, options: { unixMs: () => number }): AuditLog {
    const { O_RDWR, O_APPEND, O_CREAT } = constants;
    const code = 'INTEGRITY';
    const flags = O_RDWR | O_APPEND | O_CREAT;
    const file = openOwnedFile(path, { flags, createMode: 0o600, forbidden: 0o022, code });
    if (file === undefined) {
      throw new FanoutError(code, `there is no folder for the audit log ${path}`, {
        hint: 'Make it first, with mode 0700.',
      });
    }
    const log = new AuditLog(file.path, file.fd, file.stats.size, options.unixMs);
    try {
      log.resume();
    } catch (error) {
      closeSync(file.fd);
      throw error;
    }
    return log;
  }

  get head(): AuditHead {
    return { seq: this.last.seq, hash: this.last.hash };
  }

  /**
   * The time of the last record, 0 when there is none. While the clock is behind it, a node cannot tell old
   * commands from new ones and should refuse them.
   */
  get lastUnixMs(): number {
    return this.last.unixMs;
  }

  /**
   * Writes a record: it survives the agent when this returns, and is on its way to the disk. Times never go back, so that the newest part of the
   * log can be found from its end; when the clock did go back, the record has both: `time`, and what the
   * clock showed in `clock`. Throws FanoutError AGENT_ERROR when it cannot be written: then do not do what it
   * would have recorded.
   */
  append(fields: AuditFields): void {
    assert(
      !OWN_FIELDS.some((field) => field in fields),
      'a record leaves seq, prev, time and clock to the log',
    );
    if (this.broken !== undefined) throw this.writeError(this.broken);
    const clock = Math.floor(this.unixMs());
    const unixMs = Math.max(clock, this.last.unixMs);
    const seq = this.last.seq + 1;
    const record = {
      seq,
      prev: this.last.hash,
      time: new Date(unixMs).toISOString(),
      ...(clock < unixMs ? { clock: new Date(clock).toISOString() } : {}),
      ...fields,
    };
    const line = utf8(JSON.stringify(record));
    assert(line.length <= LINE_BYTES_MAX, 'an audit record fits its line');
    this.write(Buffer.concat([line, Buffer.from('\n')]));
    this.last = { seq, hash: sha256(line), unixMs };
  }

  /**
   * The request ids of all records since that moment, newest first read, and the chain of that part checked.
   * Throws FanoutError INTEGRITY when it does not hold: then refuse every command that was signed before the
   * agent's start.
   */
  recentRequestIds(sinceUnixMs: number): Set<string> {
    const ids = new Set<string>();
    let expected = this.last.hash;
    let { seq } = this.last;
    let isTail = true;
    let isOld = false;
    for (const bytes of linesBackward(this.fd, this.size, LINE_BYTES_MAX)) {
      if (isTail) {
        isTail = false;
        continue;
      }
      const line = bytes === TOO_LONG ? undefined : parseLine(bytes);
      if (bytes === TOO_LONG || line === undefined || sha256(bytes) !== expected || line.seq !== seq) {
        throw damaged(this.path, `the record with number ${seq} was changed, moved or removed`);
      }
      isOld = line.unixMs < sinceUnixMs;
      if (isOld) break;
      if (line.id !== undefined) ids.add(line.id);
      expected = line.prev;
      seq -= 1;
    }
    if (!isOld && seq !== 0) throw damaged(this.path, `the records up to number ${seq} were removed`);
    return ids;
  }

  /** Closes the file, with everything on the disk. The log must not be used any more. */
  close(): void {
    if (this.broken === undefined) fdatasyncSync(this.fd);
    this.broken = 'it is closed';
    closeSync(this.fd);
  }

  private resume(): void {
    const lines = linesBackward(this.fd, this.size, LINE_BYTES_MAX);
    const torn = lines.next().value ?? EMPTY;
    if (torn === TOO_LONG) throw damaged(this.path, 'its last line has no end');
    const bytes = lines.next().value;
    if (bytes !== undefined) {
      const line = bytes === TOO_LONG ? undefined : parseLine(bytes);
      if (bytes === TOO_LONG || line === undefined) throw damaged(this.path, 'its last line is not a record');
      this.last = { seq: line.seq, hash: sha256(bytes), unixMs: line.unixMs };
    }
    if (torn.length > 0) this.setAside(torn);
  }

  /** What a crash left of a record. It was never acted upon, for `append` had not returned. */
  private setAside(torn: Uint8Array): void {
    const saved = `${this.path}.torn`;
    const { O_WRONLY, O_APPEND, O_CREAT } = constants;
    const flags = O_WRONLY | O_APPEND | O_CREAT;
    const file = openOwnedFile(saved, { flags, createMode: 0o600, forbidden: 0o022, code: 'INTEGRITY' });
    assert(file !== undefined, 'the folder of the log is there');
    try {
      writeSync(file.fd, Buffer.concat([torn, Buffer.from('\n')]));
      fdatasyncSync(file.fd);
    } finally {
      closeSync(file.fd);
    }
    this.size -= torn.length;
    ftruncateSync(this.fd, this.size);
    this.append({ event: 'torn-line', bytes: torn.length, sha256: sha256(torn), saved });
  }

  private write(bytes: Uint8Array): void {
    const { size, nlink } = fstatSync(this.fd);
    if (size !== this.size || nlink === 0) {
      this.broken = nlink === 0 ? 'it was deleted' : 'somebody else wrote to it';
      throw this.writeError(this.broken);
    }
    try {
      for (let offset = 0; offset < bytes.length; ) offset += writeSync(this.fd, bytes, offset);
      this.size += bytes.length;
      this.syncSoon();
    } catch (error) {
      this.takeBack(error);
      throw this.writeError(errnoOf(error) ?? String(error), error);
    }
  }

  /**
   * The record is the kernel's now and survives this process; the disk follows at once, without holding the agent up. One
   * request at a time covers all records written before it. A disk that fails stops the log.
   */
  private syncSoon(): void {
    if (this.isSyncing) {
      this.needsSync = true;
      return;
    }
    this.isSyncing = true;
    this.needsSync = false;
    fdatasync(this.fd, (error) => {
      this.isSyncing = false;
      if (this.broken !== undefined) return;
      if (error !== null) this.broken = `the disk failed: ${errnoOf(error) ?? String(error)}`;
      else if (this.needsSync) this.syncSoon();
    });
  }

  /** After a failed write half a line may be there, on which the next one must not be built. */
  private takeBack(error: unknown): void {
    try {
      ftruncateSync(this.fd, this.size);
      fdatasyncSync(this.fd);
    } catch {
      this.broken = `an earlier write failed: ${errnoOf(error) ?? String(error)}`;
    }
  }

  private writeError(why: string, cause?: unknown): FanoutError {
    return new FanoutError('AGENT_ERROR', `the audit log ${this.path} cannot be written: ${why}`, {
      hint: `What cannot be recorded is not run. Look at: df -h ${quote(this.path)}; then restart the agent.`,
      cause,
    });
  }
}

/** What a check of the whole log found. `line` counts from 1. */
export type AuditVerdict =
  | { readonly ok: true; readonly records: number; readonly head: AuditHead; readonly tornBytes: number }
  | { readonly ok: false; readonly line: number; readonly reason: string };

/**
 * Checks every line of a log. The chain alone cannot show that the newest lines were cut off, that the very
 * last one was changed, or that all was written anew: for that give a head that was kept elsewhere, and it
 * must be in the chain. Throws FanoutError INTEGRITY only when the file cannot be read.
 */
export function verifyAuditChain(path: string, keptHead?: AuditHead): AuditVerdict {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY);
  } catch (error) {
    throw new FanoutError(
      'INTEGRITY',
      `the audit log ${path} cannot be read: ${errnoOf(error) ?? String(error)}`,
      {
        hint: `Look at: ls -l ${quote(path)}`,
        cause: error,
      },
    );
  }
  try {
    return verifyLines(fd, keptHead);
  } finally {
    closeSync(fd);
  }
}

function verifyLines(fd: number, keptHead: AuditHead | undefined): AuditVerdict {
  let head: AuditHead = { seq: 0, hash: NO_LINE };
  let unixMs = 0;
  const broken = (reason: string): AuditVerdict => ({ ok: false, line: head.seq + 1, reason });
  for (const { line: bytes, isWhole } of linesForward(fd, LINE_BYTES_MAX)) {
    if (bytes === TOO_LONG) return broken('the line is too long for a record');
    if (!isWhole) {
      if (keptHead !== undefined && keptHead.seq > head.seq) {
        return broken(`the log ends here, but it once had ${keptHead.seq} records`);
      }
      return { ok: true, records: head.seq, head, tornBytes: bytes.length };
    }
    const line = parseLine(bytes);
    if (line === undefined) return broken('the line is not a record');
    if (line.seq !== head.seq + 1) return broken(`record ${line.seq} stands where ${head.seq + 1} belongs`);
    if (line.prev !== head.hash) return broken('the line before this one was changed or replaced');
    if (line.unixMs < unixMs) return broken('its time is before that of the line before');
    const hash = sha256(bytes);
    if (keptHead?.seq === line.seq && keptHead.hash !== hash)
      return broken('it is not the record it once was');
    head = { seq: line.seq, hash };
    unixMs = line.unixMs;
  }
  return broken('the file could not be read to its end');
}

function parseLine(bytes: Uint8Array): Line | undefined {
  let value: unknown;
  try {
    value = JSON.parse(utf8Text(bytes) ?? '');
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { seq, prev, time, id } = value as Record<string, unknown>;
  if (typeof seq !== 'number' || !Number.isSafeInteger(seq) || seq < 1) return undefined;
  if (typeof prev !== 'string' || !/^[0-9a-f]{64}$/.test(prev) || typeof time !== 'string') return undefined;
  const unixMs = Date.parse(time);
  if (Number.isNaN(unixMs)) return undefined;
  return { seq, prev, unixMs, id: typeof id === 'string' ? id : undefined };
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function damaged(path: string, what: string): FanoutError {
  const move = `mv ${quote(path)} ${quote(`${path}.bad`)}`;
  return new FanoutError('INTEGRITY', `the audit log ${path} is damaged: ${what}`, {
    hint: `Find out who changed it and keep it: ${move}; a new one is made at the next start.`,
  });
}
