import { DecodeError } from '../lib/errors.ts';
import { decodeValue, encodeGossip, Fields } from '../lib/msgpack.ts';
import { compressLzw, decompressLzw } from './lzw.ts';
import { MessageType } from './messages.ts';

/** The only algorithm that memberlist knows. */
const ALGO_LZW = 0;

/** A message inside a compress message. */
export function encodeCompress(message: Uint8Array): Uint8Array {
  return encodeGossip({ Algo: ALGO_LZW, Buf: compressLzw(message) }, MessageType.compress);
}

/**
 * The message inside a compress message. Throws DecodeError('decompress') on anything wrong, also when it
 * unpacks to more than `maxBytes`.
 */
export function decodeCompress(bytes: Uint8Array, maxBytes: number): Uint8Array {
  return decompressLzw(compressedBytes(bytes), maxBytes);
}

function compressedBytes(bytes: Uint8Array): Uint8Array {
  try {
    const fields = Fields.of(decodeValue(bytes, 1).value);
    if (fields.u32('Algo') === ALGO_LZW) return fields.bytes('Buf');
  } catch (error) {
    if (error instanceof DecodeError) throw new DecodeError('decompress', error.message);
    throw error;
  }
  throw new DecodeError('decompress', 'Algo: an unknown compression algorithm');
}
