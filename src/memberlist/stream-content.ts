import { DecodeError } from '../lib/errors.ts';
import { decodeValue, Fields } from '../lib/msgpack.ts';
import { ValueScanner } from '../lib/msgpack-scanner.ts';
import { PUSH_PULL_NODES_MAX, STREAM_BYTES_MAX, STREAM_MAP_BYTES_MAX } from './limits.ts';
import { MessageType, readAbout, readAck, readErrorText, readName, readPing } from './messages.ts';
import type { PushPullNode, StreamMessage } from './stream.ts';

/** A message without the bytes that followed it, which only its reader's owner can know. */
export type Content = StreamMessage extends infer M
  ? M extends { rest: Uint8Array }
    ? Omit<M, 'rest'>
    : M
  : never;

/** What of a push/pull has been read. */
interface PushPullSoFar {
  readonly join: boolean;
  readonly nodeCount: number;
  readonly userStateBytes: number;
  readonly nodes: PushPullNode[];
  skipped: number;
}

/**
 * Reads one plain stream message (type byte and content) while it arrives. Plain streams have no length in
 * front: the end is where the last map, or what a header announced, ends. Nothing is looked at twice.
 */
export class ContentReader {
  /** Everything before this offset has been read. */
  private position = 1;
  private scanner: ValueScanner | undefined;
  private pushPull: PushPullSoFar | undefined;
  private userBytes: number | undefined;

  /** End of the message. Meaningful once `read` has returned it. */
  get end(): number {
    return this.position;
  }

  /**
   * The message, or undefined when the first `length` of `bytes` do not hold all of it. Call again with the
   * same bytes and more. Throws DecodeError: 'type' for a message that streams do not have, 'limit' above a
   * limit, else as its fields.
   */
  read(bytes: Uint8Array, length: number): Content | undefined {
    if (length === 0) return undefined;
    switch (bytes[0]) {
      case MessageType.pushPull:
        return this.readPushPull(bytes, length);
      case MessageType.user:
        return this.readUser(bytes, length);
      case MessageType.ping:
        return this.readMap(bytes, length, (fields) => ({ kind: 'ping', ...readPing(fields) }));
      case MessageType.ack:
        return this.readMap(bytes, length, (fields) => ({ kind: 'ack', ...readAck(fields) }));
      case MessageType.error:
        return this.readMap(bytes, length, (fields) => ({ kind: 'error', text: readErrorText(fields) }));
      case MessageType.fanout:
        return this.readMap(bytes, length, () => ({
          kind: 'fanout',
          body: bytes.subarray(1, this.position),
        }));
      default:
        throw new DecodeError('type', `message type ${bytes[0]} does not belong on a stream`);
    }
  }

  /** Reads a map at the position and moves behind it; undefined while it is incomplete. */
  private readMap<T>(bytes: Uint8Array, length: number, use: (fields: Fields) => T): T | undefined {
    this.scanner ??= new ValueScanner(this.position, STREAM_MAP_BYTES_MAX);
    const end = this.scanner.scan(bytes, length);
    if (end === undefined) return undefined;
    this.scanner = undefined;
    const { value } = decodeValue(bytes, this.position);
    this.position = end;
    return use(Fields.of(value));
  }

  /** Takes `count` bytes at the position; undefined while they are not all there. */
  private take(bytes: Uint8Array, length: number, count: number): Uint8Array | undefined {
    const from = this.position;
    if (length - from < count) return undefined;
    this.position += count;
    return bytes.subarray(from, this.position);
  }

  private readUser(bytes: Uint8Array, length: number): Content | undefined {
    this.userBytes ??= this.readMap(bytes, length, (fields) =>
      announced(fields, 'UserMsgLen', STREAM_BYTES_MAX),
    );
    if (this.userBytes === undefined) return undefined;
    const payload = this.take(bytes, length, this.userBytes);
    return payload === undefined ? undefined : { kind: 'user', payload };
  }

  private readPushPull(bytes: Uint8Array, length: number): Content | undefined {
    this.pushPull ??= this.readMap(bytes, length, readHeader);
    const state = this.pushPull;
    if (state === undefined) return undefined;
    while (state.nodes.length + state.skipped < state.nodeCount) {
      const entry = this.readMap(bytes, length, readNode);
      if (entry === undefined) return undefined;
      if (entry === 'unusable') state.skipped++;
      else state.nodes.push(entry);
    }
    const userState = this.take(bytes, length, state.userStateBytes);
    if (userState === undefined) return undefined;
    const { join, nodes, skipped } = state;
    return { kind: 'pushPull', join, nodes, userState, skipped };
  }
}

function readHeader(fields: Fields): PushPullSoFar {
  return {
    join: fields.bool('Join'),
    nodeCount: announced(fields, 'Nodes', PUSH_PULL_NODES_MAX),
    userStateBytes: announced(fields, 'UserStateLen', STREAM_BYTES_MAX),
    nodes: [],
    skipped: 0,
  };
}

/** A count or length that a header announces. */
function announced(fields: Fields, name: string, max: number): number {
  const value = fields.u32(name);
  if (value > max) throw new DecodeError('limit', `${name}: ${value} is above ${max}`);
  return value;
}

/**
 * One entry. An entry that no member can have is passed over: real peers hand on what they were told, and one
 * odd member must not keep everybody from joining.
 */
function readNode(fields: Fields): PushPullNode | 'unusable' {
  try {
    const state = fields.u8('State');
    if (state !== 0 && state !== 1 && state !== 2 && state !== 3) return 'unusable';
    return { name: readName(fields, 'Name'), ...readAbout(fields), state };
  } catch (error) {
    if (error instanceof DecodeError) return 'unusable';
    throw error;
  }
}
