import { assert } from '../lib/assert.ts';
import { concatBytes, EMPTY, readU32, writeU32 } from '../lib/bytes.ts';
import { DecodeError } from '../lib/errors.ts';
import { encodeGossip } from '../lib/msgpack.ts';
import { ValueScanner } from '../lib/msgpack-scanner.ts';
import { decodeCompress, encodeCompress } from './compress.ts';
import { ENVELOPE_BYTES, openEnvelope, sealEnvelope } from './envelope.ts';
import type { Keyring } from './keyring.ts';
import { STREAM_BYTES_MAX } from './limits.ts';
import { type Ack, type Alive, MessageType, orNil, type Ping } from './messages.ts';
import { type Content, ContentReader } from './stream-content.ts';

/** One entry of a push/pull. */
export interface PushPullNode extends Omit<Alive, 'node'> {
  readonly name: string;
  /** 0 alive, 1 suspect, 2 dead (failed), 3 left. */
  readonly state: 0 | 1 | 2 | 3;
}

/** One member's whole view of the cluster. */
export interface PushPull {
  /**
   * The exchange comes from a join, not from periodic anti-entropy. An answer repeats what the request said.
   */
  readonly join: boolean;
  readonly nodes: readonly PushPullNode[];
  /** What the layer above has to tell; empty for nothing. */
  readonly userState: Uint8Array;
}

/** What a stream can say, once its layers are off. */
export type StreamMessage =
  /** `skipped` counts entries that no member can have; they are not among `nodes`. */
  | ({ readonly kind: 'pushPull'; readonly skipped: number } & PushPull)
  | ({ readonly kind: 'ping' } & Ping)
  | ({ readonly kind: 'ack' } & Ack)
  | { readonly kind: 'user'; readonly payload: Uint8Array }
  | { readonly kind: 'error'; readonly text: string }
  /** `body` is one msgpack map. `rest` is what came after the message, with the same chunks. */
  | { readonly kind: 'fanout'; readonly body: Uint8Array; readonly rest: Uint8Array };

/** Type byte and length of an encrypted stream message; also what its encryption authenticates. */
const ENCRYPT_HEADER_BYTES = 5;

/** A plain message; pass it to sealStream. */
export function encodePushPull(exchange: PushPull): Uint8Array {
  const { join, nodes, userState } = exchange;
  const header = { Join: join, Nodes: nodes.length, UserStateLen: userState.length };
  const parts = [encodeGossip(header, MessageType.pushPull), ...nodes.map(encodeNode), userState];
  const message = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    message.set(part, at);
    at += part.length;
  }
  return message;
}

function encodeNode(node: PushPullNode): Uint8Array {
  const { addr, incarnation, meta, name, port, state, vsn } = node;
  return encodeGossip({
    Addr: addr,
    Incarnation: incarnation,
    Meta: orNil(meta),
    Name: name,
    Port: port,
    State: state,
    Vsn: orNil(vsn),
  });
}

/** A message of the layer above, as it goes on a stream; pass it to sealStream. */
export function encodeUserStream(payload: Uint8Array): Uint8Array {
  return concatBytes(encodeGossip({ UserMsgLen: payload.length }, MessageType.user), payload);
}

/** Opens a fanout stream. `body` is one msgpack map; pass the result to sealStream, uncompressed. */
export function encodeFanoutHello(body: Uint8Array): Uint8Array {
  return concatBytes(Uint8Array.of(MessageType.fanout), body);
}

/**
 * A plain message as it goes over TCP. With compression on it is always compressed, as real peers do on
 * streams.
 */
export function sealStream(
  message: Uint8Array,
  options: { compress: boolean; keyring: Keyring | undefined; nonce: () => Uint8Array },
): Uint8Array {
  const plain = options.compress ? encodeCompress(message) : message;
  if (options.keyring === undefined) return plain;
  const header = new Uint8Array(ENCRYPT_HEADER_BYTES);
  header[0] = MessageType.encrypt;
  writeU32(header, 1, ENVELOPE_BYTES + plain.length);
  return concatBytes(header, sealEnvelope(options.keyring.primary, plain, options.nonce(), header));
}

/**
 * Reads the one message of a stream from its chunks, as they come. The result does not depend on where chunks
 * are cut (but for `rest`). Memory is bounded by what has arrived, never by what was announced.
 */
export class StreamReader {
  private readonly keyring: Keyring | undefined;
  private readonly content = new ContentReader();
  /** Ends a compress message that arrives in clear. */
  private readonly compressScanner = new ValueScanner(1, STREAM_BYTES_MAX);
  /** The first `length` bytes are what has arrived. */
  private buffer: Uint8Array = EMPTY;
  private length = 0;
  private isDone = false;

  constructor(keyring: Keyring | undefined) {
    this.keyring = keyring;
  }

  /**
   * Takes the next bytes; returns the message when it is complete, undefined when more is needed. Not to be
   * called again after it returned a message or threw. Throws DecodeError. A real peer expects to be told
   * (encodeError) of 'encryption-missing', 'encryption-unexpected', 'decrypt' and 'decompress'; after all
   * others, just close.
   */
  push(chunk: Uint8Array): StreamMessage | undefined {
    assert(!this.isDone, 'a stream carries one message');
    this.append(chunk);
    if (this.length === 0) return undefined;
    this.isDone = true;
    const message = this.read();
    if (message !== undefined) return message;
    if (this.length > STREAM_BYTES_MAX) {
      throw new DecodeError('limit', `message above ${STREAM_BYTES_MAX} bytes`);
    }
    this.isDone = false;
    return undefined;
  }

  private append(chunk: Uint8Array): void {
    const length = this.length + chunk.length;
    if (this.length === 0) {
      // Most messages come in one piece. A plain view even when the chunk is a Buffer, whose slice() would
      // not copy.
      this.buffer = new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length);
    } else {
      if (length > this.buffer.length) {
        const larger = new Uint8Array(2 * length);
        larger.set(this.buffer.subarray(0, this.length));
        this.buffer = larger;
      }
      this.buffer.set(chunk, this.length);
    }
    this.length = length;
  }

  private read(): StreamMessage | undefined {
    const type = this.buffer[0];
    if (type === MessageType.label)
      throw new DecodeError('label', 'the stream belongs to a labelled cluster');
    if (this.keyring !== undefined) {
      if (type !== MessageType.encrypt) {
        throw new DecodeError('encryption-missing', 'the peer does not encrypt, but this cluster does');
      }
      return this.readEncrypted(this.keyring);
    }
    if (type === MessageType.encrypt) {
      throw new DecodeError('encryption-unexpected', 'the peer encrypts, but no key is configured here');
    }
    return type === MessageType.compress ? this.readCompressed() : this.readClear();
  }

  private readEncrypted(keyring: Keyring): StreamMessage | undefined {
    if (this.length < ENCRYPT_HEADER_BYTES) return undefined;
    const bytes = readU32(this.buffer, 1);
    if (bytes > STREAM_BYTES_MAX) {
      throw new DecodeError('decrypt', `encrypted message of ${bytes} bytes, above ${STREAM_BYTES_MAX}`);
    }
    const end = ENCRYPT_HEADER_BYTES + bytes;
    if (this.length < end) return undefined;
    const header = this.buffer.subarray(0, ENCRYPT_HEADER_BYTES);
    const plain = open(keyring, this.buffer.subarray(ENCRYPT_HEADER_BYTES, end), header);
    const message = plain[0] === MessageType.compress ? decodeCompress(plain, STREAM_BYTES_MAX) : plain;
    return this.withRest(readWhole(message), end);
  }

  private readCompressed(): StreamMessage | undefined {
    const end = scanCompress(this.compressScanner, this.buffer, this.length);
    if (end === undefined) return undefined;
    return this.withRest(readWhole(decodeCompress(this.buffer.subarray(0, end), STREAM_BYTES_MAX)), end);
  }

  private readClear(): StreamMessage | undefined {
    const content = this.content.read(this.buffer, this.length);
    return content === undefined ? undefined : this.withRest(content, this.content.end);
  }

  private withRest(content: Content, end: number): StreamMessage {
    return content.kind === 'fanout' ? { ...content, rest: this.buffer.subarray(end, this.length) } : content;
  }
}

/** A message that is all there. */
function readWhole(bytes: Uint8Array): Content {
  const content = new ContentReader().read(bytes, bytes.length);
  if (content === undefined) throw new DecodeError('incomplete', 'the message inside ends early');
  return content;
}

/** Whatever is wrong with an envelope is told to the peer as one thing. */
function open(keyring: Keyring, envelope: Uint8Array, header: Uint8Array): Uint8Array {
  try {
    return openEnvelope(keyring.keys, envelope, header);
  } catch (error) {
    throw error instanceof DecodeError ? new DecodeError('decrypt', error.message) : error;
  }
}

function scanCompress(scanner: ValueScanner, bytes: Uint8Array, length: number): number | undefined {
  try {
    return scanner.scan(bytes, length);
  } catch (error) {
    throw error instanceof DecodeError ? new DecodeError('decompress', error.message) : error;
  }
}
