import { FanoutError } from '../../lib/errors.ts';
import { type Endpoint, ipBytes, splitHostPort } from '../../lib/net-address.ts';
import { resolveEndpoints } from '../../net/resolve.ts';
import { interfaceAddresses, interfaceNames, isOfLink, selfAddress } from '../../net/self-address.ts';

const GOSSIP_PORT = 7946;
const ANY_V4 = '0.0.0.0';
const ANY_V6 = '::';

/**
 * What to bind. With a network interface it is that interface's first address which means something beyond its link, or
 * the given one if the interface has it, as Serf. Throws FanoutError CONFIG.
 */
export async function resolveBind(text: string, iface: string | undefined): Promise<Endpoint> {
  const bind = await endpoint('bind', text);
  if (iface === undefined) return bind;
  const addresses = interfaceAddresses(iface);
  if (addresses === undefined) {
    throw new FanoutError(
      'CONFIG',
      `interface "${iface}": this machine has none of that name with an address`,
      {
        hint: `There are: ${interfaceNames().join(', ') || 'none'}.`,
      },
    );
  }
  if (bind.host !== ANY_V4 && bind.host !== ANY_V6) {
    if (addresses.includes(bind.host)) return bind;
    throw new FanoutError('CONFIG', `interface "${iface}" does not have the address ${bind.host}`, {
      hint: `It has: ${addresses.join(', ')}. Give one of them to --bind, or leave --bind out.`,
    });
  }
  const [first] = addresses;
  if (first !== undefined && !isOfLink(first)) return { host: first, port: bind.port };
  throw new FanoutError('CONFIG', `interface "${iface}" has no address that others can use`, {
    hint: `It has: ${addresses.join(', ') || 'none'}.`,
  });
}

/** An address that the others should use, where one was told. Throws FanoutError. */
export async function resolveTold(told: string | undefined, bind: Endpoint): Promise<Endpoint | undefined> {
  return told === undefined ? undefined : endpoint('advertise', told, bind.port);
}

/** What to tell the others: bound to all interfaces, an agent must still tell them one address. Throws FanoutError CONFIG. */
export async function resolveAdvertise(
  told: string | undefined,
  bind: Endpoint,
): Promise<Endpoint | undefined> {
  if (told !== undefined) return resolveTold(told, bind);
  if (bind.host !== ANY_V4 && bind.host !== ANY_V6) return undefined;
  const host = selfAddress();
  if (host !== undefined) return { host, port: bind.port };
  throw new FanoutError('CONFIG', 'this machine has no address but loopback to tell the others', {
    hint: 'Give one with --advertise, or bind to 127.0.0.1 for a cluster on this machine.',
  });
}

/** An address, or a name that has one. As in Go, no host is all of them. */
async function endpoint(what: string, text: string, port = GOSSIP_PORT): Promise<Endpoint> {
  const whole = text.startsWith(':') && !text.startsWith('::') ? `${ANY_V4}${text}` : text;
  const parsed = splitHostPort(whole, port);
  if (parsed !== undefined && ipBytes(parsed.host) !== undefined) return parsed;
  // A name has a letter: what looks like an address and is none must not be asked for.
  if (parsed !== undefined && /[A-Za-z]/.test(parsed.host)) {
    const [first] = await resolveEndpoints(whole, port);
    if (first !== undefined) return first;
  }
  throw new FanoutError('USAGE', `${what} ${text}: not an address with an optional port`, {
    hint: `For example ${what === 'bind' ? '--bind' : '--advertise'} 10.0.0.5:7946.`,
  });
}
