import { EMPTY, utf8Text } from '../lib/bytes.ts';
import { DecodeError } from '../lib/errors.ts';
import { decodeValue, encodeGossip, Fields } from '../lib/msgpack.ts';

/**
 * First byte of every packet, stream and compound part (memberlist, net.go). `fanout` is our own and only on
 * streams.
 */
export const MessageType = {
  ping: 0,
  indirectPing: 1,
  ack: 2,
  suspect: 3,
  alive: 4,
  dead: 5,
  pushPull: 6,
  compound: 7,
  user: 8,
  compress: 9,
  encrypt: 10,
  nack: 11,
  crc: 12,
  error: 13,
  fanout: 240,
  label: 244,
} as const;

/** Asks `node` for an ack. The source fields say where the ack goes; empty, they are left out. */
export interface Ping {
  readonly node: string;
  readonly seqNo: number;
  readonly sourceAddr: Uint8Array;
  readonly sourceNode: string;
  readonly sourcePort: number;
  /** Of our own: asks `node` to prove who it is. Real members pass over it. */
  readonly challenge?: Uint8Array | undefined;
}

/** Asks the receiver to ping `target` for us, and to say so (nack) if it hears nothing. */
export interface IndirectPing {
  readonly seqNo: number;
  readonly target: Uint8Array;
  readonly port: number;
  readonly node: string;
  readonly nack: boolean;
  readonly sourceAddr: Uint8Array;
  readonly sourceNode: string;
  readonly sourcePort: number;
}

export interface Ack {
  readonly seqNo: number;
  readonly payload: Uint8Array | null;
  /** The answer to a challenge. */
  readonly proof?: Uint8Array | undefined;
}

export interface Nack {
  readonly seqNo: number;
}

export interface Suspect {
  readonly incarnation: number;
  readonly node: string;
  readonly from: string;
}

/** `from` equal to `node` means: left on purpose. */
export type Dead = Suspect;

export interface Alive {
  readonly incarnation: number;
  readonly node: string;
  /** 4 or 16 bytes. Peers compare them bytewise: never change the form. */
  readonly addr: Uint8Array;
  /** 0 means: the same as the receiver's. */
  readonly port: number;
  readonly meta: Uint8Array;
  /** [PMin, PMax, PCur, DMin, DMax, DCur], or empty when the node did not tell. */
  readonly vsn: Uint8Array;
}

/** What a packet can say, once its layers are off. */
export type PacketMessage =
  | ({ readonly kind: 'ping' } & Ping)
  | ({ readonly kind: 'indirectPing' } & IndirectPing)
  | ({ readonly kind: 'ack' } & Ack)
  | ({ readonly kind: 'nack' } & Nack)
  | ({ readonly kind: 'suspect' } & Suspect)
  | ({ readonly kind: 'alive' } & Alive)
  | ({ readonly kind: 'dead' } & Dead)
  | { readonly kind: 'user'; readonly payload: Uint8Array };

/** Bytes of a version vector; what a longer one has more is ignored. */
const VSN_BYTES = 6;

function orOmit<T extends { readonly length: number }>(value: T): T | undefined {
  return value.length === 0 ? undefined : value;
}

/** Go writes a byte slice without content as nil when it was never set, which is how ours are. */
export function orNil(bytes: Uint8Array): Uint8Array | null {
  return bytes.length === 0 ? null : bytes;
}

function sourceFields(source: Pick<Ping, 'sourceAddr' | 'sourceNode' | 'sourcePort'>) {
  return {
    SourceAddr: orOmit(source.sourceAddr),
    SourceNode: orOmit(source.sourceNode),
    SourcePort: source.sourcePort === 0 ? undefined : source.sourcePort,
  };
}

export function encodePing(ping: Ping): Uint8Array {
  const { challenge, node, seqNo } = ping;
  return encodeGossip(
    { Challenge: challenge, Node: node, SeqNo: seqNo, ...sourceFields(ping) },
    MessageType.ping,
  );
}

export function encodeIndirectPing(request: IndirectPing): Uint8Array {
  const { nack, node, port, seqNo, target } = request;
  const fields = {
    Nack: nack,
    Node: node,
    Port: port,
    SeqNo: seqNo,
    Target: target,
    ...sourceFields(request),
  };
  return encodeGossip(fields, MessageType.indirectPing);
}

export function encodeAck(ack: Ack): Uint8Array {
  return encodeGossip({ Payload: ack.payload, Proof: ack.proof, SeqNo: ack.seqNo }, MessageType.ack);
}

export function encodeNack(nack: Nack): Uint8Array {
  return encodeGossip({ SeqNo: nack.seqNo }, MessageType.nack);
}

export function encodeSuspect(suspect: Suspect): Uint8Array {
  return encodeGossip(accusation(suspect), MessageType.suspect);
}

export function encodeDead(dead: Dead): Uint8Array {
  return encodeGossip(accusation(dead), MessageType.dead);
}

function accusation({ from, incarnation, node }: Suspect) {
  return { From: from, Incarnation: incarnation, Node: node };
}

export function encodeAlive(alive: Alive): Uint8Array {
  const { addr, incarnation, meta, node, port, vsn } = alive;
  const fields = {
    Addr: addr,
    Incarnation: incarnation,
    Meta: orNil(meta),
    Node: node,
    Port: port,
    Vsn: orNil(vsn),
  };
  return encodeGossip(fields, MessageType.alive);
}

/** Tells the peer of a stream why its message was refused. */
export function encodeError(text: string): Uint8Array {
  return encodeGossip({ Error: text }, MessageType.error);
}

/** A message of the layer above, as it goes in a packet. */
export function encodeUser(payload: Uint8Array): Uint8Array {
  const message = new Uint8Array(1 + payload.length);
  message[0] = MessageType.user;
  message.set(payload, 1);
  return message;
}

/**
 * Reads one message of a packet; bytes after its body are ignored, as real peers do. Throws DecodeError:
 * 'type' for a type that packets do not have, 'addr', 'vsn' and 'name' for fields that no member can have,
 * 'msgpack' and 'field' else.
 */
export function decodePacketMessage(bytes: Uint8Array): PacketMessage {
  switch (bytes[0]) {
    case MessageType.ping:
      return { kind: 'ping', ...readPing(body(bytes)) };
    case MessageType.indirectPing:
      return { kind: 'indirectPing', ...readIndirectPing(body(bytes)) };
    case MessageType.ack:
      return { kind: 'ack', ...readAck(body(bytes)) };
    case MessageType.nack:
      return { kind: 'nack', seqNo: body(bytes).u32('SeqNo') };
    case MessageType.suspect:
      return { kind: 'suspect', ...readAccusation(body(bytes)) };
    case MessageType.alive:
      return { kind: 'alive', ...readAlive(body(bytes)) };
    case MessageType.dead:
      return { kind: 'dead', ...readAccusation(body(bytes)) };
    case MessageType.user:
      return { kind: 'user', payload: bytes.subarray(1) };
    case undefined:
      throw new DecodeError('empty', 'a message without a type byte');
    default:
      throw new DecodeError('type', `message type ${bytes[0]} does not belong in a packet`);
  }
}

function body(bytes: Uint8Array): Fields {
  return Fields.of(decodeValue(bytes, 1).value);
}

export function readPing(fields: Fields): Ping {
  const challenge = fields.bytesOrNull('Challenge') ?? undefined;
  return { node: fields.text('Node'), seqNo: fields.u32('SeqNo'), challenge, ...readSource(fields) };
}

export function readAck(fields: Fields): Ack {
  const proof = fields.bytesOrNull('Proof') ?? undefined;
  return { seqNo: fields.u32('SeqNo'), payload: fields.bytesOrNull('Payload'), proof };
}

function readIndirectPing(fields: Fields): IndirectPing {
  return {
    seqNo: fields.u32('SeqNo'),
    target: readAddr(fields, 'Target'),
    port: fields.u16('Port'),
    node: fields.text('Node'),
    nack: fields.bool('Nack'),
    ...readSource(fields),
  };
}

function readSource(fields: Fields): Pick<Ping, 'sourceAddr' | 'sourceNode' | 'sourcePort'> {
  return {
    sourceAddr: fields.bytes('SourceAddr').length === 0 ? EMPTY : readAddr(fields, 'SourceAddr'),
    sourceNode: fields.text('SourceNode'),
    sourcePort: fields.u16('SourcePort'),
  };
}

function readAccusation(fields: Fields): Suspect {
  return {
    incarnation: fields.u32('Incarnation'),
    node: readName(fields, 'Node'),
    from: fields.text('From'),
  };
}

/**
 * Fields that an alive message and a push/pull entry share. They are copied: they outlive the packet by far.
 */
export function readAbout(fields: Fields): Omit<Alive, 'node'> {
  return {
    incarnation: fields.u32('Incarnation'),
    addr: readAddr(fields, 'Addr'),
    port: fields.u16('Port'),
    meta: new Uint8Array(fields.bytes('Meta')),
    vsn: readVsn(fields),
  };
}

function readAlive(fields: Fields): Alive {
  return { node: readName(fields, 'Node'), ...readAbout(fields) };
}

/** A name that is there. Throws DecodeError('name'). */
export function readName(fields: Fields, name: string): string {
  const text = fields.text(name);
  if (text === '') throw new DecodeError('name', `${name}: is empty`);
  return text;
}

/** An address of 4 or 16 bytes, copied. Throws DecodeError('addr'). */
function readAddr(fields: Fields, name: string): Uint8Array {
  const addr = fields.bytes(name);
  if (addr.length !== 4 && addr.length !== 16) {
    throw new DecodeError('addr', `${name}: an address has 4 or 16 bytes, not ${addr.length}`);
  }
  return new Uint8Array(addr);
}

function readVsn(fields: Fields): Uint8Array {
  const vsn = fields.bytes('Vsn');
  if (vsn.length === 0) return EMPTY;
  if (vsn.length < VSN_BYTES) {
    throw new DecodeError('vsn', `Vsn: a version vector has ${VSN_BYTES} bytes, not ${vsn.length}`);
  }
  return new Uint8Array(vsn.subarray(0, VSN_BYTES));
}

/**
 * Text of an error message's body. It is shown to people only, so what is not UTF-8 is merely said to be so.
 */
export function readErrorText(fields: Fields): string {
  return utf8Text(fields.bytes('Error')) ?? 'an error whose text is not valid UTF-8';
}
