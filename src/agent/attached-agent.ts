import { randomBytes } from 'node:crypto';
import { FanoutError } from '../lib/errors.ts';
import { ipBytes } from '../lib/net-address.ts';
import { VERSION } from '../lib/version.ts';
import { type ControlAddress, formatControlAddress } from '../net/control-address.ts';
import { connectControl } from '../net/control-socket.ts';
import { socketStream } from '../net/socket-stream.ts';
import { RpcClient } from '../rpc/client.ts';
import type { SerfEvent } from '../serf/events.ts';
import { encodeTags } from '../serf/tags.ts';
import { AttachedSession } from './attached-session.ts';
import type { AgentConfig } from './config.ts';
import type { Controlled, SerfSession } from './control.ts';
import { Host, openGround } from './host.ts';
import type { Log } from './log.ts';
import { SerfAttachment } from './serf-attachment.ts';
import { keyringOf } from './serf-config.ts';
import { StreamDoor } from './stream-door.ts';

/** A conversation with the Serf agent at an address. Throws FanoutError. */
async function connectSerf(at: ControlAddress, authKey: string | undefined): Promise<RpcClient> {
  const socket = await connectControl(at).catch((error: Error) => {
    const { cause } = error;
    const reason = cause instanceof Error ? cause.message : error.message;
    throw new FanoutError(
      'AGENT_UNREACHABLE',
      `no Serf agent answers at ${formatControlAddress(at)}: ${reason}`,
      {
        hint: 'Start "serf agent" first, or name the address of its RPC with --rpc-addr.',
        cause: error,
      },
    );
  });
  return RpcClient.connect(socketStream(socket), authKey);
}

/** An agent beside a real Serf agent: that one does the gossip, this one has everything that is fanout's own. */
export class AttachedAgent implements Controlled {
  readonly config: AgentConfig;
  readonly log: Log;
  readonly host: Host;
  private readonly engine: SerfAttachment;
  private readonly door: StreamDoor;
  private readonly connect: () => Promise<RpcClient>;

  private constructor(parts: {
    host: Host;
    engine: SerfAttachment;
    door: StreamDoor;
    connect: () => Promise<RpcClient>;
  }) {
    const { host, engine, door, connect } = parts;
    this.config = host.config;
    this.log = host.log;
    this.host = host;
    this.engine = engine;
    this.door = door;
    this.connect = connect;
  }

  /** Throws FanoutError when there is no Serf agent at `serf`, it refuses us, or something else cannot be had. */
  static async start(config: AgentConfig, serf: ControlAddress, log: Log): Promise<AttachedAgent> {
    const connect = (): Promise<RpcClient> => connectSerf(serf, config.serf.rpcAuth);
    const keyring = keyringOf(config);
    const ground = await openGround(config, log);
    let host: Host | undefined;
    let door: StreamDoor | undefined;
    let engine: SerfAttachment | undefined;
    const early: SerfEvent[] = [];
    try {
      door = await StreamDoor.open(config.bind, {
        keyring: () => keyring,
        count: (name) => engine?.count(name),
        // Who comes before there is a host is sent away, and comes again.
        stream: (body, socket, rest) =>
          host === undefined ? socket.destroy() : host.stream(body, socket, rest),
      });
      engine = await SerfAttachment.start({
        name: config.node,
        addr: config.advertise === undefined ? undefined : ipBytes(config.advertise.host),
        connect,
        keyring: () => keyring,
        nonce: () => randomBytes(12),
        tags: config.tags,
        streamPort: config.advertise?.port ?? door.port,
        event: (event) => (host === undefined ? early.push(event) : host.event(event)),
        log,
      });
      host = new Host(ground, engine);
      for (const event of early) host.event(event);
      if (engine.isEncrypted && keyring === undefined) {
        log.warn(
          'the cluster is encrypted and this agent has no cluster key: it cannot talk to agents that gossip themselves (--keyring-file)',
        );
      }
      return new AttachedAgent({ host, engine, door, connect });
    } catch (error) {
      await engine?.close();
      await door?.close();
      await ground.copy?.close();
      throw error;
    }
  }

  get streamPort(): number {
    return this.door.port;
  }

  openSession(): SerfSession {
    return new AttachedSession(this.connect, () => ({
      fanout: {
        version: VERSION,
        ...Object.fromEntries(this.engine.counters.entries().map(([name, count]) => [name, String(count)])),
      },
      limits: this.host.limits(),
    }));
  }

  /** Throws FanoutError, and changes nothing then. */
  changeTags(tags: ReadonlyMap<string, string>): void {
    encodeTags(tags);
    this.engine.setTags(tags).catch((error: Error) => {
      this.log.error(`the Serf agent did not take the tags: ${error.message}`);
    });
  }

  /** Stops at once: kills what runs, and lets go of the Serf agent, which stays. */
  async stop(): Promise<void> {
    await this.host.stop();
    await this.engine.close();
    await this.door.close();
    await this.host.close();
  }
}

/** The name of the Serf agent at an address. Throws FanoutError. */
export async function nameOfSerf(at: ControlAddress, authKey: string | undefined): Promise<string> {
  const client = await connectSerf(at, authKey);
  const stats = await client.stats();
  client.close();
  return stats.get('agent')?.get('name') ?? formatControlAddress(at);
}
