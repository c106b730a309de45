import { assert } from '../lib/assert.ts';
import { readU16, writeU16 } from '../lib/bytes.ts';
import { DecodeError } from '../lib/errors.ts';
import { COMPOUND_PARTS_MAX } from './limits.ts';
import { MessageType } from './messages.ts';

/** Type byte and count. */
const HEADER_BYTES = 2;
const LENGTH_BYTES = 2;

/** Several messages in one: type, count, lengths, then the messages. */
export function encodeCompound(parts: readonly Uint8Array[]): Uint8Array {
  assert(parts.length > 0 && parts.length <= COMPOUND_PARTS_MAX, 'a compound has 1 to 127 parts');
  let at = HEADER_BYTES + LENGTH_BYTES * parts.length;
  const bytes = new Uint8Array(parts.reduce((total, part) => total + part.length, at));
  bytes[0] = MessageType.compound;
  bytes[1] = parts.length;
  for (const [index, part] of parts.entries()) {
    assert(part.length <= 0xffff, 'the length of a compound part has 16 bits');
    writeU16(bytes, HEADER_BYTES + LENGTH_BYTES * index, part.length);
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/**
 * The messages of a compound (views of its bytes). Parts that the bytes do not reach are lost and counted,
 * not an error: the ones before are good. Throws DecodeError('compound') when the table of lengths itself is
 * cut off.
 */
export function decodeCompound(bytes: Uint8Array): { parts: Uint8Array[]; truncated: number } {
  const count = bytes[1];
  if (count === undefined) throw new DecodeError('compound', 'compound without a count');
  let at = HEADER_BYTES + LENGTH_BYTES * count;
  if (bytes.length < at) throw new DecodeError('compound', `table of ${count} lengths is cut off`);
  const parts: Uint8Array[] = [];
  for (let index = 0; index < count; index++) {
    const end = at + readU16(bytes, HEADER_BYTES + LENGTH_BYTES * index);
    if (end > bytes.length) break;
    parts.push(bytes.subarray(at, end));
    at = end;
  }
  return { parts, truncated: count - parts.length };
}
