import { createServer, connect as netConnect, type Server, type Socket } from 'node:net';
import { FanoutError } from '../lib/errors.ts';
import type { Endpoint } from '../lib/net-address.ts';

export interface Listener {
  readonly port: number;
  close(): Promise<void>;
}

const BACKLOG = 1024;

/** Listens on TCP. The other side may close its half and still be answered. Throws FanoutError CONFIG when it cannot. */
export async function listenTcp(at: Endpoint, onSocket: (socket: Socket) => void): Promise<Listener> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, onSocket);
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

/** Connects, or rejects with the system's reason, within `timeoutMs`. */
export function connectTcp(to: Endpoint | { readonly path: string }, timeoutMs: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = netConnect('path' in to ? { path: to.path } : { host: to.host, port: to.port });
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
