import type { EventSlot } from '../../src/serf/event-buffer.ts';
import type { MemberStatus } from '../../src/serf/member.ts';
import {
  encodeConflictResponse,
  encodeJoin,
  encodeKeyRequest,
  encodeKeyResponse,
  encodeLeave,
  encodePushPull,
  encodeQuery,
  encodeQueryResponse,
  encodeRelay,
  encodeUserEvent,
  type SerfMessage,
} from '../../src/serf/messages.ts';

/** Our messages under the names and in the form of the vector file, to compare whole values. */

const STATUS_NUMBERS: Readonly<Record<MemberStatus, number>> = {
  none: 0,
  alive: 1,
  leaving: 2,
  left: 3,
  failed: 4,
};

/** Go writes a list that was never set as nil. */
const orNull = <T>(list: readonly T[]): readonly T[] | null => (list.length === 0 ? null : list);

function wireSlot(slot: EventSlot | null): object | null {
  if (slot === null) return null;
  return {
    Events: slot.events.map(({ name, payload }) => ({ Name: name, Payload: payload })),
    LTime: slot.ltime,
  };
}

export function wireBody(message: Exclude<SerfMessage, { kind: 'relay' }>): object | null {
  switch (message.kind) {
    case 'leave':
      return { LTime: message.ltime, Node: message.node, Prune: message.prune };
    case 'join':
      return { LTime: message.ltime, Node: message.node };
    case 'pushPull':
      return {
        EventLTime: message.eventLTime,
        Events: orNull(message.events.map(wireSlot)),
        LTime: message.ltime,
        LeftMembers: message.leftMembers,
        QueryLTime: message.queryLTime,
        StatusLTimes: Object.fromEntries(message.statusLTimes),
      };
    case 'userEvent':
      return { CC: message.cc, LTime: message.ltime, Name: message.name, Payload: message.payload };
    case 'query':
      return {
        Addr: message.addr,
        Filters: orNull(message.filters),
        Flags: message.flags,
        ID: message.id,
        LTime: message.ltime,
        Name: message.name,
        Payload: message.payload,
        Port: message.port,
        RelayFactor: message.relayFactor,
        SourceNode: message.sourceNode,
        Timeout: message.timeoutNs,
      };
    case 'queryResponse': {
      const { flags, from, id, ltime, payload } = message;
      return { Flags: flags, From: from, ID: id, LTime: ltime, Payload: payload };
    }
    case 'keyRequest':
      return { Key: message.key, ...(message.approval === null ? {} : { Approval: message.approval }) };
    case 'keyResponse': {
      const { keys, primaryKey, result } = message;
      return { Keys: orNull(keys), Message: message.message, PrimaryKey: primaryKey, Result: result };
    }
    case 'conflictResponse': {
      const { member } = message;
      if (member === null) return null;
      const [pMin, pMax, pCur, dMin, dMax, dCur] = member.vsn;
      return {
        Addr: member.addr,
        DelegateCur: dCur,
        DelegateMax: dMax,
        DelegateMin: dMin,
        Name: member.name,
        Port: member.port,
        ProtocolCur: pCur,
        ProtocolMax: pMax,
        ProtocolMin: pMin,
        Status: STATUS_NUMBERS[member.status],
        Tags: Object.fromEntries(member.tags),
      };
    }
  }
}

/** The encoder that belongs to a decoded message. */
export function encodeAgain(message: SerfMessage): Uint8Array {
  switch (message.kind) {
    case 'leave':
      return encodeLeave(message);
    case 'join':
      return encodeJoin(message);
    case 'pushPull':
      return encodePushPull(message);
    case 'userEvent':
      return encodeUserEvent(message);
    case 'query':
      return encodeQuery(message);
    case 'queryResponse':
      return encodeQueryResponse(message);
    case 'relay':
      return encodeRelay(message);
    case 'keyRequest':
      return encodeKeyRequest(message);
    case 'keyResponse':
      return encodeKeyResponse(message);
    case 'conflictResponse':
      return encodeConflictResponse(message.member);
  }
}
