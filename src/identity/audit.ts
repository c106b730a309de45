import { closeSync, constants, fdatasyncSync, fstatSync, lstatSync, writeSync } from 'node:fs';
import { EMPTY } from '../lib/bytes.ts';
import { codeOf, FanoutError, messageOf } from '../lib/errors.ts';
import { type DroppedRecords, FILES_KEPT, rotate, rotatedFiles } from './audit-files.ts';
import {
  type AuditFields,
  type AuditHead,
  type AuditLine,
  CHAIN_START,
  type ChainEnd,
  CONTINUED,
  LINE_BYTES_MAX,
  nextLine,
  parseAuditLine,
  sha256Hex,
} from './audit-record.ts';
import { linesBackward, TOO_LONG } from './file-lines.ts';
import { type OwnedFile, openOwnedFile, quote } from './owned-file.ts';
import { SyncedFile } from './synced-file.ts';

export type { AuditFields, AuditHead } from './audit-record.ts';

/** A file of this size is moved aside, and the next one goes on with the chain. */
const FILE_BYTES_MAX = 64 * 1024 * 1024;
const NEWLINE = Buffer.from('\n');
const code = 'INTEGRITY' as const;

export interface AuditLogOptions {
  readonly unixMs: () => number;
  /** Of one file, 64 MiB unless it is given. The last record may reach beyond it. */
  readonly maxBytes?: number;
  /** Rotated files that are kept, ten unless it is given. */
  readonly filesKept?: number;
  /** Gets each line, without its newline, once it is written. Must not throw. */
  readonly copy?: ((line: Uint8Array) => void) | undefined;
}

/**
 * A log in which no line can be changed, removed or moved unnoticed: JSON lines {seq, prev, time, ...record},
 * where prev is the SHA-256 of the line before. A full file becomes PATH.1, and the first record of the next one
 * names the end of it, so that the chain goes on.
 */
export class AuditLog {
  private readonly path: string;
  private readonly options: AuditLogOptions;
  private file: SyncedFile;
  private last: ChainEnd = CHAIN_START;
  /** The file was moved aside, and the next one could not be made yet. */
  private isMoved = false;
  private dropped: DroppedRecords | undefined;

  private constructor(file: OwnedFile, options: AuditLogOptions) {
    this.path = file.path;
    this.options = options;
    this.file = new SyncedFile(file.fd, file.stats.size);
  }

  /**
   * Opens the log, makes it (0600) when it is missing. A last line without its end, which a crash leaves, is
   * moved to PATH.torn and noted. Throws FanoutError INTEGRITY when others can write the file or its last
   * line is not a record.
   */
  static open(path: string, options: AuditLogOptions): AuditLog {
    const log = new AuditLog(openForAppend(path), options);
    try {
      log.resume();
    } catch (error) {
      void log.file.closeSoon();
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
   * Writes records, all or none: they survive this process when this returns, and are on their way to the disk.
   * Throws FanoutError AGENT_ERROR when they cannot be written: then do not do what they would have recorded. When
   * there is room again, so does the next call.
   */
  append(...records: readonly AuditFields[]): void {
    const { broken } = this.file;
    if (broken !== '') throw this.writeError(broken);
    this.moveOn();
    const lines: Uint8Array[] = [];
    let end = this.last;
    const add = (fields: AuditFields): void => {
      const next = nextLine(end, fields, this.options.unixMs());
      lines.push(next.line);
      end = next.end;
    };
    const isContinued = this.file.size === 0 && this.last.seq > 0;
    if (isContinued) add(this.continued());
    for (const fields of records) add(fields);
    try {
      this.file.append(Buffer.concat(lines.flatMap((line) => [line, NEWLINE])));
    } catch (error) {
      throw this.writeError(codeOf(error), error);
    }
    this.last = end;
    if (isContinued) this.dropped = undefined;
    for (const line of lines) this.options.copy?.(line);
  }

  /**
   * The request ids of all records since that moment, newest first read, and the chain of that part checked.
   * Throws FanoutError INTEGRITY when it does not hold: then refuse every command that was signed before the
   * agent's start.
   */
  recentRequestIds(sinceUnixMs: number): Set<string> {
    const ids = new Set<string>();
    let { hash: expected, seq } = this.last;
    let isOld = false;
    let isCut = false;
    for (const bytes of this.linesFromEnd()) {
      const line = bytes === TOO_LONG ? undefined : parseAuditLine(bytes);
      if (bytes === TOO_LONG || line === undefined || sha256Hex(bytes) !== expected || line.seq !== seq) {
        throw damaged(this.path, `the record with number ${seq} was changed, moved or removed`);
      }
      isOld = line.unixMs < sinceUnixMs;
      if (isOld) break;
      if (line.id !== undefined) ids.add(line.id);
      expected = line.prev;
      seq -= 1;
      isCut = line.event === CONTINUED;
    }
    if (!isOld && isCut) throw tooShort(this.path, seq);
    if (!isOld && seq !== 0) throw damaged(this.path, `the records up to number ${seq} were removed`);
    return ids;
  }

  /** The records as they are in the files, the last one first, up to the first line that is none. */
  *newestFirst(): Generator<AuditLine> {
    for (const bytes of this.linesFromEnd()) {
      const line = bytes === TOO_LONG ? undefined : parseAuditLine(bytes);
      if (line === undefined) return;
      yield line;
    }
  }

  /** Closes the file, with everything on the disk. The log must not be used any more. */
  close(): void {
    this.file.close();
  }

  /** As `close`, but does not wait for the disk: resolves when that is done. */
  closeSoon(): Promise<void> {
    return this.file.closeSoon();
  }

  /** Whole lines of all files, the last one first. */
  private *linesFromEnd(): Generator<Uint8Array | typeof TOO_LONG> {
    const own = linesBackward(this.file.fd, this.file.size, LINE_BYTES_MAX);
    // What follows the last newline: nothing, for whatever was torn has been set aside.
    own.next();
    yield* own;
    for (const path of rotatedFiles(this.path)) {
      const file = openOwnedFile(path, { flags: constants.O_RDONLY, forbidden: 0o022, code });
      if (file === undefined) continue;
      try {
        const lines = linesBackward(file.fd, file.stats.size, LINE_BYTES_MAX);
        const torn = lines.next().value;
        if (torn !== undefined && torn.length !== 0) throw damaged(path, 'its last line has no end');
        yield* lines;
      } finally {
        closeSync(file.fd);
      }
    }
  }

  private resume(): void {
    const { fd, size } = this.file;
    const torn = linesBackward(fd, size, LINE_BYTES_MAX).next().value ?? EMPTY;
    if (torn === TOO_LONG) throw damaged(this.path, 'its last line has no end');
    const bytes = this.linesFromEnd().next().value;
    if (bytes !== undefined) {
      const line = bytes === TOO_LONG ? undefined : parseAuditLine(bytes);
      if (bytes === TOO_LONG || line === undefined) throw damaged(this.path, 'its last line is not a record');
      this.last = { seq: line.seq, hash: sha256Hex(bytes), unixMs: line.unixMs };
    }
    if (torn.length > 0) this.setAside(torn);
  }

  /** What a crash left of a record. It was never acted upon, for `append` had not returned. */
  private setAside(torn: Uint8Array): void {
    const saved = `${this.path}.torn`;
    const file = openForAppend(saved);
    try {
      writeSync(file.fd, Buffer.concat([torn, NEWLINE]));
      fdatasyncSync(file.fd);
    } finally {
      closeSync(file.fd);
    }
    this.file.truncate(this.file.size - torn.length);
    this.append({ event: 'torn-line', bytes: torn.length, sha256: sha256Hex(torn), saved });
  }

  /** Goes on in a new file when this one is full. One that cannot be moved aside simply grows: records matter more. */
  private moveOn(): void {
    if (!this.isMoved) {
      const { maxBytes = FILE_BYTES_MAX, filesKept = FILES_KEPT } = this.options;
      if (this.file.size < maxBytes) return;
      try {
        this.dropped = rotate(this.path, filesKept);
      } catch {
        if (this.isStillThere()) return;
      }
      this.isMoved = true;
    }
    try {
      const next = openForAppend(this.path);
      void this.file.closeSoon();
      this.file = new SyncedFile(next.fd, next.stats.size);
      this.isMoved = false;
    } catch (error) {
      throw this.writeError(messageOf(error), error);
    }
  }

  private isStillThere(): boolean {
    try {
      return lstatSync(this.path).ino === fstatSync(this.file.fd).ino;
    } catch {
      return false;
    }
  }

  /** The first record of a file that is not the first: whoever has this file alone knows where it went on. */
  private continued(): AuditFields {
    const { seq, hash } = this.last;
    const { dropped } = this;
    return {
      event: CONTINUED,
      after: { seq, hash },
      ...(dropped === undefined ? {} : { dropped: { ...dropped } }),
    };
  }

  private writeError(why: string, cause?: unknown): FanoutError {
    return new FanoutError('AGENT_ERROR', `the audit log ${this.path} cannot be written: ${why}`, {
      hint: `What cannot be recorded is not run. Look at: df -h ${quote(this.path)}; ls -l ${quote(this.path)}`,
      cause,
    });
  }
}

function openForAppend(path: string): OwnedFile {
  const { O_RDWR, O_APPEND, O_CREAT } = constants;
  const flags = O_RDWR | O_APPEND | O_CREAT;
  const file = openOwnedFile(path, { flags, createMode: 0o600, forbidden: 0o022, code });
  if (file !== undefined) return file;
  throw new FanoutError(code, `there is no folder for the audit log ${path}`, {
    hint: 'Make it first, with mode 0700.',
  });
}

/** So many commands in so short a time that the oldest file with some of them is gone. */
function tooShort(path: string, seq: number): FanoutError {
  const what = `the records up to number ${seq} were rotated away, and their commands could still be replayed`;
  return new FanoutError(code, `the audit log ${path} does not reach back far enough: ${what}`, {
    hint: 'Nothing is lost: wait two minutes, until those commands are out of their time, and start again.',
  });
}

function damaged(path: string, what: string): FanoutError {
  const move = `mv ${quote(path)} ${quote(`${path}.bad`)}`;
  return new FanoutError(code, `the audit log ${path} is damaged: ${what}`, {
    hint: `Find out who changed it and keep it: ${move}; a new one is made at the next start.`,
  });
}
