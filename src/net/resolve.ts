import { lookup } from 'node:dns/promises';
import { FanoutError } from '../lib/errors.ts';
import { type Endpoint, ipBytes, splitHostPort } from '../lib/net-address.ts';

/**
 * All addresses of `host`, `host:port`, `[v6]:port` or `name/host:port` (the name before the slash is information only,
 * as in Serf). Throws FanoutError USAGE when the text is no address, and AGENT_ERROR when the name is unknown.
 */
export async function resolveEndpoints(text: string, defaultPort: number): Promise<Endpoint[]> {
  const address = splitHostPort(text.slice(text.lastIndexOf('/') + 1), defaultPort);
  if (address === undefined) {
    const hint = 'Write HOST, HOST:PORT or [IPV6]:PORT.';
    throw new FanoutError('USAGE', `"${text}" is not an address`, { hint });
  }
  if (ipBytes(address.host) !== undefined) return [address];
  try {
    const found = await lookup(address.host, { all: true });
    return found.map(({ address: host }) => ({ host, port: address.port }));
  } catch (cause) {
    throw new FanoutError('AGENT_ERROR', `cannot resolve "${address.host}"`, {
      hint: 'Is the name right, and does this machine know a name server?',
      cause,
    });
  }
}
