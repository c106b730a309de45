import { concatBytes, utf8 } from '../lib/bytes.ts';
import { DecodeError } from '../lib/errors.ts';
import { ipBytes, ipText } from '../lib/net-address.ts';

/**
 * The part of DNS messages (RFC 1035, RFC 6762) that finds the agents of a cluster: PTR, SRV, A, AAAA and TXT. What comes
 * from the network is bounded before it is read.
 */

/** Multicast DNS stays within one packet; RFC 6762 allows 9000 bytes. */
const MESSAGE_BYTES_MAX = 9000;
/** Questions and records of one message. An answer of an agent has four; what an answer names is looked up in itself. */
const ENTRIES_MAX = 64;
const LABEL_BYTES_MAX = 63;
const NAME_BYTES_MAX = 255;
/** Jumps in one name. Each goes backwards, so that none can repeat. */
const JUMPS_MAX = 32;

export const TYPE = { A: 1, PTR: 12, TXT: 16, AAAA: 28, SRV: 33, ANY: 255 } as const;
const CLASS_IN = 1;
/** The top bit of a class: "answer by unicast" in a question, "flush your cache" in an answer. */
const CLASS_MASK = 0x7fff;
const FLAG_RESPONSE = 0x8000;
/** A response with authority. */
const FLAGS_RESPONSE = 0x8400;

export interface DnsQuestion {
  readonly name: string;
  readonly type: number;
}

export type DnsRecord = { readonly name: string; readonly ttlSeconds: number } & (
  | { readonly type: 'A' | 'AAAA'; readonly host: string }
  | { readonly type: 'PTR'; readonly target: string }
  | { readonly type: 'SRV'; readonly port: number; readonly target: string }
  | { readonly type: 'TXT'; readonly texts: readonly string[] }
);

export interface DnsMessage {
  readonly id: number;
  readonly isResponse: boolean;
  readonly questions: readonly DnsQuestion[];
  /** Of all three sections. Types that mean nothing here are left out. */
  readonly records: readonly DnsRecord[];
}

/** Throws DecodeError. Names come without the dot at their end. */
export function decodeDns(bytes: Uint8Array): DnsMessage {
  if (bytes.length > MESSAGE_BYTES_MAX) throw new DecodeError('mdns-size');
  const reader = new Reader(bytes);
  const id = reader.u16();
  const flags = reader.u16();
  const questionCount = reader.u16();
  const recordCount = reader.u16() + reader.u16() + reader.u16();
  if (questionCount + recordCount > ENTRIES_MAX) throw new DecodeError('mdns-count');
  const questions: DnsQuestion[] = [];
  for (let i = 0; i < questionCount; i++) {
    const [name, type, kind] = [reader.name(), reader.u16(), reader.u16()];
    if ((kind & CLASS_MASK) === CLASS_IN) questions.push({ name, type });
  }
  const records: DnsRecord[] = [];
  for (let i = 0; i < recordCount; i++) {
    const record = readRecord(reader);
    if (record !== undefined) records.push(record);
  }
  return { id, isResponse: (flags & FLAG_RESPONSE) !== 0, questions, records };
}

function readRecord(reader: Reader): DnsRecord | undefined {
  const [name, type, kind, ttlSeconds] = [reader.name(), reader.u16(), reader.u16(), reader.u32()];
  const end = reader.u16() + reader.at;
  reader.need(end - reader.at);
  const record = (kind & CLASS_MASK) === CLASS_IN ? readData(reader, type, end) : undefined;
  if (reader.at > end) throw new DecodeError('mdns-record');
  reader.at = end;
  return record === undefined ? undefined : { name, ttlSeconds, ...record };
}

type Data = DnsRecord extends infer R
  ? R extends DnsRecord
    ? Omit<R, 'name' | 'ttlSeconds'>
    : never
  : never;

function readData(reader: Reader, type: number, end: number): Data | undefined {
  switch (type) {
    case TYPE.A:
    case TYPE.AAAA: {
      const host = ipText(reader.take(end - reader.at));
      const length = type === TYPE.A ? 4 : 16;
      if (host === undefined || reader.taken !== length) throw new DecodeError('mdns-address');
      return { type: type === TYPE.A ? 'A' : 'AAAA', host };
    }
    case TYPE.PTR:
      return { type: 'PTR', target: reader.name() };
    case TYPE.SRV: {
      reader.take(4);
      const port = reader.u16();
      return { type: 'SRV', port, target: reader.name() };
    }
    case TYPE.TXT: {
      const texts: string[] = [];
      while (reader.at < end) texts.push(latin1(reader.take(reader.u8())));
      return { type: 'TXT', texts };
    }
    default:
      return undefined;
  }
}

/** A cursor that never reads outside. */
class Reader {
  at = 0;
  /** Bytes of the last `take`. */
  taken = 0;
  private readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  need(length: number): void {
    if (length < 0 || this.at + length > this.bytes.length) throw new DecodeError('mdns-truncated');
  }

  take(length: number): Uint8Array {
    this.need(length);
    this.taken = length;
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  u8(): number {
    return this.take(1)[0] ?? 0;
  }

  u16(): number {
    return this.u8() * 2 ** 8 + this.u8();
  }

  u32(): number {
    return this.u16() * 2 ** 16 + this.u16();
  }

  name(): string {
    const labels: string[] = [];
    let [part, resumeAt, jumps, bytes] = [this.at, -1, 0, 0];
    for (;;) {
      const length = this.u8();
      if (length === 0) break;
      if (length >= 0xc0) {
        const target = (length & 0x3f) * 2 ** 8 + this.u8();
        if (resumeAt < 0) resumeAt = this.at;
        // Before the part that refers to it, as all who write names do: a name can then not contain itself.
        if (target >= part || ++jumps > JUMPS_MAX) throw new DecodeError('mdns-loop');
        part = target;
        this.at = target;
        continue;
      }
      if (length > LABEL_BYTES_MAX) throw new DecodeError('mdns-label');
      bytes += length + 1;
      if (bytes > NAME_BYTES_MAX) throw new DecodeError('mdns-name');
      labels.push(escaped(this.take(length)));
    }
    if (resumeAt >= 0) this.at = resumeAt;
    return labels.join('.');
  }
}

/** A dot inside of a label must not look like one between two: a node may be called `web1.example`. */
function escaped(label: Uint8Array): string {
  return latin1(label).replace(/[.\\]/g, '\\$&');
}

/** Bytes as they are. Names are compared, and never shown without being cleaned. */
function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

/** The name of a DNS label for a text; undefined when it is too long or empty. To be joined with dots. */
export function dnsLabel(text: string): string | undefined {
  const bytes = utf8(text);
  return bytes.length > 0 && bytes.length <= LABEL_BYTES_MAX ? escaped(bytes) : undefined;
}

/** Whether two names are the same: ASCII letters are equal in both cases. */
export function isSameName(a: string, b: string): boolean {
  return lower(a) === lower(b);
}

function lower(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

/** A question for the members of a service. */
export function encodeQuestion(id: number, question: DnsQuestion): Uint8Array {
  return concatBytes(header(id, 0, 1, 0), nameBytes(question.name), u16(question.type), u16(CLASS_IN));
}

/** An answer of some records. */
export function encodeAnswer(id: number, records: readonly DnsRecord[]): Uint8Array {
  return concatBytes(header(id, FLAGS_RESPONSE, 0, records.length), ...records.map(recordBytes));
}

function header(id: number, flags: number, questions: number, answers: number): Uint8Array {
  return concatBytes(u16(id), u16(flags), u16(questions), u16(answers), u16(0), u16(0));
}

function recordBytes(record: DnsRecord): Uint8Array {
  const data = dataBytes(record);
  const ttl = concatBytes(u16(Math.floor(record.ttlSeconds / 2 ** 16)), u16(record.ttlSeconds));
  const head = concatBytes(nameBytes(record.name), u16(TYPE[record.type]), u16(CLASS_IN), ttl);
  return concatBytes(head, u16(data.length), data);
}

/** What Serf's agents say too. */
const SRV_PRIORITY = 10;
const SRV_WEIGHT = 1;

function dataBytes(record: DnsRecord): Uint8Array {
  switch (record.type) {
    case 'A':
    case 'AAAA': {
      const address = ipBytes(record.host);
      if (address === undefined) throw new RangeError(`${record.host} is no address`);
      return address;
    }
    case 'PTR':
      return nameBytes(record.target);
    case 'SRV':
      return concatBytes(u16(SRV_PRIORITY), u16(SRV_WEIGHT), u16(record.port), nameBytes(record.target));
    case 'TXT':
      return concatBytes(...record.texts.map((text) => lengthFirst(utf8(text))));
  }
}

function nameBytes(name: string): Uint8Array {
  const labels = (name.match(/(?:\\.|[^.\\])+/gs) ?? []).map((label) => label.replace(/\\(.)/gs, '$1'));
  const bytes = labels.map((label) =>
    lengthFirst(Uint8Array.from(label, (character) => character.charCodeAt(0))),
  );
  return concatBytes(...bytes, Uint8Array.of(0));
}

function lengthFirst(bytes: Uint8Array): Uint8Array {
  return concatBytes(Uint8Array.of(bytes.length), bytes);
}

function u16(value: number): Uint8Array {
  return Uint8Array.of(value >>> 8, value);
}
