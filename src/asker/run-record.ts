import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readdirSync,
  readSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import { readU32, utf8Text } from '../lib/bytes.ts';
import { DecodeError, FanoutError } from '../lib/errors.ts';
import type { Renderer } from '../report/renderers.ts';
import { type RunEvent, type RunState, reduceRun, startRun } from '../run/model.ts';
import { Outputs } from './outputs.ts';
import { statePath } from './paths.ts';
import {
  decodeEvent,
  decodeHead,
  decodeOutputHead,
  decodeTrailer,
  OUTPUT_HEAD_BYTES,
  RECORD_BYTES_MAX,
  RECORD_HEAD_BYTES,
  RecordType,
  type RunHeadRecord,
  type RunTrailer,
} from './recording-format.ts';

const RUNS_KEPT = 200;
const RUNS_BYTES_MAX = 2 * 2 ** 30;
/** A recording without an end that is younger than this may still be written. */
const UNFINISHED_MS = 24 * 3_600_000;
const FILE_NAME = /^\d{14}-([0-9a-f]{32})\.run$/;

/** One recorded run in a list. */
export interface RecordedRun {
  readonly path: string;
  readonly id: string;
  readonly head: RunHeadRecord;
  /** Undefined when the recording has no end: it is still going on, or was cut off. */
  readonly trailer: RunTrailer | undefined;
}

interface Block {
  readonly type: number;
  readonly offset: number;
  readonly length: number;
}

export function runsFolder(): string {
  return statePath('runs');
}

/** The recorded runs, the newest first. Those that cannot be read are left out. */
export function listRuns(limit = RUNS_KEPT): RecordedRun[] {
  const runs: RecordedRun[] = [];
  for (const name of fileNames().reverse()) {
    if (runs.length >= limit) break;
    const path = join(runsFolder(), name);
    try {
      runs.push(readSummary(path, name));
    } catch (error) {
      if (!(error instanceof DecodeError || isSystemError(error))) throw error;
    }
  }
  return runs;
}

/** The run that `last` or the start of an id means. Throws FanoutError USAGE when it is none or several. */
export function findRun(wanted: string): RecordedRun {
  if (wanted === 'last') {
    const [newest] = listRuns(1);
    if (newest !== undefined) return newest;
    throw new FanoutError('USAGE', 'no run is recorded yet', { hint: 'Run something first.' });
  }
  if (!/^[0-9a-f]{4,32}$/.test(wanted)) {
    throw new FanoutError('USAGE', `"${wanted}" is no id of a run`, {
      hint: 'Give "last", or the first letters of an id that "fanout show" lists, at least four.',
    });
  }
  const names = fileNames().filter((name) => FILE_NAME.exec(name)?.[1]?.startsWith(wanted) === true);
  const [name] = names;
  if (name === undefined || names.length > 1) {
    throw new FanoutError(
      'USAGE',
      name === undefined ? `there is no run ${wanted}` : `${names.length} runs begin with ${wanted}`,
      {
        hint:
          name === undefined ? '"fanout show" lists those that are kept.' : 'Give more letters of the id.',
      },
    );
  }
  const path = join(runsFolder(), name);
  try {
    return readSummary(path, name);
  } catch (error) {
    if (!(error instanceof DecodeError || isSystemError(error))) throw error;
    throw new FanoutError('USAGE', `the record of the run ${wanted} cannot be read: ${error.message}`, {
      hint: `Remove it: rm ${path}`,
      cause: error,
    });
  }
}

/** Removes the oldest recordings beyond what is kept. */
export function pruneRuns(nowUnixMs: number): void {
  let bytes = 0;
  for (const [index, name] of fileNames().reverse().entries()) {
    const path = join(runsFolder(), name);
    try {
      bytes += statSync(path).size;
      if (index < RUNS_KEPT && bytes <= RUNS_BYTES_MAX) continue;
      const isFresh = nowUnixMs - statSync(path).mtimeMs < UNFINISHED_MS;
      if (isFresh && readSummary(path, name).trailer === undefined) continue;
      unlinkSync(path);
    } catch (error) {
      // Another session may have removed it, and one that cannot be read is not worth keeping an operator waiting.
      if (!(error instanceof DecodeError || isSystemError(error))) throw error;
    }
  }
}

/** A recording that is open for reading. Close it. */
export class RunRecord {
  readonly head: RunHeadRecord;
  readonly outputs: Outputs;
  /** The run as it ended, or as far as it was written down. */
  readonly state: RunState;
  readonly isComplete: boolean;
  private readonly file: number;

  private constructor(file: number) {
    this.file = file;
    const length = fstatSync(file).size;
    this.outputs = new Outputs((offset, size) => read(file, offset, size));
    const nodes: string[] = [];
    let head: RunHeadRecord | undefined;
    let isComplete = false;
    let state: RunState | undefined;
    for (const block of blocksOf(file, length)) {
      if (block.type === RecordType.trailer) isComplete = true;
      if (block.type === RecordType.head) {
        head = decodeHead(body(file, block));
        state = startRun(head.targets, head.timeoutMs, 0);
      } else if (block.type === RecordType.node) {
        nodes.push(utf8Text(body(file, block)) ?? '?');
      } else if (state !== undefined) {
        state = this.take(block, nodes, state);
      }
    }
    if (head === undefined || state === undefined) throw new DecodeError('head', 'the recording has no head');
    this.head = head;
    this.isComplete = isComplete;
    this.state = state.phase === 'ended' ? state : cutOff(state);
  }

  /** Throws FanoutError USAGE when the file is no recording. */
  static open(path: string): RunRecord {
    const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      return new RunRecord(file);
    } catch (error) {
      closeSync(file);
      if (!(error instanceof DecodeError || error instanceof RangeError)) throw error;
      throw new FanoutError('USAGE', `the record cannot be read: ${error.message}`, {
        hint: `Remove it: rm ${path}`,
      });
    }
  }

  close(): void {
    closeSync(this.file);
  }

  /** Plays the run for a renderer, as it was. */
  replay(renderer: Renderer): void {
    const nodes: string[] = [];
    let state = startRun(this.head.targets, this.head.timeoutMs, 0);
    const apply = (event: RunEvent, atMs: number, data?: Uint8Array): void => {
      if (state.phase === 'ended') return;
      state = reduceRun(state, event, atMs);
      renderer.event(state, event, data);
    };
    for (const block of blocksOf(this.file, fstatSync(this.file).size)) {
      const bytes = body(this.file, block);
      if (block.type === RecordType.node) nodes.push(utf8Text(bytes) ?? '?');
      if (block.type === RecordType.event) {
        const timed = attempt(() => decodeEvent(bytes));
        if (timed !== undefined) apply(timed.event, timed.atMs);
      }
      if (block.type === RecordType.output) {
        const output = attempt(() => decodeOutputHead(bytes));
        const node = output === undefined ? undefined : nodes[output.node];
        if (output === undefined || node === undefined) continue;
        const data = bytes.subarray(OUTPUT_HEAD_BYTES);
        apply({ kind: 'output', node, stream: output.stream, bytes: data.length }, output.atMs, data);
      }
    }
    if (state.phase !== 'ended') apply({ kind: 'agent-lost' }, 0);
    renderer.end(this.state);
  }

  private take(block: Block, nodes: readonly string[], state: RunState): RunState {
    if (block.type === RecordType.event) {
      const timed = attempt(() => decodeEvent(body(this.file, block)));
      return timed === undefined ? state : reduceRun(state, timed.event, timed.atMs);
    }
    if (block.type !== RecordType.output || block.length <= OUTPUT_HEAD_BYTES) return state;
    const bytes = body(this.file, block);
    const output = attempt(() => decodeOutputHead(bytes));
    const node = output === undefined ? undefined : nodes[output.node];
    if (output === undefined || node === undefined) return state;
    const data = bytes.subarray(OUTPUT_HEAD_BYTES);
    this.outputs.add(node, output.stream, { offset: block.offset + OUTPUT_HEAD_BYTES }, data);
    const event: RunEvent = { kind: 'output', node, stream: output.stream, bytes: data.length };
    return reduceRun(state, event, output.atMs);
  }
}

/** What had not ended when the recording did. */
function cutOff(state: RunState): RunState {
  return reduceRun(state, { kind: 'agent-lost' }, state.startedAt);
}

function attempt<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

/** The records of a file in order, up to the first that is not whole. */
function* blocksOf(file: number, size: number): Generator<Block> {
  for (let at = 0; at + RECORD_HEAD_BYTES <= size; ) {
    const head = read(file, at, RECORD_HEAD_BYTES);
    const length = readU32(head, 0);
    const offset = at + RECORD_HEAD_BYTES;
    if (length > RECORD_BYTES_MAX || offset + length > size) return;
    const type = head[4] ?? 0;
    yield { type, offset, length };
    if (type === RecordType.trailer) return;
    at = offset + length;
  }
}

function body(file: number, block: Block): Uint8Array {
  return read(file, block.offset, block.length);
}

function read(file: number, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; ) {
    const count = readSync(file, bytes, at, length - at, offset + at);
    if (count === 0) return bytes.subarray(0, at);
    at += count;
  }
  return bytes;
}

function readSummary(path: string, name: string): RecordedRun {
  const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const size = fstatSync(file).size;
    const [first] = blocksOf(file, size);
    if (first === undefined || first.type !== RecordType.head) throw new DecodeError('head', 'no recording');
    const id = FILE_NAME.exec(name)?.[1] ?? '';
    return { path, id, head: decodeHead(body(file, first)), trailer: trailerOf(file, size) };
  } finally {
    closeSync(file);
  }
}

function trailerOf(file: number, size: number): RunTrailer | undefined {
  if (size < 4 + RECORD_HEAD_BYTES) return undefined;
  const length = readU32(read(file, size - 4, 4), 0);
  const at = size - 4 - length - RECORD_HEAD_BYTES;
  if (at < 0) return undefined;
  const head = read(file, at, RECORD_HEAD_BYTES);
  if (readU32(head, 0) !== length || head[4] !== RecordType.trailer) return undefined;
  return attempt(() => decodeTrailer(read(file, at + RECORD_HEAD_BYTES, length)));
}

function fileNames(): string[] {
  try {
    return readdirSync(runsFolder())
      .filter((name) => FILE_NAME.test(name))
      .sort();
  } catch {
    return [];
  }
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'code' in error;
}
