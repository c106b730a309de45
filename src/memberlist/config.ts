import type { Millis } from '../lib/time.ts';
import type { Keyring } from './keyring.ts';
import type { PeerProofs } from './proofs.ts';

/** memberlist's timing and fan-out settings. The three profiles are its DefaultLANConfig, DefaultWANConfig and DefaultLocalConfig. */
export interface Profile {
  /** One deadline for a whole stream exchange. */
  readonly tcpTimeoutMs: Millis;
  /** Peers asked to probe on our behalf when a direct probe was not answered in time. */
  readonly indirectChecks: number;
  readonly retransmitMult: number;
  readonly suspicionMult: number;
  readonly suspicionMaxTimeoutMult: number;
  readonly pushPullIntervalMs: Millis;
  readonly probeIntervalMs: Millis;
  readonly probeTimeoutMs: Millis;
  /** The health score stays below this, so probe intervals stretch at most this many times. */
  readonly awarenessMaxMultiplier: number;
  readonly gossipIntervalMs: Millis;
  readonly gossipNodes: number;
  /** For this long a dead node still gets gossip, so that a live one hears of its death and refutes. */
  readonly gossipToTheDeadMs: Millis;
}

export const LAN_PROFILE: Profile = {
  tcpTimeoutMs: 10_000,
  indirectChecks: 3,
  retransmitMult: 4,
  suspicionMult: 4,
  suspicionMaxTimeoutMult: 6,
  pushPullIntervalMs: 30_000,
  probeIntervalMs: 1000,
  probeTimeoutMs: 500,
  awarenessMaxMultiplier: 8,
  gossipIntervalMs: 200,
  gossipNodes: 3,
  gossipToTheDeadMs: 30_000,
};

export const WAN_PROFILE: Profile = {
  ...LAN_PROFILE,
  tcpTimeoutMs: 30_000,
  suspicionMult: 6,
  pushPullIntervalMs: 60_000,
  probeIntervalMs: 5000,
  probeTimeoutMs: 3000,
  gossipIntervalMs: 500,
  gossipNodes: 4,
  gossipToTheDeadMs: 60_000,
};

export const LOCAL_PROFILE: Profile = {
  ...LAN_PROFILE,
  tcpTimeoutMs: 1000,
  indirectChecks: 1,
  retransmitMult: 2,
  suspicionMult: 3,
  pushPullIntervalMs: 15_000,
  probeTimeoutMs: 200,
  gossipIntervalMs: 100,
  gossipToTheDeadMs: 15_000,
};

export interface MemberlistConfig {
  readonly name: string;
  /** The advertised address: 4 bytes for IPv4 (peers compare these bytes, so the form must never change), 16 for IPv6. */
  readonly addr: Uint8Array;
  readonly port: number;
  /** [PMin, PMax, PCur, DMin, DMax, DCur], six bytes. */
  readonly vsn: Uint8Array;
  readonly profile: Profile;
  readonly compression: boolean;
  /** Absent: the cluster gossips in clear. */
  readonly keyring: Keyring | undefined;
  /** Absent: nobody's name is proven, as in Serf. */
  readonly proofs?: PeerProofs | undefined;
}
