import { concatBytes, EMPTY, utf8Text } from '../lib/bytes.ts';

/** Longer than any passphrase that is taken: what is pasted by mistake must end as well. */
const LINE_BYTES_MAX = 4096;

const INTERRUPT = 0x03;
const END_OF_INPUT = 0x04;
const ESCAPE = 0x1b;
const ERASE_LINE = [0x15, 0x17];
const ERASE = [0x08, 0x7f];
const LINE_END = [0x0a, 0x0d];

/** A line that is typed without being shown, from a terminal in raw mode. */
export class PassphraseLine {
  private bytes: Uint8Array = EMPTY;
  /** What came behind the line end: the answer to the next question, when both were pasted. */
  rest: Uint8Array = EMPTY;

  /**
   * Takes what was typed. The line when Enter was, `interrupted` for Ctrl-C and for Ctrl-D on an empty line, `unreadable`
   * for what is no UTF-8 or too long, else undefined. Arrows and other keys that send an escape are ignored.
   */
  push(chunk: Uint8Array): { readonly text: string } | 'interrupted' | 'unreadable' | undefined {
    // A key comes in one piece, so what begins with an escape is one. Of a paste it would be the start of its marks.
    if (chunk[0] === ESCAPE) return undefined;
    for (const [at, byte] of chunk.entries()) {
      if (LINE_END.includes(byte)) {
        this.rest = chunk.slice(at + 1);
        const text = this.bytes.length > LINE_BYTES_MAX ? undefined : utf8Text(this.bytes);
        return text === undefined ? 'unreadable' : { text };
      }
      if (byte === INTERRUPT || (byte === END_OF_INPUT && this.bytes.length === 0)) return 'interrupted';
      this.edit(byte);
    }
    return undefined;
  }

  private edit(byte: number): void {
    if (ERASE_LINE.includes(byte)) this.bytes = EMPTY;
    else if (ERASE.includes(byte)) this.eraseCharacter();
    else if (byte >= 0x20 && this.bytes.length <= LINE_BYTES_MAX) {
      this.bytes = concatBytes(this.bytes, Uint8Array.of(byte));
    }
  }

  /** All bytes of the last UTF-8 character: those that continue it, and the one that begins it. */
  private eraseCharacter(): void {
    let end = this.bytes.length - 1;
    while (end > 0 && ((this.bytes[end] ?? 0) & 0xc0) === 0x80) end--;
    this.bytes = this.bytes.slice(0, Math.max(0, end));
  }
}
