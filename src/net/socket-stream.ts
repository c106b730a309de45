import type { Socket } from 'node:net';
import type { ByteStream } from '../lib/byte-stream.ts';

/** How long a stream may take to flush its last bytes once it was ended. A peer that stops reading must not keep it. */
const LINGER_MS = 30_000;

/** Makes a ByteStream of a socket. `early` is what was read from the socket before. */
export function socketStream(socket: Socket, early?: Uint8Array): ByteStream {
  let closed = false;
  let failure: Error | undefined;
  const closers: ((error: Error | undefined) => void)[] = [];
  socket.setNoDelay(true);
  socket.on('error', (error) => {
    failure = error;
  });
  socket.once('close', () => {
    closed = true;
    for (const closer of closers.splice(0)) closer(failure);
  });
  // The other side closed its half. Nothing in our protocols goes on after that.
  socket.once('end', () => socket.end());
  if (early !== undefined && early.length > 0) socket.unshift(early);
  return {
    write: (bytes) => (socket.writable ? socket.write(bytes) : true),
    onDrain: (listener) => void socket.on('drain', listener),
    onData: (listener) => {
      socket.on('data', listener);
      // A socket that was handed over is paused, and listening alone does not wake it.
      socket.resume();
    },
    onClose: (listener) => {
      if (closed) listener(failure);
      else closers.push(listener);
    },
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    end: () => {
      socket.end();
      const linger = setTimeout(() => socket.destroy(), LINGER_MS);
      linger.unref();
      socket.once('close', () => clearTimeout(linger));
    },
    destroy: () => void socket.destroy(),
  };
}
