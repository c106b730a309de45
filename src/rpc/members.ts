import { type Encodable, Fields, type MsgpackValue } from '../lib/msgpack.ts';

const STATUSES = ['none', 'alive', 'leaving', 'left', 'failed'] as const;
export type MemberRecordStatus = (typeof STATUSES)[number];

/** A member as Serf's RPC tells of it. */
export interface MemberRecord {
  readonly name: string;
  /** 4 or 16 bytes. */
  readonly addr: Uint8Array;
  readonly port: number;
  readonly tags: ReadonlyMap<string, string>;
  readonly status: MemberRecordStatus;
  /** [PMin, PMax, PCur, DMin, DMax, DCur]. */
  readonly vsn: Uint8Array;
}

export function encodeMember(member: MemberRecord): Encodable {
  const [protocolMin, protocolMax, protocolCur, delegateMin, delegateMax, delegateCur] = member.vsn;
  return {
    Addr: member.addr,
    DelegateCur: delegateCur ?? 0,
    DelegateMax: delegateMax ?? 0,
    DelegateMin: delegateMin ?? 0,
    Name: member.name,
    Port: member.port,
    ProtocolCur: protocolCur ?? 0,
    ProtocolMax: protocolMax ?? 0,
    ProtocolMin: protocolMin ?? 0,
    Status: member.status,
    Tags: Object.fromEntries(member.tags),
  };
}

/** Throws DecodeError. A status that we do not know counts as none. */
function decodeMember(value: MsgpackValue): MemberRecord {
  const fields = Fields.of(value);
  const status = STATUSES.find((known) => known === fields.text('Status')) ?? 'none';
  return {
    name: fields.text('Name'),
    addr: fields.bytes('Addr'),
    port: fields.u16('Port'),
    tags: fields.textMap('Tags'),
    status,
    vsn: Uint8Array.of(
      fields.u8('ProtocolMin'),
      fields.u8('ProtocolMax'),
      fields.u8('ProtocolCur'),
      fields.u8('DelegateMin'),
      fields.u8('DelegateMax'),
      fields.u8('DelegateCur'),
    ),
  };
}

/** The `Members` list of a reply. Throws DecodeError. */
export function decodeMembers(body: MsgpackValue): MemberRecord[] {
  return Fields.of(body).list('Members').map(decodeMember);
}
