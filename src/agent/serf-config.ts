import { FanoutError } from '../lib/errors.ts';
import { ipBytes } from '../lib/net-address.ts';
import { Keyring, parseClusterKey } from '../memberlist/keyring.ts';
import type { SerfConfig } from '../serf/serf-config.ts';
import type { AgentConfig } from './config.ts';
import { matchesExpression } from './expression.ts';
import { loadKeyring } from './keyring-file.ts';

/** The cluster's keys as the configuration has them. Throws FanoutError. */
export function keyringOf({ encryptKey, serf }: AgentConfig): Keyring | undefined {
  if (serf.keyringFile !== undefined) return loadKeyring(serf.keyringFile);
  return encryptKey === undefined ? undefined : new Keyring([parseClusterKey(encryptKey)]);
}

/** What the Serf core is told, with the port that was bound. Throws FanoutError. */
export function serfConfig(config: AgentConfig, port: number): SerfConfig {
  const host = config.advertise?.host ?? config.bind.host;
  const addr = ipBytes(host);
  if (addr === undefined) {
    throw new FanoutError('CONFIG', `"${host}" is not an IP address`, {
      hint: 'Give --bind an address of this machine.',
    });
  }
  return {
    name: config.node,
    addr,
    port: config.advertise?.port ?? port,
    tags: config.tags,
    profile: config.profile,
    compression: config.compression,
    protocol: config.protocol,
    timings: config.timings,
    keyring: keyringOf(config),
    matches: matchesExpression,
  };
}
