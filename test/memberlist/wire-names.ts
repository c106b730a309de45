import type { PacketMessage } from '../../src/memberlist/messages.ts';
import {
  encodeAck,
  encodeAlive,
  encodeDead,
  encodeIndirectPing,
  encodeNack,
  encodePing,
  encodeSuspect,
  encodeUser,
} from '../../src/memberlist/messages.ts';
import type { PushPullNode } from '../../src/memberlist/stream.ts';

/** Our messages under the names and in the form of the vector file, to compare whole values. */

const orNull = (bytes: Uint8Array): Uint8Array | null => (bytes.length === 0 ? null : bytes);

interface Source {
  readonly sourceAddr: Uint8Array;
  readonly sourceNode: string;
  readonly sourcePort: number;
}

function source({ sourceAddr, sourceNode, sourcePort }: Source): object {
  return {
    ...(sourceAddr.length === 0 ? {} : { SourceAddr: sourceAddr }),
    ...(sourceNode === '' ? {} : { SourceNode: sourceNode }),
    ...(sourcePort === 0 ? {} : { SourcePort: sourcePort }),
  };
}

export function wireBody(message: Exclude<PacketMessage, { kind: 'user' }>): object {
  switch (message.kind) {
    case 'ping':
      return { Node: message.node, SeqNo: message.seqNo, ...source(message) };
    case 'indirectPing': {
      const { nack, node, port, seqNo, target } = message;
      return { Nack: nack, Node: node, Port: port, SeqNo: seqNo, Target: target, ...source(message) };
    }
    case 'ack':
      return { Payload: message.payload, SeqNo: message.seqNo };
    case 'nack':
      return { SeqNo: message.seqNo };
    case 'suspect':
    case 'dead':
      return { From: message.from, Incarnation: message.incarnation, Node: message.node };
    case 'alive': {
      const { addr, incarnation, meta, node, port, vsn } = message;
      return { Addr: addr, Incarnation: incarnation, Meta: orNull(meta), Node: node, Port: port, Vsn: vsn };
    }
  }
}

export function wireNode({ addr, incarnation, meta, name, port, state, vsn }: PushPullNode): object {
  return {
    Addr: addr,
    Incarnation: incarnation,
    Meta: orNull(meta),
    Name: name,
    Port: port,
    State: state,
    Vsn: vsn,
  };
}

/** The encoder that belongs to a decoded message. */
export function encodeAgain(message: PacketMessage): Uint8Array {
  switch (message.kind) {
    case 'ping':
      return encodePing(message);
    case 'indirectPing':
      return encodeIndirectPing(message);
    case 'ack':
      return encodeAck(message);
    case 'nack':
      return encodeNack(message);
    case 'suspect':
      return encodeSuspect(message);
    case 'alive':
      return encodeAlive(message);
    case 'dead':
      return encodeDead(message);
    case 'user':
      return encodeUser(message.payload);
  }
}
