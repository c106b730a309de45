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

/** The addresses of a network interface, those of the link alone last; undefined when there is no such interface. */
export function interfaceAddresses(name: string): readonly string[] | undefined {
  const all = networkInterfaces();
  if (!Object.hasOwn(all, name)) return undefined;
  const addresses = (all[name] ?? []).map((one) => one.address);
  return [...addresses.filter((one) => !isOfLink(one)), ...addresses.filter(isOfLink)];
}

/** The names of the interfaces that have an address. */
export function interfaceNames(): readonly string[] {
  return Object.keys(networkInterfaces());
}

/** Addresses that mean nothing beyond their link. */
export function isOfLink(address: string): boolean {
  return address.startsWith('169.254.') || /^fe[89ab]/i.test(address);
}
