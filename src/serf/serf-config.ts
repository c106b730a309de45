import type { MemberlistConfig, Profile } from '../memberlist/config.ts';
import type { Keyring } from '../memberlist/keyring.ts';

/** Serf always runs memberlist protocol 2 of 1..5; the delegate version is Serf's own protocol. */
const MEMBERLIST_PROTOCOL = [1, 5, 2] as const;
const SERF_PROTOCOL_MIN = 2;
const SERF_PROTOCOL = 5;

export interface SerfConfig {
  readonly name: string;
  /** The advertised address, 4 or 16 bytes. */
  readonly addr: Uint8Array;
  readonly port: number;
  readonly tags: ReadonlyMap<string, string>;
  readonly profile: Profile;
  readonly compression: boolean;
  readonly keyring: Keyring | undefined;
  /** Decides whether a value of a tag matches an expression that came by wire (Go's RE2 syntax, unanchored). Must be linear-time. */
  readonly matches: (expression: string, value: string) => boolean;
}

export function memberlistConfig(config: SerfConfig): MemberlistConfig {
  const { name, addr, port, profile, compression, keyring } = config;
  const vsn = Uint8Array.from([...MEMBERLIST_PROTOCOL, SERF_PROTOCOL_MIN, SERF_PROTOCOL, SERF_PROTOCOL]);
  return { name, addr, port, vsn, profile, compression, keyring };
}
