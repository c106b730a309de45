import { assert } from '../lib/assert.ts';
import { DecodeError } from '../lib/errors.ts';

/**
 * LZW in the GIF flavour: least significant bit first, literals of 8 bits, codes of 9 to 12 bits, no early
 * change. It is what memberlist compresses with (Go's compress/lzw), and the output is the same byte for
 * byte.
 */

const CLEAR = 256;
const END = 257;
const WIDTH_START = 9;
const WIDTH_MAX = 12;
/** The encoder clears when this code would be assigned, one before the table is full. */
const CODE_MAX = 4095;

/** Hash slots for (prefix, byte) pairs: four for each code, so that chains stay short. */
const SLOTS = 1 << 14;
/**
 * Each slot is `pair << 12 | code`, and 0 when free (code 0 is never assigned). Reused: a call starts by
 * clearing it.
 */
const slots = new Uint32Array(SLOTS);

class BitWriter {
  private out: Uint8Array;
  private length = 0;
  private bits = 0;
  private bitCount = 0;

  constructor(expectedBytes: number) {
    this.out = new Uint8Array(expectedBytes);
  }

  write(code: number, width: number): void {
    this.bits |= code << this.bitCount;
    this.bitCount += width;
    while (this.bitCount >= 8) {
      this.byte(this.bits & 0xff);
      this.bits >>>= 8;
      this.bitCount -= 8;
    }
  }

  finish(): Uint8Array {
    if (this.bitCount > 0) this.byte(this.bits & 0xff);
    return this.out.slice(0, this.length);
  }

  private byte(byte: number): void {
    if (this.length === this.out.length) this.out = grown(this.out, 2 * this.length);
    this.out[this.length++] = byte;
  }
}

/** Compresses at least one byte. */
export function compressLzw(bytes: Uint8Array): Uint8Array {
  assert(bytes.length > 0, 'there is always a message to compress');
  const writer = new BitWriter((bytes.length >>> 1) + 16);
  let width = WIDTH_START;
  let high = END;
  let overflow = 1 << WIDTH_START;
  slots.fill(0);
  writer.write(CLEAR, width);
  /** Steps to the next code. True when the table is full: it was cleared, and the step assigns nothing. */
  const step = (): boolean => {
    high++;
    if (high === overflow) {
      width++;
      overflow <<= 1;
    }
    if (high < CODE_MAX) return false;
    writer.write(CLEAR, width);
    width = WIDTH_START;
    high = END;
    overflow = 1 << WIDTH_START;
    slots.fill(0);
    return true;
  };
  let current = bytes[0] as number;
  for (let i = 1; i < bytes.length; i++) {
    const byte = bytes[i] as number;
    const pair = (current << 8) | byte;
    let slot = ((pair >>> 12) ^ pair) & (SLOTS - 1);
    let entry = slots[slot] as number;
    while (entry !== 0 && entry >>> 12 !== pair) {
      slot = (slot + 1) & (SLOTS - 1);
      entry = slots[slot] as number;
    }
    if (entry !== 0) {
      current = entry & 0xfff;
      continue;
    }
    writer.write(current, width);
    current = byte;
    if (!step()) slots[slot] = ((pair << 12) | high) >>> 0;
  }
  writer.write(current, width);
  step();
  writer.write(END, width);
  return writer.finish();
}

/**
 * The decoder's table: what each code appends to, the byte that it appends, and the length of its expansion.
 */
const prefixes = new Uint16Array(1 << WIDTH_MAX);
const suffixes = new Uint8Array(1 << WIDTH_MAX);
const lengths = new Uint16Array(1 << WIDTH_MAX);
for (let literal = 0; literal < CLEAR; literal++) {
  suffixes[literal] = literal;
  lengths[literal] = 1;
}

/** Output that grows as it is written and never beyond a limit. */
class Expansion {
  private out: Uint8Array;
  private length = 0;
  private readonly maxBytes: number;

  constructor(expectedBytes: number, maxBytes: number) {
    this.out = new Uint8Array(Math.min(expectedBytes, maxBytes));
    this.maxBytes = maxBytes;
  }

  /**
   * Writes what a code stands for, followed by its first byte once more if `again`. Returns that first byte.
   */
  append(code: number, again: boolean): number {
    const length = lengths[code] as number;
    const end = this.length + length + (again ? 1 : 0);
    this.reserve(end);
    const { out } = this;
    let at = this.length + length;
    for (let rest = code; at > this.length; rest = prefixes[rest] as number)
      out[--at] = suffixes[rest] as number;
    const first = out[at] as number;
    if (again) out[end - 1] = first;
    this.length = end;
    return first;
  }

  finish(): Uint8Array {
    return this.out.subarray(0, this.length);
  }

  private reserve(bytes: number): void {
    if (bytes <= this.out.length) return;
    if (bytes > this.maxBytes)
      throw new DecodeError('decompress', `unpacks to more than ${this.maxBytes} bytes`);
    this.out = grown(this.out, Math.min(Math.max(2 * this.out.length, bytes), this.maxBytes));
  }
}

const NONE = -1;

/**
 * Expands LZW data, in time linear in what goes in and comes out. Throws DecodeError('decompress') on an
 * impossible code, on data that ends early, and as soon as the output would exceed `maxBytes`.
 */
export function decompressLzw(bytes: Uint8Array, maxBytes: number): Uint8Array {
  const output = new Expansion(4 * bytes.length, maxBytes);
  let width = WIDTH_START;
  let high = END;
  let last = NONE;
  let bits = 0;
  let bitCount = 0;
  for (const byte of bytes) {
    bits |= byte << bitCount;
    bitCount += 8;
    if (bitCount < width) continue;
    const code = bits & ((1 << width) - 1);
    bits >>>= width;
    bitCount -= width;
    if (code === END) return output.finish();
    if (code === CLEAR) {
      width = WIDTH_START;
      high = END;
      last = NONE;
      continue;
    }
    if (code > high) throw new DecodeError('decompress', `code ${code} is not assigned yet`);
    // The code about to be assigned stands for the last expansion and its own first byte.
    const isNext = code === high && last !== NONE;
    const first = isNext ? output.append(last, true) : output.append(code, false);
    if (last !== NONE) {
      prefixes[high] = last;
      suffixes[high] = first;
      lengths[high] = (lengths[last] as number) + 1;
    }
    last = code;
    high++;
    if (high < 1 << width) continue;
    if (width < WIDTH_MAX) {
      width++;
    } else {
      // The table is full: it stays as it is until a clear.
      last = NONE;
      high--;
    }
  }
  throw new DecodeError('decompress', 'the data ends before its end code');
}

function grown(bytes: Uint8Array, length: number): Uint8Array {
  const larger = new Uint8Array(length);
  larger.set(bytes);
  return larger;
}
