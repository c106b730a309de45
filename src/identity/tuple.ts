import { utf8Text } from '../lib/bytes.ts';
import { DecodeError } from '../lib/errors.ts';
import { decodeValue, type MsgpackValue } from '../lib/msgpack.ts';

/**
 * The one value that fills `bytes` exactly. Throws DecodeError('msgpack'), or ('trailing') when bytes follow
 * it.
 */
export function decodeWhole(bytes: Uint8Array): MsgpackValue {
  const { value, end } = decodeValue(bytes, 0);
  if (end !== bytes.length) throw new DecodeError('trailing', `${bytes.length - end} bytes behind the value`);
  return value;
}

/**
 * Reads a msgpack array whose positions have fixed meanings, from front to back. Every read checks type and
 * bounds and throws DecodeError('field', `NAME: ...`).
 */
export class TupleReader {
  private readonly items: readonly MsgpackValue[];
  private next = 0;

  private constructor(items: readonly MsgpackValue[]) {
    this.items = items;
  }

  /** Throws DecodeError('field') unless the value is an array of exactly `length` items. */
  static of(value: MsgpackValue, name: string, length: number): TupleReader {
    const items = listOf(value, name, length, length);
    return new TupleReader(items);
  }

  private take(): MsgpackValue {
    return this.items[this.next++] ?? null;
  }

  text(name: string, minBytes: number, maxBytes: number): string {
    return textOf(this.take(), name, minBytes, maxBytes);
  }

  /** A text, or null. */
  textOrNull(name: string, minBytes: number, maxBytes: number): string | null {
    const value = this.take();
    return value === null ? null : textOf(value, name, minBytes, maxBytes);
  }

  /** A copy of `length` bytes. */
  bytes(name: string, length: number): Uint8Array {
    const value = this.take();
    if (!(value instanceof Uint8Array) || value.length !== length) refuse(name, `must be ${length} bytes`);
    return Uint8Array.from(value);
  }

  /** A view of bytes of any length. */
  bytesOfAnyLength(name: string): Uint8Array {
    const value = this.take();
    if (!(value instanceof Uint8Array)) refuse(name, 'must be bytes');
    return value;
  }

  integer(name: string, min: number, max: number): number {
    return integerOf(this.take(), name, min, max);
  }

  /** An integer, or null. */
  integerOrNull(name: string, min: number, max: number): number | null {
    const value = this.take();
    return value === null ? null : integerOf(value, name, min, max);
  }

  bool(name: string): boolean {
    const value = this.take();
    if (typeof value !== 'boolean') refuse(name, 'must be true or false');
    return value;
  }

  list(name: string, min: number, max: number): readonly MsgpackValue[] {
    return listOf(this.take(), name, min, max);
  }

  /** A tuple inside the tuple. */
  tuple(name: string, length: number): TupleReader {
    return TupleReader.of(this.take(), name, length);
  }
}

/** Text without control characters, `minBytes..maxBytes` bytes of strict UTF-8. */
export function textOf(value: MsgpackValue, name: string, minBytes: number, maxBytes: number): string {
  if (!(value instanceof Uint8Array)) refuse(name, 'must be text');
  if (value.length < minBytes || value.length > maxBytes) {
    refuse(name, `must have ${minBytes} to ${maxBytes} bytes, has ${value.length}`);
  }
  const text = utf8Text(value);
  if (text === undefined) refuse(name, 'must be UTF-8');
  if (/\p{Cc}/u.test(text)) refuse(name, 'must have no control character');
  return text;
}

function listOf(value: MsgpackValue, name: string, min: number, max: number): readonly MsgpackValue[] {
  if (!Array.isArray(value)) refuse(name, 'must be an array');
  if (value.length < min || value.length > max) {
    refuse(name, `must have ${min === max ? min : `${min} to ${max}`} items, has ${value.length}`);
  }
  return value;
}

function integerOf(value: MsgpackValue, name: string, min: number, max: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
    refuse(name, `must be a whole number from ${min} to ${max}`);
  }
  return value;
}

function refuse(name: string, must: string): never {
  throw new DecodeError('field', `${name}: ${must}`);
}
