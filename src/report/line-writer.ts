import { EMPTY } from '../lib/bytes.ts';
import { Sanitiser, sanitiseText } from '../lib/sanitise.ts';

/** Widest line on a terminal. Wider ones are no text for people, and scroll everything else away. */
const LINE_COLUMNS_MAX = 4096;
/** Longest line on a terminal in UTF-16 units: combining marks and colours take no column, but memory. */
const LINE_UNITS_MAX = 4 * LINE_COLUMNS_MAX;
/** Columns that the widest character, a tab, can take. */
const CHARACTER_COLUMNS_MAX = 8;
const CUT_MARK = ` \u27e8cut at ${LINE_COLUMNS_MAX} columns; all of it with | cat\u27e9`;

/** How much of an unfinished line waits for its end. What is longer goes out in pieces, so that no line can fill the memory. */
const HELD_BYTES_MAX = 64 * 1024;
/** Many small pieces are as much of a burden as many bytes: they are joined. */
const HELD_PIECES_MAX = 1024;

const LF = 0x0a;
/** Below this a loop copies faster than a call. */
const SHORT_COPY_BYTES = 48;

/** Underlined, which no output of a node can be: a line that imitates a label does not look like one. */
const LABEL_STYLE = '\u001b[4m';
const SGR_RESET = '\u001b[0m';

export interface LineWriterOptions {
  /** Put before each line, such as `web1: `. */
  readonly label: string;
  /** `raw` keeps the bytes, for files and pipes; `plain` and `colour` clean and cut the lines for a terminal. */
  readonly mode: 'raw' | 'plain' | 'colour';
  /** Shared by all that write to the same place. */
  readonly output: LineOutput;
}

/**
 * One output that the lines of many nodes go to. Lines are whole: those of different nodes do not mix. Only when a line is
 * too long to wait for its end, and another one comes in between, it is broken there and goes on with its label.
 */
export class LineOutput {
  private readonly write: (bytes: Uint8Array) => void;
  /** Whose line is open. */
  private owner: LineWriter | undefined;

  constructor(write: (bytes: Uint8Array) => void) {
    this.write = write;
  }

  hasOpenLineOf(writer: LineWriter): boolean {
    return this.owner === writer;
  }

  /** Writes what belongs to one writer (none: our own lines), from the start of a line or where its open line goes on. */
  put(writer: LineWriter | undefined, bytes: Uint8Array, isOpen: boolean): void {
    if (this.owner !== undefined && this.owner !== writer) this.write(Uint8Array.of(LF));
    this.owner = isOpen ? writer : undefined;
    this.write(bytes);
  }
}

/** Turns one stream of a node into labelled lines. */
export class LineWriter {
  private readonly output: LineOutput;
  private readonly label: Uint8Array;
  private readonly lines: TerminalLines | undefined;
  private held: Uint8Array[] = [];
  private heldBytes = 0;

  constructor(options: LineWriterOptions) {
    const label = sanitiseText(options.label);
    this.output = options.output;
    this.label = Buffer.from(label);
    if (options.mode !== 'raw') this.lines = new TerminalLines(label, options.mode === 'colour');
  }

  /** Takes bytes of the stream; `data` is not kept. */
  push(data: Uint8Array): void {
    if (this.lines !== undefined) return this.show(this.lines.push(data));
    const end = data.lastIndexOf(LF) + 1;
    if (end > 0) this.put(data.subarray(0, end), false);
    if (end === data.length) return;
    this.held.push(Uint8Array.from(data.subarray(end)));
    this.heldBytes += data.length - end;
    if (this.heldBytes > HELD_BYTES_MAX) this.put(EMPTY, true);
    else if (this.held.length > HELD_PIECES_MAX) this.held = [Buffer.concat(this.held)];
  }

  /** The stream is over: an unfinished line is written as if it had ended. */
  end(): void {
    if (this.lines !== undefined) this.show(this.lines.end());
    else if (this.heldBytes > 0 || this.output.hasOpenLineOf(this)) this.put(Uint8Array.of(LF), false);
  }

  private show(lines: string): void {
    if (lines !== '') this.output.put(this, Buffer.from(lines), false);
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
class TerminalLines {
  private readonly label: string;
  /** Not fatal: what is no UTF-8 becomes U+FFFD, and with it every 8-bit control character. */
  private readonly decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  private readonly sanitiser: Sanitiser;
  private line = '';
  /** The line was cut: what comes until its end is left out. */
  private isCut = false;

  constructor(label: string, colours: boolean) {
    this.label = colours && label !== '' ? `${LABEL_STYLE}${label.trimEnd()}${SGR_RESET} ` : label;
    this.sanitiser = new Sanitiser(colours);
  }

  /** The lines that are complete. */
  push(data: Uint8Array): string {
    return this.take(this.sanitiser.push(this.decoder.decode(data, { stream: true })));
  }

  end(): string {
    const lines = this.take(this.sanitiser.push(this.decoder.decode()) + this.sanitiser.end());
    return this.line === '' ? lines : lines + this.take('\n');
  }

  private take(text: string): string {
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
    return lines;
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
