import { createServer, type NetConnectOpts, connect as netConnect, type Server, type Socket } from 'node:net';
import { FanoutError } from '../lib/errors.ts';
import type { Endpoint } from '../lib/net-address.ts';

export interface Listener {
  readonly port: number;
  close(): Promise<void>;
}

const BACKLOG = 1024;

/**
 * What one socket may hold back on its way in or out. With Node's 16 KiB every 64 KiB frame would stop and restart its
 * sender, and a gigabyte crawls; this much keeps both ends busy and costs nothing while nothing flows.
 */
export const SOCKET_BUFFER_BYTES = 512 * 1024;

/** Listens on TCP. The other side may close its half and still be answered. Throws FanoutError CONFIG when it cannot. */
export async function listenTcp(at: Endpoint, onSocket: (socket: Socket) => void): Promise<Listener> {
  const server = createServer(
    { allowHalfOpen: true, noDelay: true, highWaterMark: SOCKET_BUFFER_BYTES },
    onSocket,
  );
  await listening(server, { host: at.host, port: at.port, backlog: BACKLOG }, `TCP ${at.host}:${at.port}`);
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : at.port,
    close: () => closing(server),
  };
}

/** Starts a server, or explains why not. */
export async function listening(
  server: Server,
  options: { host?: string; port?: number; path?: string; backlog?: number },
  what: string,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => {
      const hint = 'Is another agent running there? Choose another address or port.';
      reject(new FanoutError('CONFIG', `cannot listen on ${what}: ${error.message}`, { hint, cause: error }));
    });
    server.listen(options, resolve);
  });
  server.removeAllListeners('error');
  // Running out of descriptors shows here: connections are refused for a while, the agent goes on.
  server.on('error', () => {});
}

export function closing(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

/** The types of net.connect leave out what its streams take. */
function withBuffer(to: Endpoint | { readonly path: string }): NetConnectOpts {
  const buffer = { highWaterMark: SOCKET_BUFFER_BYTES };
  return 'path' in to ? { path: to.path, ...buffer } : { host: to.host, port: to.port, ...buffer };
}

/** Connects, or rejects with the system's reason, within `timeoutMs`. */
export function connectTcp(to: Endpoint | { readonly path: string }, timeoutMs: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = netConnect(withBuffer(to));
    const timer = setTimeout(() => socket.destroy(new Error('connection timed out')), timeoutMs);
    socket.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.removeAllListeners('error');
      resolve(socket);
    });
  });
}
