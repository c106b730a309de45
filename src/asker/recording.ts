import { closeSync, constants, mkdirSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { concatBytes, EMPTY, utf8, writeU32 } from '../lib/bytes.ts';
import { messageOf } from '../lib/errors.ts';
import type { Millis } from '../lib/time.ts';
import { exitCode, type RunEvent, type RunState } from '../run/model.ts';
import { countOutcomes } from '../run/outcome.ts';
import { Outputs } from './outputs.ts';
import {
  encodeJson,
  encodeOutputHead,
  encodeRecord,
  OUTPUT_HEAD_BYTES,
  RECORD_HEAD_BYTES,
  RecordType,
  type RunHeadRecord,
} from './recording-format.ts';

/** Small pieces of one node are put together up to this size, so that one that writes byte by byte makes few records. */
const BLOCK_BYTES = 64 * 1024;
const PENDING_BYTES_MAX = 1024 * 1024;
/** What is kept in memory when the disk takes nothing more. */
const MEMORY_BYTES_MAX = 64 * 1024 * 1024;

interface Pending {
  readonly stream: 'stdout' | 'stderr';
  readonly atMs: Millis;
  readonly parts: Uint8Array[];
  bytes: number;
}

/**
 * Writes down a run as it happens: every event, and all output. The file is the memory of the screens as well, so a node that
 * sends gigabytes takes disk and no memory. Nothing of it is ever thrown away before the run is old.
 */
export class Recorder {
  readonly path: string;
  readonly outputs: Outputs;
  private readonly file: number;
  private readonly maxBytes: number;
  /** Whether somebody looks at the outputs while the run goes on. */
  private readonly isIndexed: boolean;
  private readonly pending = new Map<string, Pending>();
  private readonly nodes = new Map<string, number>();
  private pendingBytes = 0;
  private size = 0;
  private inMemory = 0;
  private trouble = '';
  private isClosed = false;
  private isBroken = false;
  private isReleased = false;

  private constructor(path: string, file: number, options: { maxBytes?: number; isIndexed: boolean }) {
    this.path = path;
    this.file = file;
    this.maxBytes = options.maxBytes ?? Number.POSITIVE_INFINITY;
    this.isIndexed = options.isIndexed;
    this.outputs = new Outputs(
      (offset, length) => this.read(offset, length),
      () => this.flush(),
    );
  }

  /** Starts a recording in a folder, which only its owner can read. Throws the system's error when it cannot. */
  static create(
    folder: string,
    head: RunHeadRecord,
    options: { readonly maxBytes?: number; readonly isIndexed: boolean },
  ): Recorder {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const path = join(folder, `${String(Math.round(head.unixMs)).padStart(14, '0')}-${head.id}.run`);
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const recorder = new Recorder(path, openSync(path, flags, 0o600), options);
    recorder.append(RecordType.head, encodeJson({ version: 1, ...head }));
    return recorder;
  }

  /** What could not be written down, '' when everything was. */
  get problem(): string {
    return this.trouble;
  }

  /** Takes an event of the run, `atMs` after its start. The data of output is not kept. */
  event(atMs: Millis, event: RunEvent, data?: Uint8Array): void {
    if (this.isClosed) return;
    if (event.kind === 'output') {
      if (data !== undefined && data.length > 0) this.output(atMs, event.node, event.stream, data);
      return;
    }
    // What a node wrote before it ended comes before that in the file too.
    if ('node' in event) this.flushNode(event.node);
    else this.flush();
    this.append(RecordType.event, encodeJson({ atMs, event }));
  }

  /** Writes what is still being put together. To be called now and then while a run goes on. */
  flush(): void {
    for (const node of [...this.pending.keys()]) this.flushNode(node);
  }

  /** Ends the recording with what came of the run. The outputs can still be read. */
  close(state: RunState, atMs: Millis): void {
    if (this.isClosed) return;
    this.flush();
    const trailer = { exit: exitCode(state), durationMs: Math.round(atMs), counts: countOutcomes(state) };
    const body = encodeJson(trailer);
    this.append(RecordType.trailer, body);
    // The length once more, so that a list finds the trailer from the end of the file.
    const foot = new Uint8Array(4);
    writeU32(foot, 0, body.length);
    this.write(foot);
    this.isClosed = true;
  }

  /** Gives the file back; then the outputs cannot be read any more. */
  release(): void {
    if (this.isReleased) return;
    this.flush();
    this.isClosed = true;
    this.isReleased = true;
    closeSync(this.file);
  }

  private output(atMs: Millis, node: string, stream: 'stdout' | 'stderr', data: Uint8Array): void {
    if (this.size + this.pendingBytes + data.length > this.maxBytes) {
      this.trouble = 'the record is cut: there was too much output to keep all of it';
      return;
    }
    const open = this.pending.get(node);
    if (open !== undefined && open.stream !== stream) this.flushNode(node);
    const pending = this.pending.get(node) ?? { stream, atMs, parts: [], bytes: 0 };
    this.pending.set(node, pending);
    // A copy: the data is a view of a buffer that is used again.
    pending.parts.push(Uint8Array.from(data));
    pending.bytes += data.length;
    this.pendingBytes += data.length;
    if (pending.bytes >= BLOCK_BYTES) this.flushNode(node);
    else if (pending.parts.length > 1024)
      pending.parts.splice(0, pending.parts.length, concatBytes(...pending.parts));
    if (this.pendingBytes >= PENDING_BYTES_MAX) this.flush();
  }

  private flushNode(node: string): void {
    const pending = this.pending.get(node);
    if (pending === undefined) return;
    this.pending.delete(node);
    this.pendingBytes -= pending.bytes;
    const data = pending.parts.length === 1 ? (pending.parts[0] ?? EMPTY) : concatBytes(...pending.parts);
    const head = encodeOutputHead(pending.atMs, this.indexOf(node), pending.stream);
    const offset = this.size + RECORD_HEAD_BYTES + OUTPUT_HEAD_BYTES;
    if (this.append(RecordType.output, head, data)) {
      if (this.isIndexed) this.outputs.add(node, pending.stream, { offset }, data);
    } else if (this.inMemory + data.length <= MEMORY_BYTES_MAX) {
      this.inMemory += data.length;
      this.outputs.add(node, pending.stream, { data }, data);
    }
  }

  private indexOf(node: string): number {
    const known = this.nodes.get(node);
    if (known !== undefined) return known;
    const index = this.nodes.size;
    this.nodes.set(node, index);
    this.append(RecordType.node, utf8(node));
    return index;
  }

  private append(type: number, ...parts: readonly Uint8Array[]): boolean {
    return this.write(encodeRecord(type, parts.length === 1 ? (parts[0] ?? EMPTY) : concatBytes(...parts)));
  }

  /** False when the disk does not take it: the run goes on without a record, and says so. */
  private write(bytes: Uint8Array): boolean {
    if (this.isBroken) return false;
    try {
      for (let at = 0; at < bytes.length; ) {
        at += writeSync(this.file, bytes, at, bytes.length - at, this.size + at);
      }
      this.size += bytes.length;
      return true;
    } catch (error) {
      this.isBroken = true;
      const why = messageOf(error);
      this.trouble = `the record cannot be written (${why}): only what fits into the memory is kept`;
      return false;
    }
  }

  private read(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    let at = 0;
    while (at < length) {
      const count = readSync(this.file, bytes, at, length - at, offset + at);
      if (count === 0) break;
      at += count;
    }
    return at === length ? bytes : bytes.subarray(0, at);
  }
}
