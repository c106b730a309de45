import { concatBytes } from '../lib/bytes.ts';
import { DecodeError } from '../lib/errors.ts';
import { decodeValue, type Encodable, encodeGossip, Fields, type MsgpackValue } from '../lib/msgpack.ts';
import type { BufferedEvent, EventSlot } from './event-buffer.ts';
import { LTIME_MAX } from './lamport-clock.ts';
import type { MemberStatus } from './member.ts';

/** First byte of every Serf message (Serf's messageType). */
const SerfType = {
  leave: 0,
  join: 1,
  pushPull: 2,
  userEvent: 3,
  query: 4,
  queryResponse: 5,
  conflictResponse: 6,
  keyRequest: 7,
  keyResponse: 8,
  relay: 9,
} as const;

/** `ltime` is the sender's Lamport time everywhere. */
export interface Leave {
  readonly ltime: number;
  readonly node: string;
  /** Forget the member at once. */
  readonly prune: boolean;
}

export interface Join {
  readonly ltime: number;
  readonly node: string;
}

/** Serf's part of a push/pull. */
export interface SerfPushPull {
  readonly ltime: number;
  readonly eventLTime: number;
  readonly queryLTime: number;
  /** Status time of every member by name. */
  readonly statusLTimes: ReadonlyMap<string, number>;
  readonly leftMembers: readonly string[];
  /** Real members send their whole ring, with null for unused slots. */
  readonly events: readonly (EventSlot | null)[];
}

export interface UserEvent {
  readonly ltime: number;
  readonly name: string;
  readonly payload: Uint8Array | null;
  /** Receivers may merge events of one name. */
  readonly cc: boolean;
}

export interface Query {
  readonly ltime: number;
  readonly id: number;
  /** Where answers go: 4 or 16 address bytes and a port. */
  readonly addr: Uint8Array;
  readonly port: number;
  readonly sourceNode: string;
  /** Undecoded: one that cannot be read means "not for us", and the query is passed on all the same. */
  readonly filters: readonly Uint8Array[];
  readonly flags: number;
  readonly relayFactor: number;
  /** As it came, clamped to safe integers only: may be negative or centuries. */
  readonly timeoutNs: number;
  readonly name: string;
  readonly payload: Uint8Array | null;
}

export interface QueryResponse {
  readonly ltime: number;
  readonly id: number;
  readonly from: string;
  readonly flags: number;
  readonly payload: Uint8Array | null;
}

/** A whole Serf message and where to pass it on to. */
export interface Relay {
  readonly destAddr: { readonly ip: Uint8Array; readonly port: number; readonly zone: string };
  readonly destName: string;
  readonly inner: Uint8Array;
}

export interface KeyRequest {
  /** Empty when keys are only to be listed. */
  readonly key: Uint8Array;
  /** fanout's own field, which Serf passes over: the signed envelope that asks for the same. */
  readonly approval: Uint8Array | null;
}

export interface KeyResponse {
  readonly result: boolean;
  readonly message: string;
  /** Base64, primary first. */
  readonly keys: readonly string[];
  readonly primaryKey: string;
}

/** What a conflict response tells of a member. */
export interface ConflictMember {
  readonly name: string;
  readonly addr: Uint8Array;
  readonly port: number;
  readonly tags: ReadonlyMap<string, string>;
  readonly status: MemberStatus;
  /** [PMin, PMax, PCur, DMin, DMax, DCur]. */
  readonly vsn: Uint8Array;
}

export type SerfMessage =
  | ({ readonly kind: 'leave' } & Leave)
  | ({ readonly kind: 'join' } & Join)
  | ({ readonly kind: 'pushPull' } & SerfPushPull)
  | ({ readonly kind: 'userEvent' } & UserEvent)
  | ({ readonly kind: 'query' } & Query)
  | ({ readonly kind: 'queryResponse' } & QueryResponse)
  | ({ readonly kind: 'relay' } & Relay)
  | ({ readonly kind: 'keyRequest' } & KeyRequest)
  | ({ readonly kind: 'keyResponse' } & KeyResponse)
  | { readonly kind: 'conflictResponse'; readonly member: ConflictMember | null };

/** Serf's MemberStatus by number. */
const STATUSES: readonly MemberStatus[] = ['none', 'alive', 'leaving', 'left', 'failed'];

export function encodeLeave({ ltime, node, prune }: Leave): Uint8Array {
  return encodeGossip({ LTime: ltime, Node: node, Prune: prune }, SerfType.leave);
}

export function encodeJoin({ ltime, node }: Join): Uint8Array {
  return encodeGossip({ LTime: ltime, Node: node }, SerfType.join);
}

export function encodePushPull(state: SerfPushPull): Uint8Array {
  const fields = {
    EventLTime: state.eventLTime,
    Events: orNil(state.events.map(encodeSlot)),
    LTime: state.ltime,
    LeftMembers: state.leftMembers,
    QueryLTime: state.queryLTime,
    StatusLTimes: Object.fromEntries(state.statusLTimes),
  };
  return encodeGossip(fields, SerfType.pushPull);
}

function encodeSlot(slot: EventSlot | null): Encodable {
  if (slot === null) return null;
  return {
    Events: slot.events.map(({ name, payload }) => ({ Name: name, Payload: payload })),
    LTime: slot.ltime,
  };
}

/** Go writes a list that was never set as nil. */
function orNil<T>(list: readonly T[]): readonly T[] | null {
  return list.length === 0 ? null : list;
}

export function encodeUserEvent({ cc, ltime, name, payload }: UserEvent): Uint8Array {
  return encodeGossip({ CC: cc, LTime: ltime, Name: name, Payload: payload }, SerfType.userEvent);
}

export function encodeQuery(query: Query): Uint8Array {
  const fields = {
    Addr: query.addr,
    Filters: orNil(query.filters),
    Flags: query.flags,
    ID: query.id,
    LTime: query.ltime,
    Name: query.name,
    Payload: query.payload,
    Port: query.port,
    RelayFactor: query.relayFactor,
    SourceNode: query.sourceNode,
    Timeout: Math.round(query.timeoutNs),
  };
  return encodeGossip(fields, SerfType.query);
}

export function encodeQueryResponse({ flags, from, id, ltime, payload }: QueryResponse): Uint8Array {
  const fields = { Flags: flags, From: from, ID: id, LTime: ltime, Payload: payload };
  return encodeGossip(fields, SerfType.queryResponse);
}

export function encodeRelay({ destAddr, destName, inner }: Relay): Uint8Array {
  const { ip, port, zone } = destAddr;
  const header = { DestAddr: { IP: ip, Port: port, Zone: zone }, DestName: destName };
  return concatBytes(encodeGossip(header, SerfType.relay), inner);
}

export function encodeKeyRequest({ key, approval }: KeyRequest): Uint8Array {
  return encodeGossip({ Approval: approval ?? undefined, Key: key }, SerfType.keyRequest);
}

export function encodeKeyResponse({ keys, message, primaryKey, result }: KeyResponse): Uint8Array {
  const fields = { Keys: orNil(keys), Message: message, PrimaryKey: primaryKey, Result: result };
  return encodeGossip(fields, SerfType.keyResponse);
}

/** What we know of the member that a conflict is about; null for nothing. */
export function encodeConflictResponse(member: ConflictMember | null): Uint8Array {
  if (member === null) return encodeGossip(null, SerfType.conflictResponse);
  const [pMin = 0, pMax = 0, pCur = 0, dMin = 0, dMax = 0, dCur = 0] = member.vsn;
  const fields = {
    Addr: member.addr,
    DelegateCur: dCur,
    DelegateMax: dMax,
    DelegateMin: dMin,
    Name: member.name,
    Port: member.port,
    ProtocolCur: pCur,
    ProtocolMax: pMax,
    ProtocolMin: pMin,
    Status: STATUSES.indexOf(member.status),
    Tags: Object.fromEntries(member.tags),
  };
  return encodeGossip(fields, SerfType.conflictResponse);
}

/**
 * Reads one Serf message; bytes after its body are ignored, as real members do. Throws DecodeError: 'type'
 * for an unknown type, 'ltime' for a Lamport time that nobody can have reached, 'addr' and 'name' for what no
 * member can have, 'msgpack' and 'field' else.
 */
export function decodeSerfMessage(bytes: Uint8Array): SerfMessage {
  const type = bytes[0];
  if (type === undefined) throw new DecodeError('empty', 'a Serf message without a type byte');
  if (type > SerfType.relay) throw new DecodeError('type', `Serf message type ${type} is not known`);
  const { value, end } = decodeValue(bytes, 1);
  if (type === SerfType.conflictResponse) {
    return { kind: 'conflictResponse', member: value === null ? null : readConflictMember(Fields.of(value)) };
  }
  const fields = Fields.of(value);
  switch (type) {
    case SerfType.leave:
      return { kind: 'leave', ...readIntent(fields), prune: fields.bool('Prune') };
    case SerfType.join:
      return { kind: 'join', ...readIntent(fields) };
    case SerfType.pushPull:
      return { kind: 'pushPull', ...readPushPull(fields) };
    case SerfType.userEvent:
      return {
        kind: 'userEvent',
        ltime: ltime(fields, 'LTime'),
        ...readEvent(fields),
        cc: fields.bool('CC'),
      };
    case SerfType.query:
      return { kind: 'query', ...readQuery(fields) };
    case SerfType.queryResponse:
      return { kind: 'queryResponse', ...readQueryResponse(fields) };
    case SerfType.keyRequest:
      return { kind: 'keyRequest', key: fields.bytes('Key'), approval: fields.bytesOrNull('Approval') };
    case SerfType.keyResponse:
      return { kind: 'keyResponse', ...readKeyResponse(fields) };
    default:
      return { kind: 'relay', ...readRelayHeader(fields), inner: bytes.subarray(end) };
  }
}

/** Whether bytes are, by their type, an answer to a query: the only message that is ever relayed. */
export function isQueryResponse(bytes: Uint8Array): boolean {
  return bytes[0] === SerfType.queryResponse;
}

function ltime(fields: Fields, name: string): number {
  return believable(fields.float(name), name);
}

/**
 * A Lamport time that may be true. One beyond 2^53 is rounded by now, which changes nothing: it is refused.
 */
function believable(time: MsgpackValue, name: string): number {
  if (typeof time !== 'number' || !Number.isInteger(time) || time < 0) {
    throw new DecodeError('field', `${name}: is not a Lamport time`);
  }
  if (time > LTIME_MAX) throw new DecodeError('ltime', `${name}: nobody can have counted to ${time}`);
  return time;
}

function readIntent(fields: Fields): Join {
  return { ltime: ltime(fields, 'LTime'), node: readNode(fields, 'Node') };
}

/** A member's name, which is not empty. */
function readNode(fields: Fields, name: string): string {
  const node = fields.text(name);
  if (node === '') throw new DecodeError('name', `${name}: is empty`);
  return node;
}

/** An address of 4 or 16 bytes, copied: it may outlive its packet. */
function readAddr(fields: Fields, name: string): Uint8Array {
  const addr = fields.bytes(name);
  if (addr.length !== 4 && addr.length !== 16) {
    throw new DecodeError('addr', `${name}: an address has 4 or 16 bytes, not ${addr.length}`);
  }
  return new Uint8Array(addr);
}

function readPushPull(fields: Fields): SerfPushPull {
  const statusLTimes = new Map<string, number>();
  for (const [name, value] of fields.map('StatusLTimes')) {
    statusLTimes.set(name, believable(value, name));
  }
  return {
    ltime: ltime(fields, 'LTime'),
    eventLTime: ltime(fields, 'EventLTime'),
    queryLTime: ltime(fields, 'QueryLTime'),
    statusLTimes,
    leftMembers: fields.textList('LeftMembers'),
    events: fields.list('Events').map(readSlot),
  };
}

function readSlot(value: MsgpackValue): EventSlot | null {
  if (value === null) return null;
  const fields = Fields.of(value);
  const events = fields.list('Events').map((event) => readEvent(Fields.of(event)));
  return { ltime: ltime(fields, 'LTime'), events };
}

/** The payload is copied: the event buffer keeps it, and the state that it came in is large. */
function readEvent(fields: Fields): BufferedEvent {
  const payload = fields.bytesOrNull('Payload');
  return { name: fields.text('Name'), payload: payload === null ? null : new Uint8Array(payload) };
}

function readQuery(fields: Fields): Query {
  return {
    ltime: ltime(fields, 'LTime'),
    id: fields.u32('ID'),
    addr: readAddr(fields, 'Addr'),
    port: fields.u16('Port'),
    sourceNode: fields.text('SourceNode'),
    filters: fields.list('Filters').map(readFilterBytes),
    flags: fields.u32('Flags'),
    relayFactor: fields.u8('RelayFactor'),
    timeoutNs: fields.i64Clamped('Timeout'),
    name: fields.text('Name'),
    payload: fields.bytesOrNull('Payload'),
  };
}

function readFilterBytes(value: MsgpackValue): Uint8Array {
  if (value instanceof Uint8Array) return value;
  throw new DecodeError('field', 'Filters: has an item that is not a byte string');
}

function readQueryResponse(fields: Fields): QueryResponse {
  return {
    ltime: ltime(fields, 'LTime'),
    id: fields.u32('ID'),
    from: readNode(fields, 'From'),
    flags: fields.u32('Flags'),
    payload: fields.bytesOrNull('Payload'),
  };
}

function readKeyResponse(fields: Fields): KeyResponse {
  return {
    result: fields.bool('Result'),
    message: fields.text('Message'),
    keys: fields.textList('Keys'),
    primaryKey: fields.text('PrimaryKey'),
  };
}

function readRelayHeader(fields: Fields): Omit<Relay, 'inner'> {
  const dest = fields.fields('DestAddr');
  return {
    destAddr: { ip: readAddr(dest, 'IP'), port: dest.u16('Port'), zone: dest.text('Zone') },
    destName: fields.text('DestName'),
  };
}

function readConflictMember(fields: Fields): ConflictMember {
  const versions = ['ProtocolMin', 'ProtocolMax', 'ProtocolCur', 'DelegateMin', 'DelegateMax', 'DelegateCur'];
  return {
    name: fields.text('Name'),
    addr: readAddr(fields, 'Addr'),
    port: fields.u16('Port'),
    tags: fields.textMap('Tags'),
    status: STATUSES[fields.u8('Status')] ?? 'none',
    vsn: Uint8Array.from(versions, (name) => fields.u8(name)),
  };
}
