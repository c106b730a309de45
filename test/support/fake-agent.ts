import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { removeFolder, temporaryFolder } from './processes.ts';

/** What a fake agent does with one request: its answer as raw bytes, or whatever it likes with the connection. */
type Behaviour = (request: Buffer, socket: Socket) => Uint8Array | undefined;

/** Something that listens where an ssh-agent is expected. */
export class FakeAgent {
  readonly dir = temporaryFolder();
  readonly path = join(this.dir, 'agent.sock');
  /** The requests that came, without their length. */
  readonly requests: Buffer[] = [];
  private readonly sockets = new Set<Socket>();
  private readonly server: Server;

  constructor(behaviour: Behaviour) {
    this.server = createServer((socket) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket)).on('error', () => {});
      let bytes = Buffer.alloc(0);
      socket.on('data', (chunk) => {
        bytes = Buffer.concat([bytes, chunk]);
        if (bytes.length < 4 || bytes.length < 4 + bytes.readUInt32BE(0)) return;
        const request = bytes.subarray(4);
        this.requests.push(request);
        const answer = behaviour(request, socket);
        if (answer !== undefined) socket.write(answer);
      });
    });
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.server.listen(this.path, resolve));
    return this;
  }

  /** Connections that are still open. */
  get open(): number {
    return this.sockets.size;
  }

  stop(): void {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    removeFolder(this.dir);
  }
}
