import { concatBytes, EMPTY } from '../lib/bytes.ts';
import { DecodeError } from '../lib/errors.ts';
import { decodeValue, type MsgpackValue } from '../lib/msgpack.ts';
import { ValueScanner } from '../lib/msgpack-scanner.ts';

/**
 * Reads a sequence of msgpack values, as Serf's RPC sends them without any framing, from chunks as they come. Linear
 * time in total; holds one value and one chunk at most, however slowly the values are taken.
 */
export class ValueReader {
  private readonly maxBytes: number;
  private readonly maxValues: number | undefined;
  private buffer: Uint8Array = EMPTY;
  private used = 0;
  private length = 0;
  private scanner: ValueScanner;

  /** `maxBytes`, and `maxValues` of values within values, bound one value: a larger one is a DecodeError. */
  constructor(maxBytes: number, maxValues?: number) {
    this.maxBytes = maxBytes;
    this.maxValues = maxValues;
    this.scanner = this.scannerAt(0);
  }

  /** Takes the next bytes of the stream. Throws DecodeError when as much as a value may have is waiting already. */
  push(chunk: Uint8Array): void {
    if (this.length - this.used > this.maxBytes) {
      throw new DecodeError('backlog', `more than ${this.maxBytes} bytes wait to be read`);
    }
    if (this.used === this.length) {
      this.buffer = chunk;
      this.used = 0;
      this.length = chunk.length;
      this.scanner = this.scannerAt(0);
      return;
    }
    const needed = this.length + chunk.length;
    if (needed > this.buffer.length) {
      const grown = new Uint8Array(Math.max(2 * needed, 4096));
      grown.set(this.buffer.subarray(0, this.length));
      this.buffer = grown;
    }
    this.buffer.set(chunk, this.length);
    this.length = needed;
  }

  /** The next complete value, or undefined when more bytes are needed. Throws DecodeError. */
  next(): MsgpackValue | undefined {
    if (this.used === this.length) return undefined;
    const end = this.scanner.scan(this.buffer, this.length);
    if (end === undefined) return undefined;
    const { value } = decodeValue(concatBytes(this.buffer.subarray(this.used, end)), 0, this.maxValues);
    this.used = end;
    this.scanner = this.scannerAt(end);
    this.compact();
    return value;
  }

  /** What came after the last value that was taken: the start of whatever else the connection carries from here on. */
  takeRest(): Uint8Array {
    const rest = concatBytes(this.buffer.subarray(this.used, this.length));
    this.used = this.length;
    return rest;
  }

  /** Forgets what was read once it is most of the buffer, so that a long conversation does not pile up. */
  private compact(): void {
    if (this.used < this.length && this.used > this.buffer.length / 2) {
      this.buffer = concatBytes(this.buffer.subarray(this.used, this.length));
      this.length -= this.used;
      this.used = 0;
      this.scanner = this.scannerAt(0);
    }
  }

  private scannerAt(offset: number): ValueScanner {
    return new ValueScanner(offset, this.maxBytes, this.maxValues);
  }
}
