import { crc32 } from 'node:zlib';
import { EMPTY, readU32, writeU32 } from '../lib/bytes.ts';
import { DecodeError } from '../lib/errors.ts';
import { decodeCompound } from './compound.ts';
import { decodeCompress, encodeCompress } from './compress.ts';
import { ENVELOPE_BYTES, openEnvelope, sealEnvelope } from './envelope.ts';
import type { Keyring } from './keyring.ts';
import { NESTING_MAX, PACKET_PLAIN_BYTES_MAX } from './limits.ts';
import { MessageType } from './messages.ts';

/**
 * Budget of a packet, everything but the CRC header included: memberlist's UDPBufferSize. It fits a 1500-byte
 * frame.
 */
export const PACKET_BYTES_MAX = 1400;

/** Type byte and checksum. */
const CRC_HEADER_BYTES = 5;

/** What encryption adds to a packet. */
export function packetOverhead(keyring: Keyring | undefined): number {
  return keyring === undefined ? 0 : ENVELOPE_BYTES;
}

/** One message (a compound, if several) as the datagram that carries it. */
export function sealPacket(
  message: Uint8Array,
  options: { compress: boolean; crc: boolean; keyring: Keyring | undefined; nonce: () => Uint8Array },
): Uint8Array {
  const packed = options.compress ? smaller(message) : message;
  const checked = options.crc ? withCrc(packed) : packed;
  if (options.keyring === undefined) return checked;
  return sealEnvelope(options.keyring.primary, checked, options.nonce(), EMPTY);
}

function smaller(message: Uint8Array): Uint8Array {
  const compressed = encodeCompress(message);
  return compressed.length < message.length ? compressed : message;
}

function withCrc(message: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(CRC_HEADER_BYTES + message.length);
  bytes[0] = MessageType.crc;
  writeU32(bytes, 1, crc32(message));
  bytes.set(message, CRC_HEADER_BYTES);
  return bytes;
}

/** Messages found so far, and what may still be unpacked. */
interface Unpacking {
  readonly messages: Uint8Array[];
  truncated: number;
  bytesLeft: number;
}

/**
 * The plain messages inside a datagram (views of it where nothing was packed), in order, with every layer
 * off. `truncated` counts the parts of compounds that are lost: cut off, or packed in a way that cannot be
 * undone. Throws DecodeError when nothing can be had of the datagram at all.
 */
export function openPacket(
  datagram: Uint8Array,
  keyring: Keyring | undefined,
): { messages: Uint8Array[]; truncated: number } {
  if (datagram.length === 0) throw new DecodeError('empty', 'an empty datagram');
  // A plain view even when the datagram is a Buffer, whose slice() would not copy.
  let bytes = new Uint8Array(datagram.buffer, datagram.byteOffset, datagram.length);
  if (bytes[0] === MessageType.label)
    throw new DecodeError('label', 'the packet belongs to a labelled cluster');
  if (keyring !== undefined) bytes = openEnvelope(keyring.keys, bytes, EMPTY);
  const unpacking: Unpacking = { messages: [], truncated: 0, bytesLeft: PACKET_PLAIN_BYTES_MAX };
  unpack(checkCrc(bytes), 0, unpacking);
  return { messages: unpacking.messages, truncated: unpacking.truncated };
}

/** The header counts only here, on the outermost plaintext. */
function checkCrc(bytes: Uint8Array): Uint8Array {
  if (bytes[0] !== MessageType.crc || bytes.length < CRC_HEADER_BYTES) return bytes;
  const message = bytes.subarray(CRC_HEADER_BYTES);
  if (crc32(message) !== readU32(bytes, 1)) throw new DecodeError('crc', 'the checksum does not match');
  return message;
}

function unpack(message: Uint8Array, depth: number, unpacking: Unpacking): void {
  const type = message[0];
  if (type !== MessageType.compound && type !== MessageType.compress) {
    unpacking.messages.push(message);
    return;
  }
  if (depth === NESTING_MAX)
    throw new DecodeError('nesting', `messages within messages, ${NESTING_MAX} deep`);
  if (type === MessageType.compress) {
    unpack(decompress(message, unpacking), depth + 1, unpacking);
    return;
  }
  const { parts, truncated } = decodeCompound(message);
  unpacking.truncated += truncated;
  for (const part of parts) unpackPart(part, depth + 1, unpacking);
}

function decompress(message: Uint8Array, unpacking: Unpacking): Uint8Array {
  const allowed = unpacking.bytesLeft;
  // Spent until proven otherwise: a compound of bombs costs as much as one of them.
  unpacking.bytesLeft = 0;
  const inner = decodeCompress(message, allowed);
  unpacking.bytesLeft = allowed - inner.length;
  return inner;
}

/** One broken part does not take its neighbours with it. */
function unpackPart(part: Uint8Array, depth: number, unpacking: Unpacking): void {
  try {
    unpack(part, depth, unpacking);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    unpacking.truncated++;
  }
}
