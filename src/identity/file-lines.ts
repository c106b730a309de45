import { readSync } from 'node:fs';
import { concatBytes, EMPTY } from '../lib/bytes.ts';

/** Bytes read at once. */
const BLOCK_BYTES = 64 * 1024;
const NEWLINE = 0x0a;

/** Stands for a line longer than the caller's limit: such a file is damaged, and must not fill the memory. */
export const TOO_LONG = Symbol('a line that is too long');

function readBlock(fd: number, position: number, length: number): Uint8Array {
  const block = new Uint8Array(length);
  let have = 0;
  while (have < length) {
    const count = readSync(fd, block, have, length - have, position + have);
    if (count === 0) return block.subarray(0, have);
    have += count;
  }
  return block;
}

/**
 * The lines of an open file from its start, without their newlines, and at the end whatever has none (EMPTY
 * if nothing). Never holds more than one line and one block. Ends after TOO_LONG.
 */
export function* linesForward(
  fd: number,
  maxBytes: number,
): Generator<{ line: Uint8Array | typeof TOO_LONG; isWhole: boolean }> {
  let carry: Uint8Array = EMPTY;
  for (let position = 0; ; ) {
    const block = readBlock(fd, position, BLOCK_BYTES);
    if (block.length === 0) break;
    position += block.length;
    let start = 0;
    for (let end = block.indexOf(NEWLINE); end !== -1; end = block.indexOf(NEWLINE, start)) {
      yield { line: concatBytes(carry, block.subarray(start, end)), isWhole: true };
      carry = EMPTY;
      start = end + 1;
    }
    carry = concatBytes(carry, block.subarray(start));
    if (carry.length > maxBytes) return yield { line: TOO_LONG, isWhole: false };
  }
  yield { line: carry, isWhole: false };
}

/**
 * The same from the end at offset `end` back to the start: first what follows the last newline (EMPTY if
 * nothing), then the whole lines, last one first.
 */
export function* linesBackward(
  fd: number,
  end: number,
  maxBytes: number,
): Generator<Uint8Array | typeof TOO_LONG> {
  let carry: Uint8Array = EMPTY;
  for (let position = end; position > 0; ) {
    const length = Math.min(BLOCK_BYTES, position);
    position -= length;
    const block = readBlock(fd, position, length);
    let stop = block.length;
    for (
      let at = block.lastIndexOf(NEWLINE);
      at !== -1;
      at = stop === 0 ? -1 : block.lastIndexOf(NEWLINE, stop - 1)
    ) {
      yield concatBytes(block.subarray(at + 1, stop), carry);
      carry = EMPTY;
      stop = at;
    }
    carry = concatBytes(block.subarray(0, stop), carry);
    if (carry.length > maxBytes) return yield TOO_LONG;
  }
  yield carry;
}
