import { closeSync, constants, fstatSync, fsyncSync, writeSync } from 'node:fs';
import { openOwnedFile, quote, readOpenFile } from '../identity/owned-file.ts';
import { writeSecretFile } from '../identity/secret-file.ts';
import { utf8 } from '../lib/bytes.ts';
import { codeOf, FanoutError } from '../lib/errors.ts';
import type { Millis } from '../lib/time.ts';
import type { SerfEvent } from '../serf/events.ts';
import type { Member } from '../serf/member.ts';
import { readSnapshot, Snapshot, type SnapshotContent } from '../serf/snapshot.ts';
import type { Log } from './log.ts';

/** What is written waits at most this long, as in Serf. */
const FLUSH_MS: Millis = 500;
/** Compaction keeps a file far below: a larger one is none of ours, or of Serf's. */
const FILE_BYTES_MAX = 32 * 1024 * 1024;
/** After a failure to write, it is tried again with a file as a whole. */
const RETRY_MS: Millis = 30_000;
const CODE = 'CONFIG';

/** An agent's snapshot on the disk, in Serf's format: either program can go on with the other's. */
export class SnapshotFile {
  /** What an agent before us has left. */
  readonly content: SnapshotContent;
  private readonly path: string;
  private readonly snapshot: Snapshot;
  private readonly log: Log;
  private readonly memberClock: () => number;
  private readonly timer: NodeJS.Timeout;
  private fd: number;
  private size: number;
  private pending = '';
  private failedAt: Millis | undefined;

  private constructor(parts: {
    path: string;
    fd: number;
    size: number;
    content: SnapshotContent;
    rejoins: boolean;
    log: Log;
    memberClock: () => number;
  }) {
    const { path, fd, size, content, rejoins, log, memberClock } = parts;
    this.path = path;
    this.fd = fd;
    this.size = size;
    this.content = content;
    this.snapshot = new Snapshot(content, rejoins);
    this.log = log;
    this.memberClock = memberClock;
    this.timer = setInterval(() => this.flush(), FLUSH_MS);
    this.timer.unref();
  }

  /**
   * Opens the file or makes it. Whatever is in it is read as far as it makes sense. Throws FanoutError CONFIG when it
   * cannot be opened, or others could have written it.
   */
  static open(
    path: string,
    options: { rejoins: boolean; log: Log; memberClock: () => number },
  ): SnapshotFile {
    const { rejoins, log } = options;
    const { O_RDWR, O_APPEND, O_CREAT } = constants;
    const flags = O_RDWR | O_APPEND | O_CREAT;
    const file = openOwnedFile(path, { flags, createMode: 0o600, forbidden: 0o022, code: CODE });
    if (file === undefined) {
      throw new FanoutError(CODE, `there is no folder for the snapshot ${path}`, {
        hint: 'Make it first, or give another --snapshot.',
      });
    }
    const text = readText(file, log);
    const content = readSnapshot(text, rejoins);
    if (content.unread > 0)
      log.warn(`snapshot ${path}: ${content.unread} lines say nothing and were passed over`);
    const size = fstatSync(file.fd).size;
    const opened = new SnapshotFile({ ...options, path: file.path, fd: file.fd, size, content });
    // A torn last line would swallow the next one.
    if (text !== '' && !text.endsWith('\n')) opened.add('\n');
    return opened;
  }

  /** Something happened: what of it counts is written within half a second. */
  event(event: SerfEvent): void {
    this.add(this.snapshot.event(event));
    if (event.kind === 'member') this.add(this.snapshot.clockIs(this.memberClock()));
  }

  /** A member that was alive before the first event reached us. */
  alive(member: Member): void {
    this.add(this.snapshot.joined(member));
  }

  /** We leave on purpose: written at once, and on the disk when this returns. */
  leave(): void {
    this.add(this.snapshot.leave());
    this.flush();
    this.sync();
  }

  close(): void {
    clearInterval(this.timer);
    this.flush();
    this.sync();
    closeSync(this.fd);
  }

  private add(lines: string): void {
    this.pending += lines;
  }

  private flush(): void {
    this.add(this.snapshot.clockIs(this.memberClock()));
    if (this.failedAt !== undefined) {
      if (performance.now() - this.failedAt >= RETRY_MS) this.compact();
      return;
    }
    if (this.pending === '') return;
    const bytes = utf8(this.pending);
    this.pending = '';
    try {
      for (let offset = 0; offset < bytes.length; ) offset += writeSync(this.fd, bytes, offset);
      this.size += bytes.length;
    } catch (error) {
      return this.failed(error);
    }
    if (this.size > this.snapshot.bytesMax) this.compact();
  }

  /** Puts a file with all that still counts into the place of the one that has grown. */
  private compact(): void {
    this.pending = '';
    try {
      const bytes = utf8(this.snapshot.compacted());
      writeSecretFile(this.path, bytes, { overwrite: true });
      const flags = constants.O_RDWR | constants.O_APPEND;
      const file = openOwnedFile(this.path, { flags, forbidden: 0o022, code: CODE });
      if (file === undefined) throw new FanoutError(CODE, `${this.path} is gone`);
      closeSync(this.fd);
      this.fd = file.fd;
      this.size = bytes.length;
      if (this.failedAt !== undefined) this.log.info(`snapshot ${this.path}: it can be written again`);
      this.failedAt = undefined;
    } catch (error) {
      this.failed(error);
    }
  }

  private failed(error: unknown): void {
    const reason = error instanceof FanoutError ? error.message : codeOf(error);
    if (this.failedAt === undefined) {
      this.log.error(
        `snapshot ${this.path} cannot be written: ${reason}. Look at: df -h ${quote(this.path)}`,
      );
    }
    this.failedAt = performance.now();
  }

  private sync(): void {
    try {
      fsyncSync(this.fd);
    } catch (error) {
      this.failed(error);
    }
  }
}

function readText(file: Parameters<typeof readOpenFile>[0], log: Log): string {
  try {
    const bytes = readOpenFile(file, { from: 0, maxBytes: FILE_BYTES_MAX, code: CODE });
    return new TextDecoder().decode(bytes);
  } catch (error) {
    if (!(error instanceof FanoutError)) throw error;
    log.warn(`the snapshot is not used: ${error.message}`);
    return '';
  }
}
