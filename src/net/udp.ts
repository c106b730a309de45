import { createSocket, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { FanoutError } from '../lib/errors.ts';
import type { Endpoint } from '../lib/net-address.ts';

/** Asked of the system for bursts after joins and queries; it may grant less. */
const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024;
const RECEIVE_BUFFER_BYTES_MIN = 64 * 1024;

export interface UdpSocket {
  readonly port: number;
  /** The receive buffer that the system granted, in bytes. */
  readonly receiveBufferBytes: number;
  send(to: Endpoint, bytes: Uint8Array): void;
  close(): Promise<void>;
}

/** Binds the socket that all datagrams leave from and arrive at. Throws FanoutError CONFIG when it cannot. */
export async function bindUdp(
  at: Endpoint,
  onPacket: (from: Endpoint, bytes: Uint8Array) => void,
  onSendError: (error: Error) => void,
): Promise<UdpSocket> {
  const socket = createSocket(isIPv6(at.host) ? 'udp6' : 'udp4');
  socket.on('message', (bytes, from) => {
    if (bytes.length > 0) onPacket({ host: from.address, port: from.port }, bytes);
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('error', (error) => {
      socket.close();
      reject(
        new FanoutError('CONFIG', `cannot bind UDP ${at.host}:${at.port}: ${error.message}`, {
          hint: 'Is another agent running there? Choose another address or port with --bind.',
          cause: error,
        }),
      );
    });
    socket.bind(at.port, at.host, resolve);
  });
  socket.removeAllListeners('error');
  // An unreachable peer can surface here as an error of an earlier datagram; the failure detector deals with peers.
  socket.on('error', onSendError);
  return {
    port: socket.address().port,
    receiveBufferBytes: growReceiveBuffer(socket),
    send: (to, bytes) => {
      // Node throws for port 0, which a peer can state as its own.
      if (to.port === 0) return;
      socket.send(bytes, to.port, to.host, (error) => {
        if (error !== null && error !== undefined) onSendError(error);
      });
    },
    close: () => new Promise((resolve) => socket.close(() => resolve())),
  };
}

function growReceiveBuffer(socket: Socket): number {
  for (let bytes = RECEIVE_BUFFER_BYTES; bytes >= RECEIVE_BUFFER_BYTES_MIN; bytes /= 2) {
    try {
      socket.setRecvBufferSize(bytes);
      break;
    } catch {
      // Refused: ask for half.
    }
  }
  return socket.getRecvBufferSize();
}
