import type { Socket } from 'node:net';
import { messageOf } from '../lib/errors.ts';
import type { Endpoint } from '../lib/net-address.ts';
import type { Output, StreamId } from '../memberlist/ports.ts';
import { connectTcp, type Listener, listenTcp } from './tcp.ts';
import { bindUdp, type UdpSocket } from './udp.ts';

/** What the transport reports to the membership core. */
export interface GossipInput {
  packet(from: Endpoint, bytes: Uint8Array): void;
  accepted(): StreamId;
  data(id: StreamId, from: Endpoint, chunk: Uint8Array): void;
  closed(id: StreamId, error: string | undefined): void;
  /** A peer opened one of fanout's own streams. From here on the socket is the receiver's. */
  fanoutStream(body: Uint8Array, socket: Socket, rest: Uint8Array): void;
}

/** When another agent takes the TCP port between our two binds of port 0, we try another one. */
const BIND_ATTEMPTS = 20;

/** How long a closed stream may take to flush: destroying it at once could lose our last bytes on their way. */
const FLUSH_MS = 2000;

/** UDP and TCP on one port, as memberlist has it, carrying out what the core asks for. */
export class GossipTransport {
  private readonly input: GossipInput;
  private readonly sockets = new Map<StreamId, Socket>();
  private readonly dialing = new Set<StreamId>();
  private udp: UdpSocket | undefined;
  private tcp: Listener | undefined;

  private constructor(input: GossipInput) {
    this.input = input;
  }

  /** Binds both sockets; port 0 picks one that is free for both. Throws FanoutError CONFIG when it cannot. */
  static async bind(at: Endpoint, input: GossipInput): Promise<GossipTransport> {
    const transport = new GossipTransport(input);
    for (let attempt = 1; ; attempt++) {
      transport.tcp = await listenTcp(at, (socket) => transport.accepted(socket));
      try {
        transport.udp = await bindUdp(
          { host: at.host, port: transport.tcp.port },
          (from, bytes) => input.packet(from, bytes),
          () => {},
        );
        return transport;
      } catch (error) {
        await transport.tcp.close();
        if (at.port !== 0 || attempt === BIND_ATTEMPTS) throw error;
      }
    }
  }

  get port(): number {
    return this.tcp?.port ?? 0;
  }

  get receiveBufferBytes(): number {
    return this.udp?.receiveBufferBytes ?? 0;
  }

  carryOut(output: Output): void {
    switch (output.kind) {
      case 'datagram':
        this.udp?.send(output.to, output.bytes);
        return;
      case 'dial':
        void this.dial(output);
        return;
      case 'write':
        this.sockets.get(output.id)?.write(output.bytes);
        return;
      case 'close':
        this.dialing.delete(output.id);
        finish(this.release(output.id));
        return;
      case 'handover': {
        const socket = this.release(output.id);
        if (socket !== undefined) this.input.fanoutStream(output.body, socket, output.rest);
        return;
      }
    }
  }

  /** Opens a stream of fanout's own to a node. Rejects with the system's reason. */
  openStream(to: Endpoint, timeoutMs: number): Promise<Socket> {
    return connectTcp(to, timeoutMs);
  }

  async close(): Promise<void> {
    for (const socket of this.sockets.values()) socket.destroy();
    this.sockets.clear();
    await Promise.all([this.udp?.close(), this.tcp?.close()]);
  }

  private accepted(socket: Socket): void {
    this.attach(this.input.accepted(), socket);
  }

  private attach(id: StreamId, socket: Socket): void {
    const from = { host: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 };
    this.sockets.set(id, socket);
    let failure: string | undefined;
    socket.on('data', (chunk) => this.input.data(id, from, chunk));
    socket.on('error', (error) => {
      failure = error.message;
    });
    socket.on('end', () => this.finished(id, failure));
    socket.on('close', () => this.finished(id, failure));
  }

  private finished(id: StreamId, error: string | undefined): void {
    const socket = this.sockets.get(id);
    if (socket === undefined) return;
    this.sockets.delete(id);
    socket.destroy();
    this.input.closed(id, error);
  }

  /** Takes a socket out of the core's hands. */
  private release(id: StreamId): Socket | undefined {
    const socket = this.sockets.get(id);
    if (socket === undefined) return undefined;
    this.sockets.delete(id);
    socket.removeAllListeners('data');
    socket.removeAllListeners('end');
    socket.removeAllListeners('close');
    socket.removeAllListeners('error');
    socket.on('error', () => socket.destroy());
    socket.pause();
    return socket;
  }

  private async dial(output: Extract<Output, { kind: 'dial' }>): Promise<void> {
    this.dialing.add(output.id);
    try {
      const socket = await connectTcp(output.to, output.timeoutMs);
      // The core may have given up meanwhile.
      if (!this.dialing.delete(output.id)) return void socket.destroy();
      this.attach(output.id, socket);
      socket.write(output.bytes);
    } catch (error) {
      if (!this.dialing.delete(output.id)) return;
      this.input.closed(output.id, messageOf(error));
    }
  }
}

/** Sends what was written and closes, whatever the other side does. */
function finish(socket: Socket | undefined): void {
  if (socket === undefined) return;
  socket.end();
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), FLUSH_MS);
  socket.once('end', () => socket.destroy());
  socket.once('close', () => clearTimeout(timer));
}
