import { chmodSync, lstatSync, mkdirSync, unlinkSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { FanoutError, messageOf } from '../lib/errors.ts';
import { type ControlAddress, formatControlAddress } from './control-address.ts';
import { closing, connectTcp, type Listener, listening, SOCKET_BUFFER_BYTES } from './tcp.ts';

const CONNECT_TIMEOUT_MS = 10_000;

/**
 * Listens for operators. A unix socket lies in a directory of our own (0700) and has mode 0600: Node cannot ask who is
 * at the other end, so the file's permissions are the check. Throws FanoutError CONFIG.
 */
export async function listenControl(
  at: ControlAddress,
  onSocket: (socket: Socket) => void,
): Promise<Listener> {
  const server = createServer(
    { allowHalfOpen: false, noDelay: true, highWaterMark: SOCKET_BUFFER_BYTES },
    onSocket,
  );
  const name = formatControlAddress(at);
  if (!('path' in at)) {
    await listening(server, { host: at.host, port: at.port }, `the control address ${name}`);
    const address = server.address();
    return {
      port: typeof address === 'object' && address !== null ? address.port : at.port,
      close: () => closing(server),
    };
  }
  await makeWay(at.path);
  await listening(server, { path: at.path }, `the control socket ${name}`);
  chmodSync(at.path, 0o600);
  return { port: 0, close: () => closing(server) };
}

/** Connects to an agent. Throws FanoutError AGENT_UNREACHABLE. */
export async function connectControl(to: ControlAddress): Promise<Socket> {
  if ('path' in to) checkOwner(to.path);
  try {
    return await connectTcp(to, CONNECT_TIMEOUT_MS);
  } catch (cause) {
    const reason = messageOf(cause);
    throw new FanoutError('AGENT_UNREACHABLE', `no agent answers at ${formatControlAddress(to)}: ${reason}`, {
      hint: 'Start one with "fanout agent", or name the right one with --rpc-addr or FANOUT_RPC_ADDR.',
      cause,
    });
  }
}

/** In a folder that everybody can write, such as /tmp, a stranger's socket may wait where an agent's is expected. */
function checkOwner(path: string): void {
  const uid = process.getuid?.() ?? 0;
  const owner = ownerOf(path);
  if (owner === undefined || owner === 0 || uid === 0 || owner === uid) return;
  throw new FanoutError('AGENT_UNREACHABLE', `the socket ${path} belongs to somebody else (uid ${owner})`, {
    hint: 'Do not talk to it. Start an agent of your own with another --rpc-addr.',
  });
}

function ownerOf(path: string): number | undefined {
  try {
    return lstatSync(path).uid;
  } catch {
    // Not there, or out of reach: connecting will tell which.
    return undefined;
  }
}

/** Makes the directory, and removes the socket of an agent that is no more. A living agent's socket stays. */
async function makeWay(path: string): Promise<void> {
  const directory = dirname(path);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const held = lstatSync(directory);
  const uid = process.getuid?.();
  if (uid !== undefined && held.uid !== uid && held.uid !== 0) {
    throw new FanoutError('CONFIG', `${directory} belongs to somebody else (uid ${held.uid})`, {
      hint: 'Choose another place for the control socket with --rpc-addr.',
    });
  }
  const old = lstatSync(path, { throwIfNoEntry: false });
  if (old === undefined) return;
  if (!old.isSocket()) {
    throw new FanoutError('CONFIG', `${path} exists and is not a socket`, {
      hint: 'Choose another with --rpc-addr.',
    });
  }
  const answer = await connectTcp({ path }, 1000).catch((error: NodeJS.ErrnoException) => error.code);
  // Only a refusal says that nobody listens: an agent with a full queue is alive, and must keep its socket.
  if (answer === 'ECONNREFUSED') return unlinkSync(path);
  if (answer === 'ENOENT') return;
  if (typeof answer === 'object') answer.destroy();
  throw new FanoutError('CONFIG', `another agent answers at ${path}`, {
    hint: 'Stop it first, or give this one another --rpc-addr.',
  });
}
