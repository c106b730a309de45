import * as v from 'valibot';
import { concatBytes, readU32, utf8, utf8Text, writeU32 } from '../lib/bytes.ts';
import { DecodeError } from '../lib/errors.ts';
import type { RunEvent } from '../run/model.ts';

// A recording is one file that only grows: records of u32 length, type byte and body. A process that dies in the middle of
// a record leaves everything before it readable.

/** Largest record: one block of output and its head, or a head with twenty thousand targets. */
export const RECORD_BYTES_MAX = 8 * 1024 * 1024;
export const RECORD_HEAD_BYTES = 5;
export const OUTPUT_HEAD_BYTES = 9;

export const RecordType = { head: 1, event: 2, output: 3, node: 4, trailer: 5 } as const;

const name = v.pipe(v.string(), v.maxLength(256));
const text = v.pipe(v.string(), v.maxLength(8192));
const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const moment = v.pipe(v.number(), v.finite());
const code = v.nullable(v.pipe(v.number(), v.integer()));

const headSchema = v.object({
  version: v.literal(1),
  id: v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/)),
  argv: v.pipe(v.array(v.string()), v.minLength(1)),
  selector: v.string(),
  targets: v.array(name),
  timeoutMs: moment,
  unixMs: moment,
  environment: v.string(),
});

/** What is known of a run when it begins. */
export type RunHeadRecord = Omit<v.InferOutput<typeof headSchema>, 'version'>;

const trailerSchema = v.object({
  exit: count,
  durationMs: moment,
  counts: v.record(v.string(), count),
});

/** What came of a run, at the very end of the file so that a list of runs reads nothing else. */
export type RunTrailer = v.InferOutput<typeof trailerSchema>;

const eventSchema = v.variant('kind', [
  v.object({ kind: v.literal('acked'), node: name }),
  v.object({
    kind: v.literal('accepted'),
    node: name,
    rule: text,
    program: text,
    sandbox: text,
    firstSeen: v.boolean(),
    readOnly: v.boolean(),
    limitMs: moment,
  }),
  v.object({ kind: v.literal('started'), node: name }),
  v.object({ kind: v.literal('allowed'), node: name }),
  v.object({
    kind: v.literal('ended'),
    node: name,
    code,
    signal: v.nullable(text),
    cause: v.picklist(['exit', 'timeout', 'output-limit', 'cpu-limit', 'memory-limit', 'cancelled']),
    limit: v.exactOptional(count),
    durationMs: moment,
    stdoutBytes: count,
    stderrBytes: count,
    auditProblem: v.optional(text),
  }),
  v.object({ kind: v.literal('denied'), node: name, code: text, rule: text, reason: text }),
  v.object({ kind: v.literal('failed'), node: name, reason: text, hint: text }),
  v.object({ kind: v.literal('untrusted'), node: name, reason: text }),
  v.object({ kind: v.literal('disconnected'), node: name }),
  v.object({
    kind: v.literal('member'),
    node: name,
    status: v.picklist(['none', 'alive', 'leaving', 'left', 'failed']),
  }),
  v.object({ kind: v.literal('joined-late'), node: name }),
  v.object({ kind: v.literal('cancel'), node: name }),
  v.object({ kind: v.literal('cancel-over'), node: name }),
  v.object({ kind: v.literal('interrupt') }),
  v.object({ kind: v.literal('timeout') }),
  v.object({ kind: v.literal('grace-over') }),
  v.object({ kind: v.literal('agent-lost') }),
  v.object({ kind: v.literal('halt'), reason: text }),
  v.object({ kind: v.literal('deadline'), timeoutMs: moment }),
]);
const timedEventSchema = v.object({ atMs: moment, event: eventSchema });

/** A moment of a run that carries no output. */
export interface TimedEvent {
  readonly atMs: number;
  readonly event: Exclude<RunEvent, { kind: 'output' }>;
}

export function encodeRecord(type: number, body: Uint8Array): Uint8Array {
  const head = new Uint8Array(RECORD_HEAD_BYTES);
  writeU32(head, 0, body.length);
  head[4] = type;
  return concatBytes(head, body);
}

export function encodeJson(value: unknown): Uint8Array {
  return utf8(JSON.stringify(value));
}

/** The head of an output record, in front of the data: time, node, stream. */
export function encodeOutputHead(atMs: number, node: number, stream: 'stdout' | 'stderr'): Uint8Array {
  const head = new Uint8Array(OUTPUT_HEAD_BYTES);
  writeU32(head, 0, Math.min(Math.max(0, Math.round(atMs)), 0xffff_ffff));
  writeU32(head, 4, node);
  head[8] = stream === 'stdout' ? 1 : 2;
  return head;
}

/** Throws DecodeError. */
export function decodeOutputHead(body: Uint8Array): {
  atMs: number;
  node: number;
  stream: 'stdout' | 'stderr';
} {
  if (body.length < OUTPUT_HEAD_BYTES) throw new DecodeError('output', 'an output record is too short');
  const stream = body[8] === 1 ? 'stdout' : body[8] === 2 ? 'stderr' : undefined;
  if (stream === undefined) throw new DecodeError('output', 'an output record names no stream');
  return { atMs: readU32(body, 0), node: readU32(body, 4), stream };
}

/** Throws DecodeError. */
export function decodeHead(body: Uint8Array): RunHeadRecord {
  return checked(headSchema, body, 'head');
}

/** Throws DecodeError. */
export function decodeTrailer(body: Uint8Array): RunTrailer {
  return checked(trailerSchema, body, 'trailer');
}

/** Throws DecodeError. */
export function decodeEvent(body: Uint8Array): TimedEvent {
  return checked(timedEventSchema, body, 'event');
}

function checked<TSchema extends v.GenericSchema>(
  schema: TSchema,
  body: Uint8Array,
  what: string,
): v.InferOutput<TSchema> {
  let value: unknown;
  try {
    value = JSON.parse(utf8Text(body) ?? '');
  } catch {
    throw new DecodeError(what, `the ${what} is no JSON`);
  }
  const result = v.safeParse(schema, value);
  if (!result.success) throw new DecodeError(what, `the ${what} is broken: ${result.issues[0].message}`);
  return result.output;
}
