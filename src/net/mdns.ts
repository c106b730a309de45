import { createSocket, type Socket } from 'node:dgram';
import { FanoutError, messageOf } from '../lib/errors.ts';
import type { Endpoint } from '../lib/net-address.ts';
import { interfaceAddresses } from './self-address.ts';

/** RFC 6762: the port and the groups of multicast DNS. */
const PORT = 5353;
const GROUP = { udp4: '224.0.0.251', udp6: 'ff02::fb' } as const;
/** RFC 6762, 11: what came through a router would have less, and is not of this link. */
const TTL = 255;

type Family = keyof typeof GROUP;

export interface MdnsOptions {
  /** The network interface; absent: the system's choice. */
  readonly interface: string | undefined;
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  /** Somebody on the link asked everybody something; `reply` goes to that one alone. */
  readonly asked: (bytes: Uint8Array, reply: (bytes: Uint8Array) => void) => void;
  /** Something came to our own port. */
  readonly answered: (bytes: Uint8Array, from: Endpoint) => void;
  /** A question could not be sent. */
  readonly failed: (reason: string) => void;
}

/** The sockets of multicast DNS: one that hears what is asked on the link, and one to ask with, of each family. */
export class MdnsSockets {
  private readonly options: MdnsOptions;
  private readonly askers: { readonly family: Family; readonly socket: Socket }[] = [];
  private readonly sockets: Socket[] = [];

  private constructor(options: MdnsOptions) {
    this.options = options;
  }

  /** Opens what can be opened. Throws FanoutError CONFIG when that is nothing. */
  static async open(options: MdnsOptions): Promise<MdnsSockets> {
    const mdns = new MdnsSockets(options);
    const reasons: string[] = [];
    for (const family of ['udp4', 'udp6'] as const) {
      if (!(family === 'udp4' ? options.ipv4 : options.ipv6)) continue;
      await mdns.openFamily(family).catch((error: unknown) => {
        reasons.push(messageOf(error));
      });
    }
    if (mdns.askers.length > 0) return mdns;
    await mdns.close();
    throw new FanoutError('CONFIG', `multicast DNS cannot be used: ${reasons.join('; ')}`, {
      hint: 'Name an interface that has multicast with --mdns-iface, or join with --retry-join instead.',
    });
  }

  /** Asks everybody on the link. */
  ask(bytes: Uint8Array): void {
    for (const { family, socket } of this.askers) {
      socket.send(bytes, PORT, this.groupOf(family), (error) => {
        if (error !== null && error !== undefined) this.options.failed(error.message);
      });
    }
  }

  async close(): Promise<void> {
    this.askers.length = 0;
    await Promise.all(
      this.sockets.splice(0).map((socket) => new Promise<void>((resolve) => socket.close(() => resolve()))),
    );
  }

  private async openFamily(family: Family): Promise<void> {
    const own = this.ownAddress(family);
    const hears = createSocket({ type: family, reuseAddr: true, ipv6Only: family === 'udp6' });
    const asks = createSocket({ type: family, ipv6Only: family === 'udp6' });
    try {
      // Bound to the group itself, a socket does not even get what somebody far away sends to the port.
      await bound(hears, PORT, family === 'udp4' ? GROUP.udp4 : '::');
      hears.addMembership(GROUP[family], own);
      await bound(asks, 0, family === 'udp4' ? '0.0.0.0' : '::');
      for (const socket of [hears, asks]) {
        socket.setMulticastTTL(TTL);
        if (own !== undefined) socket.setMulticastInterface(own);
      }
    } catch (error) {
      for (const socket of [hears, asks]) closeQuietly(socket);
      throw error;
    }
    this.sockets.push(hears, asks);
    this.askers.push({ family, socket: asks });
    hears.on('message', (bytes, from) => {
      this.options.asked(bytes, (answer) => send(hears, answer, { host: from.address, port: from.port }));
    });
    asks.on('message', (bytes, from) =>
      this.options.answered(bytes, { host: from.address, port: from.port }),
    );
  }

  /** How the system names an interface: by an address for IPv4, by its name for IPv6. Throws FanoutError CONFIG. */
  private ownAddress(family: Family): string | undefined {
    const { interface: name } = this.options;
    if (name === undefined) return undefined;
    const addresses = interfaceAddresses(name) ?? [];
    const own = addresses.find((address) => address.includes(':') === (family === 'udp6'));
    if (own !== undefined) return family === 'udp4' ? own : `::%${name}`;
    throw new FanoutError(
      'CONFIG',
      `interface "${name}" has no address of ${family === 'udp4' ? 'IPv4' : 'IPv6'}`,
    );
  }

  private groupOf(family: Family): string {
    const { interface: name } = this.options;
    return family === 'udp6' && name !== undefined ? `${GROUP.udp6}%${name}` : GROUP[family];
  }
}

function bound(socket: Socket, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(port, host, () => {
      socket.removeListener('error', reject);
      // An unreachable peer can surface here as an error of an earlier packet.
      socket.on('error', () => {});
      resolve();
    });
  });
}

function send(socket: Socket, bytes: Uint8Array, to: Endpoint): void {
  // Node throws for port 0, which a packet can state as its own.
  if (to.port !== 0) socket.send(bytes, to.port, to.host, () => {});
}

function closeQuietly(socket: Socket): void {
  try {
    socket.close();
  } catch {
    // It was never opened.
  }
}
