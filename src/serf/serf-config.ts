import type { Millis } from '../lib/time.ts';
import type { MemberlistConfig, Profile } from '../memberlist/config.ts';
import type { Keyring } from '../memberlist/keyring.ts';
import type { PeerProofs } from '../memberlist/proofs.ts';
import type { KeyGuard } from './key-queries.ts';
import type { SnapshotClocks } from './snapshot.ts';

/** Serf always runs memberlist protocol 2 of 1..5; the delegate version is Serf's own protocol. */
const MEMBERLIST_PROTOCOL = [1, 5, 2] as const;
/** The oldest that we understand. */
export const SERF_PROTOCOL_MIN = 2;
/** What we speak when nobody says otherwise. */
export const SERF_PROTOCOL = 5;

/** How long Serf waits with what is not gossip. */
export interface SerfTimings {
  /** Between two attempts to reach a failed member again. */
  readonly reconnectIntervalMs: Millis;
  /** How long a failed member is kept. */
  readonly reconnectTimeoutMs: Millis;
  /** How long a member that has left is kept. */
  readonly tombstoneTimeoutMs: Millis;
  /** How long a leave waits for each of its messages to be spread. */
  readonly broadcastTimeoutMs: Millis;
}

/** Serf's DefaultConfig. */
export const SERF_TIMINGS: SerfTimings = {
  reconnectIntervalMs: 30_000,
  reconnectTimeoutMs: 24 * 3_600_000,
  tombstoneTimeoutMs: 24 * 3_600_000,
  broadcastTimeoutMs: 5000,
};

export interface SerfConfig {
  readonly name: string;
  /** The advertised address, 4 or 16 bytes. */
  readonly addr: Uint8Array;
  readonly port: number;
  readonly tags: ReadonlyMap<string, string>;
  readonly profile: Profile;
  readonly compression: boolean;
  /** Absent: SERF_PROTOCOL. What differs in 4 is the number alone. */
  readonly protocol?: number;
  /** Absent: SERF_TIMINGS. */
  readonly timings?: SerfTimings;
  readonly keyring: Keyring | undefined;
  /** Lamport times of an agent before us: what they are older than was heard already. */
  readonly restored?: SnapshotClocks;
  /** Absent: everybody may change keys, as in Serf. */
  readonly keyGuard?: KeyGuard;
  /** Absent: whose a name is goes by addresses alone, as in Serf. */
  readonly proofs?: PeerProofs;
  /** Decides whether a value of a tag matches an expression that came by wire (Go's RE2 syntax, unanchored). Must be linear-time. */
  readonly matches: (expression: string, value: string) => boolean;
}

export function memberlistConfig(config: SerfConfig): MemberlistConfig {
  const { name, addr, port, profile, compression, keyring, proofs } = config;
  const current = config.protocol ?? SERF_PROTOCOL;
  const vsn = Uint8Array.from([...MEMBERLIST_PROTOCOL, SERF_PROTOCOL_MIN, SERF_PROTOCOL, current]);
  return { name, addr, port, vsn, profile, compression, keyring, proofs };
}
