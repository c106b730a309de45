import { DecodeError } from './errors.ts';

/** Containers within containers. Serf's messages need four; deeper input is an attack on somebody's stack. */
const DEPTH_MAX = 16;
/**
 * Values, containers included, in one top-level value. It bounds the memory that a decoded value takes (a
 * one-byte value becomes an object of a hundred bytes). A Serf state of 60,000 members fits.
 */
const VALUES_MAX = 2 ** 17;

/**
 * Finds the end of one value while its bytes still arrive. What was looked at once is not looked at again.
 */
export class ValueScanner {
  private readonly start: number;
  private readonly maxBytes: number;
  private readonly maxValues: number;
  private position: number;
  private values = 0;
  private depth = 0;
  /** Values still to come at each depth; a map counts twice its pairs. */
  private readonly pending: number[] = [];

  constructor(offset: number, maxBytes: number = Number.POSITIVE_INFINITY, maxValues: number = VALUES_MAX) {
    this.start = offset;
    this.position = offset;
    this.maxBytes = maxBytes;
    this.maxValues = maxValues;
  }

  /**
   * End offset of the value, or undefined when the first `length` of `bytes` do not hold all of it yet. Call
   * again with more bytes after the same ones. Throws DecodeError('msgpack') as scanValue does.
   */
  scan(bytes: Uint8Array, length: number = bytes.length): number | undefined {
    while (this.position < length) {
      const head = bytes[this.position] as number;
      const header = headerBytes(head);
      if (header === 0)
        throw new DecodeError('msgpack', `byte 0x${head.toString(16)} starts no value that is used here`);
      if (this.position + header > length) return undefined;
      const end = this.position + header + dataBytes(bytes, this.position, head);
      if (end - this.start > this.maxBytes)
        throw new DecodeError('msgpack', `value above ${this.maxBytes} bytes`);
      if (end > length) return undefined;
      const children = childCount(bytes, this.position, head);
      this.position = end;
      if (++this.values + children > this.maxValues)
        throw new DecodeError('msgpack', `more than ${this.maxValues} values`);
      if (children > 0) this.enter(children);
      else if (this.leave()) return end;
    }
    return undefined;
  }

  private enter(children: number): void {
    if (this.depth === DEPTH_MAX) throw new DecodeError('msgpack', `nested deeper than ${DEPTH_MAX} levels`);
    this.pending[this.depth++] = children;
  }

  /** Counts one finished value; true when nothing is open any more. */
  private leave(): boolean {
    while (this.depth > 0) {
      const left = (this.pending[this.depth - 1] as number) - 1;
      this.pending[this.depth - 1] = left;
      if (left > 0) return false;
      this.depth--;
    }
    return true;
  }
}

/**
 * Length of a token's type and length bytes (for fixed-size tokens: of all of it); 0 when no token starts so.
 */
export function headerBytes(head: number): number {
  if (head < 0xc0 || head >= 0xe0) return 1;
  return HEADER_BYTES[head - 0xc0] as number;
}

// Extension types (0xc7 to 0xc9, 0xd4 to 0xd8) and the unassigned 0xc1 are in no message of Serf's.
const HEADER_BYTES = [
  1, 0, 1, 1, 2, 3, 5, 0, 0, 0, 5, 9, 2, 3, 5, 9, 2, 3, 5, 9, 0, 0, 0, 0, 0, 2, 3, 5, 3, 5, 3, 5,
];

/** Bytes of a string or byte string after its header. The header is known to be there. */
export function dataBytes(bytes: Uint8Array, at: number, head: number): number {
  if (head >= 0xa0 && head < 0xc0) return head - 0xa0;
  if (head === 0xc4 || head === 0xd9) return bytes[at + 1] as number;
  if (head === 0xc5 || head === 0xda) return big16(bytes, at + 1);
  if (head === 0xc6 || head === 0xdb) return big16(bytes, at + 1) * 0x10000 + big16(bytes, at + 3);
  return 0;
}

/** Values inside a container: elements, or keys and values. The header is known to be there. */
function childCount(bytes: Uint8Array, at: number, head: number): number {
  if (head >= 0x80 && head < 0x90) return 2 * (head - 0x80);
  if (head >= 0x90 && head < 0xa0) return head - 0x90;
  if (head === 0xdc) return big16(bytes, at + 1);
  if (head === 0xde) return 2 * big16(bytes, at + 1);
  if (head === 0xdd) return big16(bytes, at + 1) * 0x10000 + big16(bytes, at + 3);
  if (head === 0xdf) return 2 * (big16(bytes, at + 1) * 0x10000 + big16(bytes, at + 3));
  return 0;
}

function big16(bytes: Uint8Array, at: number): number {
  return (bytes[at] as number) * 256 + (bytes[at + 1] as number);
}
