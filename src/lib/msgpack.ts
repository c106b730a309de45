import { Decoder, Encoder } from '@msgpack/msgpack';
import { EMPTY, utf8Text } from './bytes.ts';
import { DecodeError } from './errors.ts';
import { dataBytes, headerBytes, ValueScanner } from './msgpack-scanner.ts';

/**
 * Msgpack as Serf speaks it. A library encodes and decodes; this file bounds what it is given and bends its
 * output to the dialect of Go's old encoder.
 */

/**
 * A decoded value. Every str, raw and bin is a Uint8Array that views the input. Integers beyond 2^53 come as the
 * nearest double, which no integer field of `Fields` accepts. Read maps with `Fields` or textMapOf: the key `__proto__`
 * stands in them under an alias.
 */
export type MsgpackValue =
  | null
  | boolean
  | number
  | Uint8Array
  | readonly MsgpackValue[]
  | { readonly [key: string]: MsgpackValue };

/** What can be encoded. Fields that are undefined are left out. Integers must be safe integers. */
export type Encodable =
  | null
  | undefined
  | boolean
  | number
  | string
  | Uint8Array
  | readonly Encodable[]
  | { readonly [key: string]: Encodable };

/**
 * End offset of the value that starts at `offset`, or undefined when the bytes end before it does. Allocates
 * nothing from a claimed length. Throws DecodeError('msgpack') on a byte that cannot start a value, on
 * extension types, on nesting deeper than 16, on more than 131,072 values, and on a value longer than
 * `maxBytes`.
 */
export function scanValue(bytes: Uint8Array, offset: number, maxBytes?: number): number | undefined {
  return new ValueScanner(offset, maxBytes).scan(bytes);
}

/**
 * The library refuses maps with this key, because assigning it would change an object's prototype. A member
 * or tag may be called so, and one odd name must not make a whole state unreadable: such keys get an alias
 * that no UTF-8 yields.
 */
const PROTO = '__proto__';
const PROTO_ALIAS = '\ud800__proto__';

/**
 * Field names recur in every message. Direct-mapped, so a flood of new names costs decoding, never memory.
 */
const KEY_CACHE_SLOTS = 512;
const KEY_CACHE_BYTES_MAX = 24;
const keyCache: ({ readonly bytes: Uint8Array; readonly text: string } | undefined)[] = new Array(
  KEY_CACHE_SLOTS,
);

function keyText(input: Uint8Array, offset: number, length: number): string {
  if (length > KEY_CACHE_BYTES_MAX) return strictKey(input.subarray(offset, offset + length));
  let hash = length;
  for (let i = 0; i < length; i++) hash = (hash * 31 + (input[offset + i] as number)) & 0xffffff;
  const cached = keyCache[hash % KEY_CACHE_SLOTS];
  if (cached !== undefined && matches(cached.bytes, input, offset, length)) return cached.text;
  const bytes = new Uint8Array(input.subarray(offset, offset + length));
  const text = strictKey(bytes);
  keyCache[hash % KEY_CACHE_SLOTS] = { bytes, text };
  return text;
}

function matches(known: Uint8Array, input: Uint8Array, offset: number, length: number): boolean {
  if (known.length !== length) return false;
  for (let i = 0; i < length; i++) if (known[i] !== input[offset + i]) return false;
  return true;
}

function strictKey(bytes: Uint8Array): string {
  const text = utf8Text(bytes);
  if (text === undefined) throw new DecodeError('msgpack', 'a map key is not valid UTF-8');
  return text === PROTO ? PROTO_ALIAS : text;
}

const decoder = new Decoder({
  rawStrings: true,
  keyDecoder: { canBeCached: () => true, decode: keyText },
  mapKeyConverter: (key) => {
    if (typeof key === 'string') return key;
    if (key instanceof Uint8Array) return strictKey(key);
    throw new DecodeError('msgpack', 'a map key is not a string');
  },
});

/**
 * Decodes one value at `offset`; the bytes after it are the caller's. Throws DecodeError('msgpack') as
 * scanValue does, and also when the value is incomplete. `maxValues` is for input from a source that is trusted with more.
 */
export function decodeValue(
  bytes: Uint8Array,
  offset: number = 0,
  maxValues?: number,
): { value: MsgpackValue; end: number } {
  const end = new ValueScanner(offset, undefined, maxValues).scan(bytes);
  if (end === undefined) throw new DecodeError('msgpack', 'the bytes end inside a value');
  // A plain view even when the input is a Buffer, whose slice() would not copy.
  const slice = new Uint8Array(bytes.buffer, bytes.byteOffset + offset, end - offset);
  return { value: decoder.decode(slice) as MsgpackValue, end };
}

const rpcEncoder = new Encoder({ sortKeys: true, ignoreUndefined: true });
const floatEncoder = new Encoder({ sortKeys: true, ignoreUndefined: true, forceIntegerToFloat: true });

/**
 * Encodes for the agent's RPC: strings as str (str8 included), byte strings as bin, keys sorted. (Sorted as
 * UTF-16, which is the byte order for all but exotic names. No decoder minds the order.)
 */
export function encodeRpc(value: Encodable): Uint8Array {
  return new Uint8Array(rpcEncoder.encodeSharedRef(value));
}

/**
 * Encodes for gossip, as Go's old encoder does: strings and byte strings alike in the raw family, without
 * str8 and bin; keys sorted. `type` is a message's type byte, put in front.
 */
export function encodeGossip(value: Encodable, type?: number): Uint8Array {
  return oldRaw(rpcEncoder.encodeSharedRef(value), type);
}

/** As encodeGossip, with every number as float64: what Go does with float fields, whole numbers included. */
export function encodeGossipFloats(value: Encodable, type?: number): Uint8Array {
  return oldRaw(floatEncoder.encodeSharedRef(value), type);
}

let scratch = new Uint8Array(4096);

/** Rewrites the headers of strings and byte strings to the old raw family, in one pass over the tokens. */
function oldRaw(bytes: Uint8Array, type: number | undefined): Uint8Array {
  // Only strings of 32 to 255 bytes grow, by one byte each.
  const room = bytes.length + (bytes.length >>> 5) + 8;
  if (scratch.length < room) scratch = new Uint8Array(2 * room);
  const out = scratch;
  let to = 0;
  if (type !== undefined) out[to++] = type;
  let at = 0;
  while (at < bytes.length) {
    const head = bytes[at] as number;
    const header = headerBytes(head);
    const data = dataBytes(bytes, at, head);
    const from = at + header;
    const isText = (head >= 0xc4 && head <= 0xc6) || (head >= 0xd9 && head <= 0xdb);
    if (isText) to = writeRawHeader(out, to, data);
    else for (let i = at; i < from; i++) out[to++] = bytes[i] as number;
    at = from + data;
    if (data > 64) {
      out.set(bytes.subarray(from, at), to);
      to += data;
    } else {
      for (let i = from; i < at; i++) out[to++] = bytes[i] as number;
    }
  }
  return out.slice(0, to);
}

function writeRawHeader(out: Uint8Array, at: number, length: number): number {
  if (length < 32) {
    out[at] = 0xa0 + length;
    return at + 1;
  }
  let to = at;
  if (length < 0x10000) {
    out[to++] = 0xda;
  } else {
    out[to++] = 0xdb;
    out[to++] = length >>> 24;
    out[to++] = length >>> 16;
  }
  out[to++] = length >>> 8;
  out[to++] = length;
  return to;
}

type Decoded = Readonly<Record<string, MsgpackValue>>;
const NOTHING: Decoded = {};

/**
 * Reads the fields of a decoded map by Serf's rules: nil or missing is the zero value, unknown keys are
 * skipped, any number that fits will do. Every method throws DecodeError('field', 'NAME: what is wrong') on a
 * value of another kind.
 */
export class Fields {
  private readonly record: Decoded;

  private constructor(record: Decoded) {
    this.record = record;
  }

  /** Fields of a map; of nil: all zero. */
  static of(value: MsgpackValue): Fields {
    if (value === null) return new Fields(NOTHING);
    if (!isMap(value)) throw new DecodeError('field', 'a map was expected');
    return new Fields(value);
  }

  has(name: string): boolean {
    return this.value(name) !== null;
  }

  /** Strict UTF-8. */
  text(name: string): string {
    const value = this.value(name);
    return value === null ? '' : textOf(value, name);
  }

  bytes(name: string): Uint8Array {
    return this.bytesOrNull(name) ?? EMPTY;
  }

  bytesOrNull(name: string): Uint8Array | null {
    const value = this.value(name);
    if (value === null || value instanceof Uint8Array) return value;
    throw wrong(name, 'is not a byte string');
  }

  bool(name: string): boolean {
    const value = this.value(name);
    if (value === null || value === false || value === 0) return false;
    if (value === true || value === 1) return true;
    throw wrong(name, 'is not a boolean');
  }

  u8(name: string): number {
    return this.integer(name, 0xff);
  }

  u16(name: string): number {
    return this.integer(name, 0xffff);
  }

  u32(name: string): number {
    return this.integer(name, 0xffffffff);
  }

  /** At most 2^53 - 1: what is larger on the wire is refused, not rounded. */
  u64(name: string): number {
    return this.integer(name, Number.MAX_SAFE_INTEGER);
  }

  /** A signed integer, such as a duration in ns, clamped to the safe integers. */
  i64Clamped(name: string): number {
    const value = this.value(name) ?? 0;
    if (typeof value !== 'number' || Number.isNaN(value)) throw wrong(name, 'is not a number');
    return Math.min(Math.max(Math.trunc(value), Number.MIN_SAFE_INTEGER), Number.MAX_SAFE_INTEGER);
  }

  float(name: string): number {
    const value = this.value(name) ?? 0;
    if (typeof value !== 'number') throw wrong(name, 'is not a number');
    return value;
  }

  list(name: string): readonly MsgpackValue[] {
    const value = this.value(name);
    if (value === null) return [];
    if (!Array.isArray(value)) throw wrong(name, 'is not a list');
    return value;
  }

  textList(name: string): string[] {
    return this.list(name).map((item) => textOf(item, name));
  }

  map(name: string): ReadonlyMap<string, MsgpackValue> {
    return pairsOf(this.value(name), name);
  }

  textMap(name: string): Map<string, string> {
    return textMapOf(this.value(name), name);
  }

  fields(name: string): Fields {
    const value = this.value(name);
    if (value === null) return new Fields(NOTHING);
    if (!isMap(value)) throw wrong(name, 'is not a map');
    return new Fields(value);
  }

  private value(name: string): MsgpackValue {
    return Object.hasOwn(this.record, name) ? (this.record[name] as MsgpackValue) : null;
  }

  private integer(name: string, max: number): number {
    const value = this.value(name) ?? 0;
    if (typeof value !== 'number' || !Number.isSafeInteger(value))
      throw wrong(name, 'is not an integer below 2^53');
    if (value < 0 || value > max) throw wrong(name, `is ${value}, outside 0 to ${max}`);
    return value;
  }
}

/** A decoded map of texts; nil is the empty one. Throws DecodeError('field', 'NAME: what is wrong'). */
export function textMapOf(value: MsgpackValue, name: string): Map<string, string> {
  const texts = new Map<string, string>();
  for (const [key, item] of pairsOf(value, name)) {
    texts.set(key, item === null ? '' : textOf(item, `${name}.${key}`));
  }
  return texts;
}

function pairsOf(value: MsgpackValue, name: string): Map<string, MsgpackValue> {
  const pairs = new Map<string, MsgpackValue>();
  if (value === null) return pairs;
  if (!isMap(value)) throw wrong(name, 'is not a map');
  for (const key of Object.keys(value)) {
    pairs.set(key === PROTO_ALIAS ? PROTO : key, value[key] as MsgpackValue);
  }
  return pairs;
}

function isMap(value: MsgpackValue): value is Decoded {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)
  );
}

/** Names are short and mostly ASCII: a loop over a few bytes beats the call into the text decoder. */
const SHORT_TEXT_BYTES = 24;

function textOf(value: MsgpackValue, name: string): string {
  if (!(value instanceof Uint8Array)) throw wrong(name, 'is not a string');
  const text = (value.length <= SHORT_TEXT_BYTES ? asciiText(value) : undefined) ?? utf8Text(value);
  if (text === undefined) throw wrong(name, 'is not valid UTF-8');
  return text;
}

function asciiText(bytes: Uint8Array): string | undefined {
  let text = '';
  for (const byte of bytes) {
    if (byte >= 0x80) return undefined;
    text += String.fromCharCode(byte);
  }
  return text;
}

function wrong(name: string, what: string): DecodeError {
  return new DecodeError('field', `${name}: ${what}`);
}
