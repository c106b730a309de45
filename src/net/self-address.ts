import { networkInterfaces } from 'node:os';

/**
 * The address to advertise when an agent is bound to all interfaces: a private IPv4 address of this machine, as Serf
 * chooses, else any that is not loopback, else undefined.
 */
export function selfAddress(): string | undefined {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const usable = all.filter((one) => one.family === 'IPv4' && !one.internal).map((one) => one.address);
  return usable.find((address) => /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.)/.test(address)) ?? usable[0];
}
