import { createHash } from 'node:crypto';
import { assert } from '../lib/assert.ts';
import { concatBytes, equalBytes, writeU32 } from '../lib/bytes.ts';
import { DecodeError } from '../lib/errors.ts';
import { encodeRpc } from '../lib/msgpack.ts';
import type { AuditHead } from './audit-record.ts';
import { BOX_KEY_BYTES, BOX_NONCE_BYTES, openBox } from './box.ts';
import { ED25519_KEY_BYTES, ED25519_SIGNATURE_BYTES, verifyEd25519 } from './ed25519.ts';
import { FrameBuffer, LENGTH_BYTES } from './frame-buffer.ts';
import { DIRECTIONS, FrameCipher, TAG_BYTES } from './frame-cipher.ts';
import { IDENTITY_BYTES, type NodeKey } from './node-key.ts';
import {
  ASKER_PLAINTEXT_BYTES_MAX,
  type AskerFrame,
  DATA_BYTES_MAX,
  decodeAskerFrame,
  decodeNodeFrame,
  type EndSummary,
  encodeAskerBody,
  encodeNodeFrame,
  FrameKind,
  headTuple,
  type NodeFrame,
} from './sealed-frames.ts';
import { NAMESPACES, sshsigPreimage } from './sshsig.ts';
import { decodeWhole, TupleReader } from './tuple.ts';

export type { AskerFrame, EndSummary, NodeFrame } from './sealed-frames.ts';

// The answer channel between one node and the asker of one run. The node's hello is a box from its own key to
// the run's one-time key; inside is a fresh secret, from which both derive the keys of the frames. So only
// the asker can read, and only the node can answer, and a frame of the asker that opens proves that the asker
// is there and wants the run.

/** Largest hello: keys, nonce and a box with a name need 500 bytes. */
const HELLO_BYTES_MAX = 4096;
/** Largest frame of a node: one data frame, and what encryption adds. */
const NODE_FRAME_BYTES_MAX = DATA_BYTES_MAX + 256;
const ASKER_FRAME_BYTES_MAX = ASKER_PLAINTEXT_BYTES_MAX + TAG_BYTES;
/** Frames of one asker on one channel: a day of holding three times a minute, and a person at the + key. */
const ASKER_FRAMES_MAX = 10_000;
const NODE_NAME_BYTES_MAX = 256;
const SECRET_BYTES = 32;
const UNIX_SECONDS_MAX = 2 ** 40;

/** Who answers. Compare `identity` with the pinned one before anything else is believed. */
export interface NodeHello {
  readonly kind: 'hello';
  readonly node: string;
  /** Ed25519 and X25519 public keys, 64 bytes. */
  readonly identity: Uint8Array;
  /** The node's clock. */
  readonly unixSeconds: number;
}

type Output = Extract<NodeFrame, { kind: 'stdout' | 'stderr' }>;
type End = Extract<NodeFrame, { kind: 'end' }>;

/** What a node may say next: verdict, then perhaps another one, then output, then nothing. */
type Stage = 'verdict' | 'waiting' | 'output' | 'over';

/** The stage after a frame, or undefined when the frame must not come at this stage. */
function nextStage(stage: Stage, kind: NodeFrame['kind']): Stage | undefined {
  if (stage === 'over') return undefined;
  if (kind === 'failed') return 'over';
  if (stage === 'verdict') return kind === 'accepted' ? 'waiting' : kind === 'denied' ? 'over' : undefined;
  // What was accepted may be refused when its turn comes: the policy can have changed meanwhile.
  if (stage === 'waiting' && kind === 'denied') return 'over';
  return kind === 'end' ? 'over' : kind === 'stdout' || kind === 'stderr' ? 'output' : undefined;
}

/** SHA-256 over all output in order, each frame as stream byte, u32 length, data; and how much it was. */
class OutputRecord {
  readonly bytes = { stdout: 0, stderr: 0 };
  private readonly hash = createHash('sha256');
  private readonly head = new Uint8Array(5);

  add(frame: Output): void {
    this.bytes[frame.kind] += frame.data.length;
    this.head[0] = FrameKind[frame.kind];
    writeU32(this.head, 1, frame.data.length);
    this.hash.update(this.head).update(frame.data);
  }

  /** Ends the record. */
  digest(): Uint8Array {
    return Uint8Array.from(this.hash.digest());
  }
}

function helloPreimage(hello: {
  requestId: Uint8Array;
  node: string;
  boxPublic: Uint8Array;
  secret: Uint8Array;
  unixSeconds: number;
}): Uint8Array {
  const { requestId, node, boxPublic, secret, unixSeconds } = hello;
  return sshsigPreimage(NAMESPACES.nodeHello, encodeRpc([requestId, node, boxPublic, secret, unixSeconds]));
}

function endPreimage(requestId: Uint8Array, node: string, end: Omit<End, 'signature' | 'kind'>): Uint8Array {
  const { code, signal, cause, limit = null, stdoutBytes, stderrBytes, outputHash, auditHead } = end;
  const outcome = [code, signal, cause, limit, stdoutBytes, stderrBytes, outputHash, ...headTuple(auditHead)];
  return sshsigPreimage(NAMESPACES.nodeEnd, encodeRpc([requestId, node, ...outcome]));
}

export interface NodeChannelOptions {
  readonly nodeName: string;
  readonly nodeKey: NodeKey;
  readonly requestId: Uint8Array;
  /** The X25519 key of the request. */
  readonly replyKey: Uint8Array;
  /** 32 and 24 random bytes, never used before: all the channel's keys and nonces hang on them. */
  readonly secret: Uint8Array;
  readonly nonce: Uint8Array;
  readonly unixSeconds: number;
}

/** The node's end. Send `hello`, then what `seal` and `sealEnd` return. */
export class NodeChannel {
  /** The first bytes on the stream. */
  readonly hello: Uint8Array;
  private readonly options: NodeChannelOptions;
  private readonly outgoing: FrameCipher;
  private readonly incoming: FrameCipher;
  private readonly buffer = new FrameBuffer();
  private readonly output = new OutputRecord();
  private stage: Stage = 'verdict';
  private heard: 'nothing' | 'go' | 'cancel' | 'broken' = 'nothing';
  private framesHeard = 0;
  private hash: Uint8Array | undefined;

  constructor(options: NodeChannelOptions) {
    assert(options.secret.length === SECRET_BYTES, 'a channel secret has 32 bytes');
    this.options = options;
    this.hello = encodeHello(options);
    this.outgoing = new FrameCipher(options.secret, options.requestId, DIRECTIONS.nodeToAsker);
    this.incoming = new FrameCipher(options.secret, options.requestId, DIRECTIONS.askerToNode);
  }

  /** SHA-256 over the output that was sealed. Ends the output: it is recorded before the end is sent. */
  endOutput(): Uint8Array {
    this.hash ??= this.output.digest();
    return this.hash;
  }

  /** The bytes of a frame. Output must have 1..65,536 bytes. Control characters in texts become blanks. */
  seal(frame: Exclude<NodeFrame, End>): Uint8Array {
    this.advance(frame.kind);
    if (frame.kind === 'stdout' || frame.kind === 'stderr') {
      const { length } = frame.data;
      assert(this.hash === undefined, 'output comes before its end');
      assert(length > 0 && length <= DATA_BYTES_MAX, 'output comes in chunks of 1 to 65536 bytes');
      this.output.add(frame);
    }
    const { kind, body } = encodeNodeFrame(frame);
    return this.outgoing.seal(kind, body);
  }

  /**
   * The bytes of the last frame: the summary, the hash over all output, and this node's signature over all of it.
   */
  sealEnd(summary: EndSummary, auditHead: AuditHead | null = null): Uint8Array {
    this.advance('end');
    const { bytes } = this.output;
    const { stdoutBytes, stderrBytes } = summary;
    assert(stdoutBytes >= bytes.stdout && stderrBytes >= bytes.stderr, 'a command wrote what was sent of it');
    const outputHash = this.endOutput();
    const durationMs = Math.max(0, Math.round(summary.durationMs));
    const end = { ...summary, durationMs, outputHash, auditHead };
    const { nodeKey, requestId, nodeName } = this.options;
    const signature = nodeKey.sign(endPreimage(requestId, nodeName, end));
    const { kind, body } = encodeNodeFrame({ kind: 'end', ...end, signature });
    return this.outgoing.seal(kind, body);
  }

  /**
   * Takes bytes from the asker: "hold" before "go", "go" once, "cancel" once and last, "deadline" anywhere before
   * that. Throws DecodeError when they are not from the asker or come in another order; the channel is then useless, for who
   * is there is not the asker.
   */
  receive(chunk: Uint8Array): AskerFrame[] {
    const frames: AskerFrame[] = [];
    if (this.heard === 'broken') throw new DecodeError('broken', 'the channel was broken before');
    try {
      const max = (): number => ASKER_FRAME_BYTES_MAX;
      this.buffer.push(chunk, max, (bytes) => frames.push(this.hear(bytes)));
    } catch (error) {
      this.heard = 'broken';
      throw error;
    }
    return frames;
  }

  private hear(bytes: Uint8Array): AskerFrame {
    const frame = decodeAskerFrame(this.incoming.open(bytes));
    const isLateHold = frame.kind === 'hold' && this.heard !== 'nothing';
    if (this.heard === 'cancel' || this.heard === frame.kind || isLateHold) {
      throw new DecodeError('order', `"${frame.kind}" after "${this.heard}"`);
    }
    if (++this.framesHeard > ASKER_FRAMES_MAX) throw new DecodeError('count', 'too many frames of one asker');
    if (frame.kind === 'go' || frame.kind === 'cancel') this.heard = frame.kind;
    return frame;
  }

  private advance(kind: NodeFrame['kind']): void {
    const next = nextStage(this.stage, kind);
    assert(next !== undefined, `a node sends no "${kind}" at stage "${this.stage}"`);
    this.stage = next;
  }
}

function encodeHello(options: NodeChannelOptions): Uint8Array {
  const { nodeName, nodeKey, requestId, replyKey, secret, nonce, unixSeconds } = options;
  const { boxPublic } = nodeKey;
  const signature = nodeKey.sign(
    helloPreimage({ requestId, node: nodeName, boxPublic, secret, unixSeconds }),
  );
  const inner = encodeRpc([1, requestId, nodeName, secret, unixSeconds, signature]);
  const box = nodeKey.box(inner, nonce, replyKey);
  const hello = concatBytes(new Uint8Array(LENGTH_BYTES), nodeKey.identity, nonce, box);
  assert(hello.length <= HELLO_BYTES_MAX, 'a node name is short');
  writeU32(hello, 0, hello.length - LENGTH_BYTES);
  return hello;
}

export interface AskerChannelOptions {
  readonly requestId: Uint8Array;
  /** The X25519 secret that belongs to the request's reply key. */
  readonly replySecret: Uint8Array;
}

/** What an asker learns from the stream of one node. */
export type AskerEvent = NodeHello | NodeFrame;

/** The asker's end. */
export class AskerChannel {
  private readonly options: AskerChannelOptions;
  private readonly buffer = new FrameBuffer();
  private readonly output = new OutputRecord();
  private stage: Stage | 'hello' | 'broken' = 'hello';
  private hello: NodeHello | undefined;
  private incoming: FrameCipher | undefined;
  private outgoing: FrameCipher | undefined;

  constructor(options: AskerChannelOptions) {
    this.options = options;
  }

  /**
   * Whether the answer is complete: `denied`, `failed` or `end` came. A stream that closes earlier was cut.
   */
  get isComplete(): boolean {
    return this.stage === 'over';
  }

  /**
   * Takes bytes from the node and gives what they hold, in order. Throws DecodeError when a byte was changed,
   * frames are missing, repeated or out of order, or the signature of the end does not hold; the channel is
   * then useless.
   */
  receive(chunk: Uint8Array): AskerEvent[] {
    if (this.stage === 'broken') throw new DecodeError('broken', 'the channel was broken before');
    const events: AskerEvent[] = [];
    try {
      const max = (): number => this.frameBytesMax();
      this.buffer.push(chunk, max, (bytes) => events.push(this.take(bytes)));
      if (this.isComplete && !this.buffer.isEmpty) throw afterEnd();
    } catch (error) {
      this.stage = 'broken';
      this.buffer.clear();
      throw error;
    }
    if (this.isComplete) this.buffer.clear();
    return events;
  }

  /** The bytes of a frame for the node. Only after its hello. */
  seal(frame: AskerFrame): Uint8Array {
    assert(this.outgoing !== undefined, 'an asker speaks after the hello');
    return this.outgoing.seal(FrameKind[frame.kind], encodeAskerBody(frame));
  }

  private frameBytesMax(): number {
    if (this.stage === 'over') throw afterEnd();
    return this.stage === 'hello' ? HELLO_BYTES_MAX - LENGTH_BYTES : NODE_FRAME_BYTES_MAX;
  }

  private take(bytes: Uint8Array): AskerEvent {
    if (this.stage === 'hello') return this.takeHello(bytes);
    assert(this.incoming !== undefined && this.stage !== 'broken', 'frames come after the hello');
    const frame = decodeNodeFrame(this.incoming.open(bytes));
    const next = nextStage(this.stage, frame.kind);
    if (next === undefined) throw new DecodeError('order', `"${frame.kind}" at stage "${this.stage}"`);
    if (frame.kind === 'stdout' || frame.kind === 'stderr') this.output.add(frame);
    if (frame.kind === 'end') this.checkEnd(frame);
    this.stage = next;
    return frame;
  }

  private takeHello(bytes: Uint8Array): NodeHello {
    const { requestId, replySecret } = this.options;
    const { identity, node, secret, unixSeconds } = decodeHello(bytes, requestId, replySecret);
    this.incoming = new FrameCipher(secret, requestId, DIRECTIONS.nodeToAsker);
    this.outgoing = new FrameCipher(secret, requestId, DIRECTIONS.askerToNode);
    this.hello = { kind: 'hello', node, identity, unixSeconds };
    this.stage = 'verdict';
    return this.hello;
  }

  private checkEnd(end: End): void {
    const { hello, output } = this;
    assert(hello !== undefined, 'an end comes after a hello');
    if (end.stdoutBytes < output.bytes.stdout || end.stderrBytes < output.bytes.stderr) {
      throw new DecodeError('totals', 'the node counts fewer bytes than it sent');
    }
    if (!equalBytes(output.digest(), end.outputHash)) {
      throw new DecodeError('output-hash', 'the output is not what the node says it sent');
    }
    const signPublic = hello.identity.subarray(0, ED25519_KEY_BYTES);
    const preimage = endPreimage(this.options.requestId, hello.node, end);
    if (!verifyEd25519(signPublic, preimage, end.signature)) {
      throw new DecodeError('signature', 'the end of the answer is not signed by the node');
    }
  }
}

function decodeHello(
  bytes: Uint8Array,
  requestId: Uint8Array,
  replySecret: Uint8Array,
): { identity: Uint8Array; node: string; secret: Uint8Array; unixSeconds: number } {
  const boxAt = IDENTITY_BYTES + BOX_NONCE_BYTES;
  if (bytes.length <= boxAt) throw new DecodeError('short', `a hello of ${bytes.length} bytes`);
  const identity = Uint8Array.from(bytes.subarray(0, IDENTITY_BYTES));
  const signPublic = identity.subarray(0, ED25519_KEY_BYTES);
  const boxPublic = identity.subarray(ED25519_KEY_BYTES, ED25519_KEY_BYTES + BOX_KEY_BYTES);
  const nonce = bytes.subarray(IDENTITY_BYTES, boxAt);
  const inner = openBox(bytes.subarray(boxAt), nonce, boxPublic, replySecret);
  if (inner === undefined) {
    throw new DecodeError('hello', 'the hello does not open: it was changed, or is for another request');
  }
  const tuple = TupleReader.of(decodeWhole(inner), 'hello', 6);
  tuple.integer('version', 1, 1);
  const id = tuple.bytes('request', requestId.length);
  const node = tuple.text('node', 1, NODE_NAME_BYTES_MAX);
  const secret = tuple.bytes('secret', SECRET_BYTES);
  const unixSeconds = tuple.integer('clock', 0, UNIX_SECONDS_MAX);
  const signature = tuple.bytes('signature', ED25519_SIGNATURE_BYTES);
  if (!equalBytes(id, requestId)) throw new DecodeError('hello', 'the hello is for another request');
  // The box proves the box key only. The signature ties the other key to it, before anybody pins the two.
  if (
    !verifyEd25519(signPublic, helloPreimage({ requestId, node, boxPublic, secret, unixSeconds }), signature)
  ) {
    throw new DecodeError('hello', 'the two keys of the node do not belong together');
  }
  return { identity, node, secret, unixSeconds };
}

function afterEnd(): DecodeError {
  return new DecodeError('order', 'bytes after the end');
}
