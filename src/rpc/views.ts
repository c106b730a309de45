import { DecodeError } from '../lib/errors.ts';
import { type Encodable, Fields, type MsgpackValue } from '../lib/msgpack.ts';
import type { Millis } from '../lib/time.ts';
import { decodeMembers, encodeMember, type MemberRecord } from './members.ts';

/** An event of a stream, as Serf's RPC tells of it. */
export type EventRecord =
  | { readonly event: string; readonly members: readonly MemberRecord[] }
  | {
      readonly event: 'user';
      readonly ltime: number;
      readonly name: string;
      readonly payload: Uint8Array;
      readonly coalesce: boolean;
    }
  | {
      readonly event: 'query';
      readonly id: number;
      readonly ltime: number;
      readonly name: string;
      readonly payload: Uint8Array;
    };

export function encodeEventRecord(record: EventRecord): Encodable {
  if ('members' in record) return { Event: record.event, Members: record.members.map(encodeMember) };
  const { ltime, name, payload } = record;
  const head =
    'id' in record ? { Event: 'query', ID: record.id } : { Coalesce: record.coalesce, Event: 'user' };
  return { ...head, LTime: ltime, Name: name, Payload: payload };
}

/** Throws DecodeError. */
export function decodeEventRecord(body: MsgpackValue): EventRecord {
  const fields = Fields.of(body);
  const event = fields.text('Event');
  if (event.startsWith('member-')) return { event, members: decodeMembers(body) };
  const [ltime, name, payload] = [fields.u64('LTime'), fields.text('Name'), fields.bytes('Payload')];
  if (event === 'user') return { event, ltime, name, payload, coalesce: fields.bool('Coalesce') };
  if (event === 'query') return { event, id: fields.u64('ID'), ltime, name, payload };
  throw new DecodeError('field', `Event: unknown "${event}"`);
}

/** A record of a query: somebody has it, somebody answered, or nothing more comes. */
export type QueryRecord =
  | { readonly kind: 'ack'; readonly from: string }
  | { readonly kind: 'response'; readonly from: string; readonly payload: Uint8Array }
  | { readonly kind: 'done' };

/** In Serf's words. */
export function encodeQueryRecord(record: QueryRecord): Encodable {
  const from = record.kind === 'done' ? '' : record.from;
  const payload = record.kind === 'response' && record.payload.length > 0 ? record.payload : null;
  return { From: from, Payload: payload, Type: record.kind };
}

/** Throws DecodeError. */
export function decodeQueryRecord(body: MsgpackValue): QueryRecord {
  const fields = Fields.of(body);
  const type = fields.text('Type');
  if (type === 'done') return { kind: 'done' };
  if (type === 'ack') return { kind: 'ack', from: fields.text('From') };
  if (type === 'response')
    return { kind: 'response', from: fields.text('From'), payload: fields.bytes('Payload') };
  throw new DecodeError('field', `Type: unknown "${type}"`);
}

/** How the agent found a member when it probed it. */
export interface Peer {
  readonly name: string;
  /** Of the last probe that it answered to this agent itself; undefined when there was none. */
  readonly rttMs: Millis | undefined;
  readonly isSuspect: boolean;
}

export function encodePeers(peers: readonly Peer[]): Encodable {
  return {
    Peers: peers.map(({ name, rttMs, isSuspect }) => ({
      Name: name,
      RttNs: rttMs === undefined ? 0 : Math.max(1, Math.round(rttMs * 1e6)),
      Suspect: isSuspect,
    })),
  };
}

/** Throws DecodeError. */
export function decodePeers(body: MsgpackValue): Peer[] {
  return Fields.of(body)
    .list('Peers')
    .map((value) => {
      const fields = Fields.of(value);
      const nanos = fields.u64('RttNs');
      return {
        name: fields.text('Name'),
        rttMs: nanos === 0 ? undefined : nanos / 1e6,
        isSuspect: fields.bool('Suspect'),
      };
    });
}

/** A program that the agent's own policy allows an operator. */
export interface Program {
  readonly program: string;
  readonly readOnly: boolean;
  readonly rule: string;
}

export function encodePrograms(programs: readonly Program[]): Encodable {
  return {
    Programs: programs.map(({ program, readOnly, rule }) => ({
      Program: program,
      ReadOnly: readOnly,
      Rule: rule,
    })),
  };
}

/** Throws DecodeError. */
export function decodePrograms(body: MsgpackValue): Program[] {
  return Fields.of(body)
    .list('Programs')
    .map((value) => {
      const fields = Fields.of(value);
      return {
        program: fields.text('Program'),
        readOnly: fields.bool('ReadOnly'),
        rule: fields.text('Rule'),
      };
    });
}
