import { DecodeError } from '../lib/errors.ts';
import { type Encodable, Fields, type MsgpackValue } from '../lib/msgpack.ts';
import type { MemberRecordStatus } from './members.ts';

/** What an operator's command line needs to know about its agent. */
export interface AgentInfo {
  readonly node: string;
  readonly version: string;
  readonly environment: string;
  readonly cluster: string;
  /** Where nodes bring their answers: the agent's advertised gossip address. */
  readonly addr: Uint8Array;
  readonly port: number;
  /** SHA-256 of the policy file in hex, '' without one. */
  readonly policyHash: string;
  readonly sandboxes: readonly SandboxRecord[];
}

interface SandboxRecord {
  readonly profile: string;
  readonly available: boolean;
  readonly reason: string;
}

/** What an agent tells while a run is under way. */
export type RunRecord =
  | { readonly kind: 'ack'; readonly from: string }
  /** A stream that claims to be this node's answer is waiting to be taken. */
  | { readonly kind: 'answer'; readonly from: string; readonly stream: number }
  | { readonly kind: 'member'; readonly name: string; readonly status: MemberRecordStatus };

export function encodeInfo(info: AgentInfo): Encodable {
  return {
    Addr: info.addr,
    Cluster: info.cluster,
    Environment: info.environment,
    Node: info.node,
    PolicyHash: info.policyHash,
    Port: info.port,
    Sandboxes: info.sandboxes.map(({ profile, available, reason }) => ({
      Available: available,
      Profile: profile,
      Reason: reason,
    })),
    Version: info.version,
  };
}

/** Throws DecodeError. */
export function decodeInfo(body: MsgpackValue): AgentInfo {
  const fields = Fields.of(body);
  return {
    node: fields.text('Node'),
    version: fields.text('Version'),
    environment: fields.text('Environment'),
    cluster: fields.text('Cluster'),
    addr: fields.bytes('Addr'),
    port: fields.u16('Port'),
    policyHash: fields.text('PolicyHash'),
    sandboxes: fields.list('Sandboxes').map((value) => {
      const sandbox = Fields.of(value);
      return {
        profile: sandbox.text('Profile'),
        available: sandbox.bool('Available'),
        reason: sandbox.text('Reason'),
      };
    }),
  };
}

export function encodeRunRecord(record: RunRecord): Encodable {
  switch (record.kind) {
    case 'ack':
      return { From: record.from, Type: 'ack' };
    case 'answer':
      return { From: record.from, Stream: record.stream, Type: 'answer' };
    case 'member':
      return { Name: record.name, Status: record.status, Type: 'member' };
  }
}

/** Throws DecodeError. */
export function decodeRunRecord(body: MsgpackValue): RunRecord {
  const fields = Fields.of(body);
  const type = fields.text('Type');
  if (type === 'ack') return { kind: 'ack', from: fields.text('From') };
  if (type === 'answer') return { kind: 'answer', from: fields.text('From'), stream: fields.u32('Stream') };
  if (type === 'member') {
    const status = fields.text('Status');
    if (status === 'alive' || status === 'leaving' || status === 'left' || status === 'failed') {
      return { kind: 'member', name: fields.text('Name'), status };
    }
    return { kind: 'member', name: fields.text('Name'), status: 'none' };
  }
  throw new DecodeError('field', `Type: unknown run record "${type}"`);
}

/** The stats of Serf's info: sections of texts. Throws DecodeError. */
export function decodeStats(body: MsgpackValue): Map<string, Map<string, string>> {
  const sections = Fields.of(body);
  const stats = new Map<string, Map<string, string>>();
  const names = body === null || typeof body !== 'object' ? [] : Object.keys(body);
  for (const name of names) stats.set(name, sections.textMap(name));
  return stats;
}
