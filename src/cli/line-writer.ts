import { Sanitiser, SGR_RESET, sanitiseText } from './sanitise.ts';

/** Widest line on a terminal. Wider ones are no text for people, and scroll everything else away. */
export const LINE_COLUMNS_MAX = 4096;
/** Longest line on a terminal in UTF-16 units: combining marks and colours take no column, but memory. */
const LINE_UNITS_MAX = 4 * LINE_COLUMNS_MAX;
/** Columns that the widest character, a tab, can take. */
const CHARACTER_COLUMNS_MAX = 8;
const CUT_MARK = ` \u27e8cut at ${LINE_COLUMNS_MAX} columns\u27e9`;

/** How much of an unfinished line waits for its end. What is longer goes out in pieces, so that no line can fill the memory. */
export const HELD_BYTES_MAX = 64 * 1024;

const LF = 0x0a;
/** Below this a loop copies faster than a call. */
const SHORT_COPY_BYTES = 48;

export interface LineWriterOptions {
  /** Where the labelled lines go: whole lines, many at a time. */
  readonly write: (bytes: Uint8Array) => void;
  /** Lines for a terminal are cleaned and cut, others keep their bytes. */
  readonly isTerminal: boolean;
  readonly colours: boolean;
  /** SGR parameters of the labels, where colours are on. */
  readonly labelStyle: string;
}

/** One node's part: the line that it has not finished. */
interface NodeLines {
  push(data: Uint8Array): void;
  end(): void;
}

/**
 * Turns the streams of many nodes into lines `node: line` on one output. Lines are whole: those of different nodes do not
 * mix. A line longer than 64 KiB goes out in pieces instead of waiting; when another node's line comes in between, it is
 * broken there and goes on with its label.
 */
export class LineWriter {
  private readonly options: LineWriterOptions;
  private readonly nodes = new Map<string, NodeLines>();
  private readonly output: RawOutput;

  constructor(options: LineWriterOptions) {
    this.options = options;
    this.output = new RawOutput(options.write);
  }

  /** Takes bytes of a node's stream; `data` is not kept. */
  push(node: string, data: Uint8Array): void {
    let lines = this.nodes.get(node);
    if (lines === undefined) {
      lines = this.options.isTerminal
        ? new TerminalLines(node, this.options)
        : new RawLines(node, this.output);
      this.nodes.set(node, lines);
    }
    lines.push(data);
  }

  /** The node's stream is over: an unfinished line is written as if it had ended. */
  end(node: string): void {
    this.nodes.get(node)?.end();
    this.nodes.delete(node);
  }

  endAll(): void {
    for (const node of [...this.nodes.keys()]) this.end(node);
  }
}

/** An output that may stand in the middle of somebody's line. */
class RawOutput {
  private readonly write: (bytes: Uint8Array) => void;
  /** Whose line is open. */
  private owner: RawLines | undefined;

  constructor(write: (bytes: Uint8Array) => void) {
    this.write = write;
  }

  hasOpenLineOf(lines: RawLines): boolean {
    return this.owner === lines;
  }

  /** Writes what belongs to one node, from the start of a line or where its open line goes on. */
  put(lines: RawLines, bytes: Uint8Array, isOpen: boolean): void {
    if (this.owner !== undefined && this.owner !== lines) this.write(Uint8Array.of(LF));
    this.owner = isOpen ? lines : undefined;
    this.write(bytes);
  }
}

/** Lines whose bytes go through untouched. */
class RawLines implements NodeLines {
  private readonly label: Uint8Array;
  private readonly output: RawOutput;
  private held: Uint8Array[] = [];
  private heldBytes = 0;

  constructor(node: string, output: RawOutput) {
    this.label = Buffer.from(`${sanitiseText(node)}: `);
    this.output = output;
  }

  push(data: Uint8Array): void {
    const end = data.lastIndexOf(LF) + 1;
    if (end > 0) this.put(data.subarray(0, end), false);
    if (end === data.length) return;
    this.held.push(data.slice(end));
    this.heldBytes += data.length - end;
    if (this.heldBytes > HELD_BYTES_MAX) this.put(new Uint8Array(0), true);
  }

  end(): void {
    if (this.heldBytes > 0 || this.output.hasOpenLineOf(this)) this.put(Uint8Array.of(LF), false);
  }

  private put(data: Uint8Array, isOpen: boolean): void {
    const block = this.heldBytes === 0 ? data : Buffer.concat([...this.held, data]);
    this.held = [];
    this.heldBytes = 0;
    this.output.put(this, labelled(block, this.label, this.output.hasOpenLineOf(this)), isOpen);
  }
}

/** The block with the label before each line; before the first one not, when that goes on. */
function labelled(block: Uint8Array, label: Uint8Array, goesOn: boolean): Uint8Array {
  let lines = goesOn ? 0 : 1;
  for (let at = block.indexOf(LF); at >= 0 && at + 1 < block.length; at = block.indexOf(LF, at + 1)) lines++;
  const out = new Uint8Array(block.length + lines * label.length);
  let to = 0;
  let from = 0;
  if (!goesOn) to = copy(label, 0, label.length, out, to);
  while (from < block.length) {
    const found = block.indexOf(LF, from);
    const end = found < 0 ? block.length : found + 1;
    to = copy(block, from, end, out, to);
    if (end < block.length) to = copy(label, 0, label.length, out, to);
    from = end;
  }
  return out;
}

function copy(source: Uint8Array, from: number, end: number, out: Uint8Array, to: number): number {
  if (end - from > SHORT_COPY_BYTES) out.set(source.subarray(from, end), to);
  else for (let i = from, o = to; i < end; i++, o++) out[o] = source[i] as number;
  return to + end - from;
}

/** Lines as a terminal may get them. */
class TerminalLines implements NodeLines {
  private readonly write: (bytes: Uint8Array) => void;
  private readonly label: string;
  private readonly sanitiser: Sanitiser;
  private line = '';
  /** The line was cut: what comes until its end is left out. */
  private isCut = false;

  constructor(node: string, options: LineWriterOptions) {
    const label = sanitiseText(node);
    this.write = options.write;
    this.label = options.colours ? `\u001b[${options.labelStyle}m${label}:${SGR_RESET} ` : `${label}: `;
    this.sanitiser = new Sanitiser(options);
  }

  push(data: Uint8Array): void {
    this.put(this.sanitiser.push(data));
  }

  end(): void {
    this.put(this.sanitiser.end());
    if (this.line !== '') this.put('\n');
  }

  private put(text: string): void {
    const pieces = text.split('\n');
    const last = pieces.pop() ?? '';
    let lines = '';
    for (const piece of pieces) {
      this.append(piece);
      lines += `${this.label}${this.isCut ? this.line : cutLine(this.line)}\n`;
      this.line = '';
      this.isCut = false;
    }
    this.append(last);
    if (lines !== '') this.write(Buffer.from(lines));
  }

  private append(text: string): void {
    if (this.isCut) return;
    this.line += text;
    if (this.line.length <= LINE_UNITS_MAX) return;
    this.line = cutLine(this.line);
    this.isCut = true;
  }
}

const SEQUENCE = /\u001b\[[0-9;]*m/y;

/** The clean line, cut where it gets too wide or too long. Widths are estimated from above, so that it never is too wide. */
function cutLine(line: string): string {
  if (line.length * CHARACTER_COLUMNS_MAX <= LINE_COLUMNS_MAX) return line;
  let columns = 0;
  for (let at = 0; at < line.length; ) {
    let end = at + 1;
    const code = line.codePointAt(at) ?? 0;
    if (code === 0x1b) {
      SEQUENCE.lastIndex = at;
      SEQUENCE.test(line);
      end = SEQUENCE.lastIndex;
    } else {
      if (code > 0xffff) end++;
      columns += columnsOf(code);
    }
    if (columns > LINE_COLUMNS_MAX || end > LINE_UNITS_MAX) {
      const kept = line.slice(0, at);
      return kept + (kept.includes('\u001b') ? SGR_RESET : '') + CUT_MARK;
    }
    at = end;
  }
  return line;
}

/** East Asian wide characters begin with Hangul Jamo. */
function columnsOf(code: number): number {
  if (code === 0x09) return CHARACTER_COLUMNS_MAX;
  return code < 0x1100 ? 1 : 2;
}
