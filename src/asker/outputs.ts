import { createHash, type Hash } from 'node:crypto';
import { EMPTY } from '../lib/bytes.ts';
import { sanitiseText } from '../lib/sanitise.ts';

/** One line of what a node wrote, clean: nothing in it drives a terminal. */
export interface OutputLine {
  readonly stream: 'stdout' | 'stderr';
  readonly text: string;
}

/** Where the bytes of a chunk are: in a file, or in memory when they could not be written. */
export type Place = { readonly offset: number } | { readonly data: Uint8Array };

interface Chunk {
  readonly place: Place;
  readonly length: number;
  readonly stream: 'stdout' | 'stderr';
  /** Line ends before this chunk, and up to its end. A change of the stream ends a line as well. */
  readonly linesBefore: number;
  readonly linesAfter: number;
}

interface Node {
  readonly chunks: Chunk[];
  readonly bytes: { stdout: number; stderr: number };
  readonly hashes: { stdout?: Hash; stderr?: Hash };
  lines: number;
  /** The last chunk ended in the middle of a line. */
  isOpen: boolean;
  /** The start of the line that is open, and the last one that was not empty. */
  tail: Uint8Array;
  last: Uint8Array;
  digest: { readonly bytes: number; readonly text: string } | undefined;
}

const LF = 0x0a;
/** What of a line is read: a screen shows less, and a line without an end must not fill the memory. */
const LINE_BYTES_MAX = 16 * 1024;
const TAIL_BYTES_MAX = 256;
const TAB_COLUMNS = 8;
const CUT_MARK = ' \u27e8cut\u27e9';

/**
 * What the nodes of a run wrote: an index in memory, the bytes wherever `read` finds them. Any line of any node can be had
 * in the time that it takes to read one chunk.
 */
export class Outputs {
  private readonly nodes = new Map<string, Node>();
  private readonly readAt: (offset: number, length: number) => Uint8Array;
  private readonly settle: () => void;

  /** `settle` is called before every look: it brings what is still on its way into the index. */
  constructor(readAt: (offset: number, length: number) => Uint8Array, settle: () => void = () => {}) {
    this.readAt = readAt;
    this.settle = settle;
  }

  /** Takes a chunk that now lies at `place`. */
  add(node: string, stream: 'stdout' | 'stderr', place: Place, data: Uint8Array): void {
    const known = this.nodes.get(node) ?? newNode();
    this.nodes.set(node, known);
    const previous = known.chunks.at(-1);
    if (previous !== undefined && previous.stream !== stream && known.isOpen) endLine(known);
    const linesBefore = known.lines;
    known.lines += countLines(data);
    known.chunks.push({ place, length: data.length, stream, linesBefore, linesAfter: known.lines });
    known.isOpen = data[data.length - 1] !== LF;
    known.bytes[stream] += data.length;
    const hash = known.hashes[stream] ?? createHash('sha256');
    known.hashes[stream] = hash;
    hash.update(data);
    remember(known, data);
  }

  bytes(node: string): number {
    this.settle();
    const known = this.nodes.get(node);
    return known === undefined ? 0 : known.bytes.stdout + known.bytes.stderr;
  }

  /** The same exactly where stdout and stderr are. */
  digest(node: string): string {
    this.settle();
    const known = this.nodes.get(node);
    if (known === undefined) return '';
    const bytes = known.bytes.stdout + known.bytes.stderr;
    if (known.digest?.bytes === bytes) return known.digest.text;
    const { stdout, stderr } = known.hashes;
    const text = [stdout, stderr].map((hash) => hash?.copy().digest('base64') ?? '').join(' ');
    known.digest = { bytes, text };
    return text;
  }

  /** Lines so far; one that has not ended counts. */
  lineCount(node: string): number {
    this.settle();
    const known = this.nodes.get(node);
    return known === undefined ? 0 : known.lines + (known.isOpen ? 1 : 0);
  }

  /** The last line with something in it, cut short. */
  lastLine(node: string): string {
    this.settle();
    const known = this.nodes.get(node);
    if (known === undefined) return '';
    return cleanLine(known.tail.length > 0 ? known.tail : known.last);
  }

  /** Lines from a number on, counted from 0. */
  lines(node: string, from: number, count: number): OutputLine[] {
    this.settle();
    const known = this.nodes.get(node);
    if (known === undefined || count <= 0) return [];
    const lines: OutputLine[] = [];
    for (const { stream, bytes, isCut } of this.rawLines(known, Math.max(0, from))) {
      lines.push({ stream, text: cleanLine(bytes) + (isCut ? CUT_MARK : '') });
      if (lines.length >= count) break;
    }
    return lines;
  }

  /** Names of all that wrote something. */
  names(): string[] {
    this.settle();
    return [...this.nodes.keys()];
  }

  /** The chunks of one node in the order of their arrival. */
  *chunks(node: string): Generator<{
    readonly stream: 'stdout' | 'stderr';
    readonly data: Uint8Array;
    /** Lines that have ended before it. */
    readonly linesBefore: number;
  }> {
    this.settle();
    for (const chunk of this.nodes.get(node)?.chunks ?? []) {
      yield { stream: chunk.stream, data: this.data(chunk), linesBefore: chunk.linesBefore };
    }
  }

  /** The start of what a node wrote, as text. */
  text(node: string, lengthMax: number): string {
    const decoder = new TextDecoder();
    let text = '';
    for (const { data } of this.chunks(node)) {
      text += decoder.decode(data, { stream: true });
      if (text.length > lengthMax) return text.slice(0, lengthMax + 1);
    }
    return text + decoder.decode();
  }

  /**
   * Lines as bytes from one on. Of a line that is too long only the start is given; chunks that lie wholly within such a
   * line are not even read.
   */
  private *rawLines(
    node: Node,
    from: number,
  ): Generator<{ stream: 'stdout' | 'stderr'; bytes: Uint8Array; isCut: boolean }> {
    const { chunks } = node;
    let parts: Uint8Array[] = [];
    let length = 0;
    let isCut = false;
    let stream: 'stdout' | 'stderr' = 'stdout';
    let hasOpen = false;
    const take = () => {
      const line = { stream, bytes: joined(parts, length), isCut };
      [parts, length, isCut, hasOpen] = [[], 0, false, false];
      return line;
    };
    for (let i = chunkOfLine(chunks, from); i < chunks.length; i++) {
      const chunk = chunks[i] as Chunk;
      let at = chunk.linesBefore;
      if (hasOpen && chunk.stream !== stream) yield take();
      stream = chunk.stream;
      if (hasOpen && length >= LINE_BYTES_MAX && chunk.linesAfter === chunk.linesBefore) {
        isCut = true;
        continue;
      }
      const data = this.data(chunk);
      for (let start = 0; start < data.length; ) {
        const found = data.indexOf(LF, start);
        const end = found < 0 ? data.length : found;
        if (at >= from) {
          const room = LINE_BYTES_MAX - length;
          const piece = data.subarray(start, Math.min(end, start + room));
          isCut ||= end - start > room;
          parts.push(piece);
          length += piece.length;
          hasOpen = true;
          if (found >= 0) yield take();
        }
        if (found >= 0) at++;
        start = end + 1;
      }
    }
    if (hasOpen) yield take();
  }

  private data(chunk: Chunk): Uint8Array {
    return 'data' in chunk.place ? chunk.place.data : this.readAt(chunk.place.offset, chunk.length);
  }
}

function newNode(): Node {
  return {
    chunks: [],
    bytes: { stdout: 0, stderr: 0 },
    hashes: {},
    lines: 0,
    isOpen: false,
    tail: EMPTY,
    last: EMPTY,
    digest: undefined,
  };
}

function endLine(node: Node): void {
  node.lines++;
  node.isOpen = false;
  if (node.tail.length > 0) node.last = node.tail;
  node.tail = EMPTY;
}

function countLines(data: Uint8Array): number {
  let lines = 0;
  for (let i = 0; i < data.length; i++) if (data[i] === LF) lines++;
  return lines;
}

/** Keeps the line that is open, and the last one that was not empty. */
function remember(node: Node, data: Uint8Array): void {
  const end = data.lastIndexOf(LF);
  if (end < 0) {
    if (node.tail.length < TAIL_BYTES_MAX)
      node.tail = joined([node.tail, data.subarray(0, TAIL_BYTES_MAX)], TAIL_BYTES_MAX);
    return;
  }
  let stop = end;
  let start = data.lastIndexOf(LF, Math.max(0, stop - 1));
  if (stop === 0) start = -1;
  while (stop > 0 && start === stop - 1) {
    stop = start;
    start = stop === 0 ? -1 : data.lastIndexOf(LF, stop - 1);
  }
  const line = data.subarray(start + 1, Math.min(stop, start + 1 + TAIL_BYTES_MAX));
  const whole = start < 0 ? joined([node.tail, line], TAIL_BYTES_MAX) : Uint8Array.from(line);
  if (whole.length > 0) node.last = whole;
  node.tail = Uint8Array.from(data.subarray(end + 1, end + 1 + TAIL_BYTES_MAX));
}

/** The first chunk that holds a part of the line. */
function chunkOfLine(chunks: readonly Chunk[], line: number): number {
  let [low, high] = [0, chunks.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const chunk = chunks[middle] as Chunk;
    // A line begins in the chunk that ends the one before it; the first line in the first chunk.
    if (chunk.linesAfter >= line) high = middle;
    else low = middle + 1;
  }
  return low;
}

function joined(parts: readonly Uint8Array[], lengthMax: number): Uint8Array {
  const all = new Uint8Array(
    Math.min(
      lengthMax,
      parts.reduce((sum, part) => sum + part.length, 0),
    ),
  );
  let at = 0;
  for (const part of parts) {
    const piece = part.subarray(0, all.length - at);
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

function cleanLine(bytes: Uint8Array): string {
  const end = bytes[bytes.length - 1] === 0x0d ? bytes.length - 1 : bytes.length;
  const text = new TextDecoder().decode(bytes.subarray(0, end));
  return sanitiseText(text.includes('\t') ? expandTabs(text) : text);
}

function expandTabs(text: string): string {
  let line = '';
  for (const [i, part] of text.split('\t').entries()) {
    if (i > 0) line += ' '.repeat(TAB_COLUMNS - (line.length % TAB_COLUMNS));
    line += part;
  }
  return line;
}
