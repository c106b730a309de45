import { join } from 'node:path';
import { FanoutError } from '../lib/errors.ts';
import { type Endpoint, splitHostPort } from '../lib/net-address.ts';

/** Serf's RPC port. */
const RPC_PORT = 7373;

export type ControlAddress = { readonly path: string } | Endpoint;

/**
 * Where an agent's control socket is by default: a unix socket that only its user can reach. /run/fanout for root, else
 * the user's runtime directory.
 */
export function defaultControlAddress(env: NodeJS.ProcessEnv = process.env): ControlAddress {
  if (process.getuid?.() === 0) return { path: '/run/fanout/agent.sock' };
  const runtime = env.XDG_RUNTIME_DIR;
  if (runtime?.startsWith('/')) return { path: join(runtime, 'fanout', 'agent.sock') };
  return { path: `/tmp/fanout-${process.getuid?.() ?? 0}/agent.sock` };
}

/** `unix:/path`, an absolute path, HOST or HOST:PORT. Throws FanoutError USAGE. */
export function parseControlAddress(text: string): ControlAddress {
  if (text.startsWith('unix:')) return { path: text.slice(5) };
  if (text.startsWith('/')) return { path: text };
  const endpoint = splitHostPort(text, RPC_PORT);
  if (endpoint !== undefined) return endpoint;
  throw new FanoutError('USAGE', `"${text}" is not the address of an agent`, {
    hint: 'Write HOST:PORT, or the path of a unix socket such as /run/fanout/agent.sock.',
  });
}

export function formatControlAddress(address: ControlAddress): string {
  if ('path' in address) return address.path;
  return `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`;
}
