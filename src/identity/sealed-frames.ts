import { assert, unreachable } from '../lib/assert.ts';
import { EMPTY, fromHex, readU32, toHex, utf8, utf8Text, writeU32 } from '../lib/bytes.ts';
import { DecodeError } from '../lib/errors.ts';
import { encodeRpc } from '../lib/msgpack.ts';
import type { AuditHead } from './audit-record.ts';
import { ED25519_SIGNATURE_BYTES } from './ed25519.ts';
import { decodeWhole, TupleReader } from './tuple.ts';

/** Most bytes of output in one frame. A pipe gives no more at once, and a tag per 64 KiB costs nothing. */
export const DATA_BYTES_MAX = 65_536;

/** Longest short text (rule, code, sandbox, signal) and long text (reason, hint, program) in bytes. */
const NAME_BYTES_MAX = 256;
const TEXT_BYTES_MAX = 4096;

/** Why a command is over. */
const END_CAUSES = ['exit', 'timeout', 'output-limit', 'cpu-limit', 'memory-limit', 'cancelled'] as const;
type EndCause = (typeof END_CAUSES)[number];

/** How a command ended, as the node's runner knows it. */
export interface EndSummary {
  readonly code: number | null;
  readonly signal: string | null;
  readonly cause: EndCause;
  /** What the policy gave it of what it used too much of: bytes of output or memory, milliseconds of processor time. */
  readonly limit?: number;
  readonly durationMs: number;
  /** Bytes that the command wrote: at least those that were sent, more when a limit cut them. */
  readonly stdoutBytes: number;
  readonly stderrBytes: number;
}

/**
 * The node's answers. `end` is the signed one: `outputHash` and `signature` are checked before it is given
 * out.
 */
export type NodeFrame =
  | {
      readonly kind: 'accepted';
      readonly rule: string;
      readonly program: string;
      readonly sandbox: string;
      readonly timeoutMs: number;
      readonly outputBytesMax: number;
      /** Whether the policy says of the rule that what it allows changes nothing. */
      readonly readOnly: boolean;
    }
  | { readonly kind: 'denied'; readonly code: string; readonly rule: string; readonly reason: string }
  | { readonly kind: 'failed'; readonly reason: string; readonly hint: string }
  | { readonly kind: 'stdout' | 'stderr'; readonly data: Uint8Array }
  | ({
      readonly kind: 'end';
      readonly outputHash: Uint8Array;
      /**
       * Where the node's audit log stands, the record of this end included; null when it has none. An asker that keeps
       * it notices at the next contact when the log was rewritten.
       */
      readonly auditHead: AuditHead | null;
      readonly signature: Uint8Array;
    } & EndSummary);

/**
 * The asker's word. `hold`: keep it, and do not start yet; `go`: run it; `deadline`: it may run this long from its start, as
 * far as the policy allows; `cancel`: stop it.
 */
export type AskerFrame =
  | { readonly kind: 'hold' }
  | { readonly kind: 'go' }
  | { readonly kind: 'deadline'; readonly timeoutMs: number }
  | { readonly kind: 'cancel' };

/** Largest plaintext of an asker's frame: kind and a time. */
export const ASKER_PLAINTEXT_BYTES_MAX = 5;

/** First byte of a frame's plaintext. */
export const FrameKind = {
  stdout: 1,
  stderr: 2,
  accepted: 16,
  denied: 17,
  failed: 18,
  end: 19,
  go: 32,
  cancel: 33,
  hold: 34,
  deadline: 35,
} as const;

/** The plaintext of a frame: kind byte and body, apart so that output is not copied. */
export function encodeNodeFrame(frame: NodeFrame): { kind: number; body: Uint8Array } {
  const kind = FrameKind[frame.kind];
  switch (frame.kind) {
    case 'stdout':
    case 'stderr':
      return { kind, body: frame.data };
    case 'accepted': {
      const { timeoutMs, outputBytesMax, readOnly } = frame;
      const names = [name(frame.rule), text(frame.program), name(frame.sandbox)];
      return { kind, body: encodeRpc([...names, timeoutMs, outputBytesMax, readOnly]) };
    }
    case 'denied':
      return { kind, body: encodeRpc([name(frame.code), name(frame.rule), text(frame.reason)]) };
    case 'failed':
      return { kind, body: encodeRpc([text(frame.reason), text(frame.hint)]) };
    case 'end': {
      const { code, signal, cause, durationMs, stdoutBytes, stderrBytes, outputHash, signature } = frame;
      const counts = [frame.limit ?? null, durationMs, stdoutBytes, stderrBytes];
      const head = headTuple(frame.auditHead);
      return { kind, body: encodeRpc([code, signal, cause, ...counts, outputHash, ...head, signature]) };
    }
    default:
      return unreachable(frame);
  }
}

/** Reads the plaintext of a node's frame. Output is a view of it. Throws DecodeError. */
export function decodeNodeFrame(plaintext: Uint8Array): NodeFrame {
  const body = plaintext.subarray(1);
  switch (plaintext[0]) {
    case FrameKind.stdout:
      return { kind: 'stdout', data: checkData(body) };
    case FrameKind.stderr:
      return { kind: 'stderr', data: checkData(body) };
    case FrameKind.accepted: {
      const tuple = TupleReader.of(decodeWhole(body), 'accepted', 6);
      return {
        kind: 'accepted',
        rule: tuple.text('rule', 0, NAME_BYTES_MAX),
        program: tuple.text('program', 0, TEXT_BYTES_MAX),
        sandbox: tuple.text('sandbox', 0, NAME_BYTES_MAX),
        timeoutMs: tuple.integer('timeout', 0, Number.MAX_SAFE_INTEGER),
        outputBytesMax: tuple.integer('output limit', 0, Number.MAX_SAFE_INTEGER),
        readOnly: tuple.bool('read only'),
      };
    }
    case FrameKind.denied: {
      const tuple = TupleReader.of(decodeWhole(body), 'denied', 3);
      return {
        kind: 'denied',
        code: tuple.text('code', 0, NAME_BYTES_MAX),
        rule: tuple.text('rule', 0, NAME_BYTES_MAX),
        reason: tuple.text('reason', 0, TEXT_BYTES_MAX),
      };
    }
    case FrameKind.failed: {
      const tuple = TupleReader.of(decodeWhole(body), 'failed', 2);
      const reason = tuple.text('reason', 0, TEXT_BYTES_MAX);
      return { kind: 'failed', reason, hint: tuple.text('hint', 0, TEXT_BYTES_MAX) };
    }
    case FrameKind.end:
      return decodeEnd(body);
    default:
      throw new DecodeError('kind', `no frame of a node is of kind ${plaintext[0]}`);
  }
}

function decodeEnd(body: Uint8Array): NodeFrame {
  const tuple = TupleReader.of(decodeWhole(body), 'end', 11);
  const code = tuple.integerOrNull('exit code', 0, 255);
  const signal = tuple.textOrNull('signal', 1, NAME_BYTES_MAX);
  const cause = asCause(tuple.text('cause', 1, NAME_BYTES_MAX));
  const limit = tuple.integerOrNull('limit', 0, Number.MAX_SAFE_INTEGER);
  return {
    kind: 'end',
    code,
    signal,
    cause,
    ...(limit === null ? {} : { limit }),
    durationMs: tuple.integer('duration', 0, Number.MAX_SAFE_INTEGER),
    stdoutBytes: tuple.integer('stdout bytes', 0, Number.MAX_SAFE_INTEGER),
    stderrBytes: tuple.integer('stderr bytes', 0, Number.MAX_SAFE_INTEGER),
    outputHash: tuple.bytes('output hash', 32),
    auditHead: readHead(tuple),
    signature: tuple.bytes('signature', ED25519_SIGNATURE_BYTES),
  };
}

/** A head as two values of a message: number 0 stands for none. */
export function headTuple(head: AuditHead | null): [seq: number, hash: Uint8Array] {
  if (head === null) return [0, EMPTY];
  const hash = fromHex(head.hash);
  assert(hash?.length === 32 && head.seq > 0, 'a head has a number and a SHA-256');
  return [head.seq, hash];
}

function readHead(tuple: TupleReader): AuditHead | null {
  const seq = tuple.integer('audit record', 0, Number.MAX_SAFE_INTEGER);
  const hash = tuple.bytes('audit hash', seq === 0 ? 0 : 32);
  return seq === 0 ? null : { seq, hash: toHex(hash) };
}

/** The longest time that a deadline can say, in milliseconds. */
export const DEADLINE_MS_MAX = 0xffff_ffff;

/** The plaintext of an asker's frame behind its kind byte. A deadline is a whole number up to `DEADLINE_MS_MAX`. */
export function encodeAskerBody(frame: AskerFrame): Uint8Array {
  if (frame.kind !== 'deadline') return EMPTY;
  const { timeoutMs } = frame;
  assert(timeoutMs === timeoutMs >>> 0, 'a deadline is a whole number of 32 bits');
  const body = new Uint8Array(4);
  writeU32(body, 0, timeoutMs);
  return body;
}

/** Reads the plaintext of the asker's frame. Throws DecodeError. */
export function decodeAskerFrame(plaintext: Uint8Array): AskerFrame {
  const kind = plaintext[0];
  const length = kind === FrameKind.deadline ? ASKER_PLAINTEXT_BYTES_MAX : 1;
  if (plaintext.length !== length) {
    throw new DecodeError('field', `${plaintext.length} bytes, must be ${length}`);
  }
  if (kind === FrameKind.go) return { kind: 'go' };
  if (kind === FrameKind.cancel) return { kind: 'cancel' };
  if (kind === FrameKind.hold) return { kind: 'hold' };
  if (kind === FrameKind.deadline) return { kind: 'deadline', timeoutMs: readU32(plaintext, 1) };
  throw new DecodeError('kind', `no frame of an asker is of kind ${kind}`);
}

function checkData(data: Uint8Array): Uint8Array {
  if (data.length === 0 || data.length > DATA_BYTES_MAX) {
    throw new DecodeError('field', `output: ${data.length} bytes, must be 1 to ${DATA_BYTES_MAX}`);
  }
  return data;
}

function asCause(word: string): EndCause {
  const cause = END_CAUSES.find((known) => known === word);
  if (cause === undefined) throw new DecodeError('field', `cause: unknown word ${JSON.stringify(word)}`);
  return cause;
}

function name(value: string): string {
  return plainText(value, NAME_BYTES_MAX);
}

function text(value: string): string {
  return plainText(value, TEXT_BYTES_MAX);
}

/**
 * The text as the other side accepts it: control characters become blanks and what is too long is cut. A
 * reason often quotes the system or a file, and an answer must not be lost for what a reason contains.
 */
function plainText(value: string, maxBytes: number): string {
  const bytes = utf8(value.replace(/\p{Cc}/gu, ' '));
  let end = Math.min(bytes.length, maxBytes);
  // A byte 10xxxxxx continues a character, which must not be cut in two.
  while (end < bytes.length && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return utf8Text(bytes.subarray(0, end)) ?? '';
}
