import type { Socket } from 'node:net';
import type { ControlAddress } from '../net/control-address.ts';
import { listenControl } from '../net/control-socket.ts';
import type { Listener } from '../net/tcp.ts';
import type { Controlled } from './control.ts';
import { RpcSession } from './rpc-session.ts';

/** Operators at a time. Each answer stream of a run is a connection of its own. */
const SESSIONS_MAX = 8192;

/** The agent's control plane: Serf's RPC with fanout's additions, one session per connection. */
export class RpcServer {
  readonly address: ControlAddress;
  private readonly listener: Listener;
  private readonly sessions: Set<RpcSession>;

  private constructor(address: ControlAddress, listener: Listener, sessions: Set<RpcSession>) {
    this.address = address;
    this.listener = listener;
    this.sessions = sessions;
  }

  /** Throws FanoutError CONFIG when it cannot listen there. */
  static async start(agent: Controlled, at: ControlAddress): Promise<RpcServer> {
    const sessions = new Set<RpcSession>();
    const listener = await listenControl(at, (socket: Socket) => {
      if (sessions.size >= SESSIONS_MAX) return void socket.destroy();
      const session = new RpcSession(agent, socket);
      sessions.add(session);
      socket.once('close', () => sessions.delete(session));
    });
    const address = 'path' in at ? at : { host: at.host, port: listener.port };
    return new RpcServer(address, listener, sessions);
  }

  async close(): Promise<void> {
    const closed = this.listener.close();
    for (const session of this.sessions) session.close();
    await closed;
  }
}
