import { createHash } from 'node:crypto';
import { assert } from '../lib/assert.ts';
import { utf8, utf8Text } from '../lib/bytes.ts';

/** Longest line. Holds the longest argv (32 KiB) with every byte escaped, and room for the rest. */
export const LINE_BYTES_MAX = 256 * 1024;
/** The `prev` of the first line. */
const NO_LINE = '0'.repeat(64);
/** The first record of a file that goes on where a rotated one ends. */
export const CONTINUED = 'continued';
/** Fields that the log itself writes. */
const OWN_FIELDS = ['seq', 'prev', 'time', 'clock'];

type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue | undefined };

/**
 * What a record says. `id`, the request id in hexadecimal, is what `recentRequestIds` collects: a record with
 * it must be written before the command runs.
 */
export interface AuditFields {
  readonly event: string;
  readonly id?: string;
  readonly [field: string]: JsonValue | undefined;
}

/** The last record: whoever kept an earlier head can tell whether the log was rewritten. */
export interface AuditHead {
  /** 0 for an empty log. */
  readonly seq: number;
  /** SHA-256 of the line without its newline, in hexadecimal. */
  readonly hash: string;
}

/** A head with the time of its record: what the next record is built on. */
export interface ChainEnd extends AuditHead {
  readonly unixMs: number;
}

/** Where every chain begins. */
export const CHAIN_START: ChainEnd = { seq: 0, hash: NO_LINE, unixMs: 0 };

/** A line of a log as it was read. `fields` is everything in it, and nobody has vouched for its types. */
export interface AuditLine {
  readonly seq: number;
  readonly prev: string;
  readonly unixMs: number;
  readonly id: string | undefined;
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/**
 * The line that comes next in a chain, without its newline. Times never go back, so that the newest part of the
 * log can be found from its end; when the clock did go back, the record has both: `time`, and what the clock
 * showed in `clock`.
 */
export function nextLine(
  last: ChainEnd,
  fields: AuditFields,
  clockUnixMs: number,
): { line: Uint8Array; end: ChainEnd } {
  assert(
    !OWN_FIELDS.some((field) => field in fields),
    'a record leaves seq, prev, time and clock to the log',
  );
  const clock = Math.floor(clockUnixMs);
  const unixMs = Math.max(clock, last.unixMs);
  const seq = last.seq + 1;
  const record = {
    seq,
    prev: last.hash,
    time: new Date(unixMs).toISOString(),
    ...(clock < unixMs ? { clock: new Date(clock).toISOString() } : {}),
    ...fields,
  };
  const line = utf8(JSON.stringify(record));
  assert(line.length <= LINE_BYTES_MAX, 'an audit record fits its line');
  return { line, end: { seq, hash: sha256Hex(line), unixMs } };
}

/** Undefined for what is no record. */
export function parseAuditLine(bytes: Uint8Array): AuditLine | undefined {
  let value: unknown;
  try {
    value = JSON.parse(utf8Text(bytes) ?? '');
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const fields = Object.fromEntries(Object.entries(value));
  const { seq, prev, time, id, event } = fields;
  if (typeof seq !== 'number' || !Number.isSafeInteger(seq) || seq < 1) return undefined;
  if (typeof prev !== 'string' || !/^[0-9a-f]{64}$/.test(prev) || typeof time !== 'string') return undefined;
  const unixMs = Date.parse(time);
  if (Number.isNaN(unixMs)) return undefined;
  return {
    seq,
    prev,
    unixMs,
    id: typeof id === 'string' ? id : undefined,
    event: typeof event === 'string' ? event : '',
    fields,
  };
}

export function sha256Hex(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
