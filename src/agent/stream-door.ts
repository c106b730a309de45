import type { Socket } from 'node:net';
import { DecodeError } from '../lib/errors.ts';
import type { Endpoint } from '../lib/net-address.ts';
import type { Millis } from '../lib/time.ts';
import type { Keyring } from '../memberlist/keyring.ts';
import { StreamReader } from '../memberlist/stream.ts';
import { type Listener, listenTcp } from '../net/tcp.ts';

/** How long somebody who connects may take to say what for. */
const HELLO_TIMEOUT_MS: Millis = 10_000;
/** What may arrive before it is said. The longest purpose is a name and an id. */
const HELLO_BYTES_MAX = 4096;
/** Connections that have not said it yet. */
const WAITING_MAX = 1024;

export interface StreamDoorParts {
  /** Undefined in a cluster without encryption. */
  readonly keyring: () => Keyring | undefined;
  /** From here on the socket is the receiver's. */
  readonly stream: (body: Uint8Array, socket: Socket, rest: Uint8Array) => void;
  readonly count: (name: string) => void;
}

/** A port for fanout's own streams alone, where the gossip port is another program's. The first message is as on that one. */
export class StreamDoor {
  private readonly parts: StreamDoorParts;
  private readonly waiting = new Set<Socket>();
  private listener: Listener | undefined;

  private constructor(parts: StreamDoorParts) {
    this.parts = parts;
  }

  /** Throws FanoutError CONFIG when it cannot listen there. */
  static async open(at: Endpoint, parts: StreamDoorParts): Promise<StreamDoor> {
    const door = new StreamDoor(parts);
    door.listener = await listenTcp(at, (socket) => door.accepted(socket));
    return door;
  }

  get port(): number {
    return this.listener?.port ?? 0;
  }

  async close(): Promise<void> {
    const closed = this.listener?.close();
    for (const socket of this.waiting) socket.destroy();
    await closed;
  }

  private accepted(socket: Socket): void {
    const { count, keyring, stream } = this.parts;
    if (this.waiting.size >= WAITING_MAX) {
      count('stream-door-full');
      return void socket.destroy();
    }
    this.waiting.add(socket);
    const reader = new StreamReader(keyring());
    const timer = setTimeout(() => socket.destroy(), HELLO_TIMEOUT_MS);
    const forget = (): void => {
      clearTimeout(timer);
      this.waiting.delete(socket);
    };
    const received = (chunk: Uint8Array): void => {
      try {
        const message = reader.push(chunk);
        if (message === undefined) {
          if (socket.bytesRead > HELLO_BYTES_MAX) throw new DecodeError('limit');
          return;
        }
        if (message.kind !== 'fanout') throw new DecodeError('kind');
        forget();
        socket.off('data', received);
        socket.off('end', ended);
        socket.pause();
        stream(message.body, socket, message.rest);
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error;
        count(`stream-door-${error.reason}`);
        socket.destroy();
      }
    };
    const ended = (): void => void socket.destroy();
    socket.on('data', received);
    socket.on('end', ended);
    socket.on('error', () => socket.destroy());
    socket.once('close', forget);
  }
}
