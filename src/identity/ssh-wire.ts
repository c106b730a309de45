import { concatBytes, readU32, writeU32 } from '../lib/bytes.ts';
import { DecodeError } from '../lib/errors.ts';

/** An SSH string (RFC 4251 section 5): u32 length, then the bytes. */
export function sshString(bytes: Uint8Array): Uint8Array {
  return concatBytes(sshU32(bytes.length), bytes);
}

/** An SSH uint32: big-endian. */
export function sshU32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  writeU32(bytes, 0, value);
  return bytes;
}

/**
 * Reads SSH wire data from front to back. Every read throws DecodeError('ssh-wire') where the bytes end too
 * early.
 */
export class SshReader {
  private readonly bytes: Uint8Array;
  private offset = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** A view of the next `length` bytes. */
  take(length: number): Uint8Array {
    if (this.bytes.length - this.offset < length) {
      throw new DecodeError('ssh-wire', `ends at byte ${this.bytes.length}, expected ${length} more`);
    }
    this.offset += length;
    return this.bytes.subarray(this.offset - length, this.offset);
  }

  u32(): number {
    return readU32(this.take(4), 0);
  }

  string(): Uint8Array {
    return this.take(this.u32());
  }

  /** What has not been read. */
  rest(): Uint8Array {
    return this.take(this.bytes.length - this.offset);
  }
}
