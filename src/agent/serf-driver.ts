import { randomBytes, randomFillSync } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Endpoint } from '../lib/net-address.ts';
import { type Rng, rngFrom } from '../lib/rng.ts';
import type { Millis } from '../lib/time.ts';
import { GossipTransport } from '../net/gossip-transport.ts';
import type { QueryKey, QueryRequest, SerfEvent } from '../serf/events.ts';
import type { QueryMessage } from '../serf/query-book.ts';
import { Serf } from '../serf/serf.ts';
import type { SerfConfig } from '../serf/serf-config.ts';
import type { Engine } from './engine.ts';
import { encodePurpose, type StreamPurpose } from './fanout-stream.ts';

/** Longer sleeps gain nothing and setTimeout cannot do more than 24.8 days. */
const SLEEP_MS_MAX: Millis = 60_000;
const AFTER_ERROR_MS: Millis = 1000;

export interface SerfDriverHandlers {
  readonly event: (event: SerfEvent) => void;
  readonly fanoutStream: (body: Uint8Array, socket: Socket, rest: Uint8Array) => void;
}

/** Gives a Serf core its sockets, its clock and its randomness. */
export class SerfDriver implements Engine {
  readonly serf: Serf;
  readonly transport: GossipTransport;
  private readonly handlers: SerfDriverHandlers;
  private timer: NodeJS.Timeout | undefined;
  private timerAt: Millis = Number.POSITIVE_INFINITY;
  private closed = false;

  private constructor(serf: Serf, transport: GossipTransport, handlers: SerfDriverHandlers) {
    this.serf = serf;
    this.transport = transport;
    this.handlers = handlers;
  }

  /** Binds the sockets and starts the core. `configure` gets the bound port. Throws FanoutError CONFIG. */
  static async start(
    bind: Endpoint,
    configure: (port: number) => SerfConfig,
    handlers: SerfDriverHandlers,
  ): Promise<SerfDriver> {
    let driver: SerfDriver | undefined;
    // Sockets are open before the core exists; what arrives in between is as good as lost, and gossip repeats it.
    const transport = await GossipTransport.bind(bind, {
      packet: (from, bytes) => driver?.packet(from, bytes),
      accepted: () => driver?.serf.memberlist.acceptedStream(driver.now()) ?? 0,
      data: (id, from, chunk) =>
        driver?.act(() => driver?.serf.memberlist.receivedStream(driver.now(), id, from, chunk)),
      closed: (id, error) => driver?.act(() => driver?.serf.memberlist.closedStream(driver.now(), id, error)),
      fanoutStream: (body, socket, rest) => handlers.fanoutStream(body, socket, rest),
    });
    const serf = new Serf(configure(transport.port), systemRng(), performance.now());
    driver = new SerfDriver(serf, transport, handlers);
    driver.settle();
    return driver;
  }

  now(): Millis {
    return performance.now();
  }

  /** Does something with the core, then carries out what came of it. */
  act<T>(action: (serf: Serf, now: Millis) => T): T {
    const result = action(this.serf, this.now());
    this.settle();
    return result;
  }

  get members(): Serf['members'] {
    return this.serf.members;
  }

  get localTags(): ReadonlyMap<string, string> {
    return this.serf.localTags;
  }

  get address(): Engine['address'] {
    const { addr, port } = this.serf.memberlist.config;
    return { addr, port };
  }

  peer(name: string): ReturnType<Engine['peer']> {
    const { members, memberlist } = this.serf;
    return { rttMs: members.rttMs(name), isSuspect: memberlist.table.get(name)?.state === 'suspect' };
  }

  fits(request: QueryRequest): boolean {
    return this.serf.queries.fits(request);
  }

  ask(request: QueryRequest): QueryKey {
    return this.act((serf, now) => serf.queries.ask(now, request));
  }

  repeat(key: QueryKey, request: QueryRequest, targets: readonly string[]): void {
    this.act((serf) => serf.queries.repeat(key, request, targets));
  }

  end(key: QueryKey): void {
    this.act((serf) => serf.queries.end(key));
  }

  respond(query: QueryMessage, payload: Uint8Array): void {
    this.act((serf) => serf.queries.respond(query, payload));
  }

  async openStream(to: Endpoint, purpose: StreamPurpose, timeoutMs: Millis): Promise<Socket> {
    const socket = await this.transport.openStream(to, timeoutMs);
    socket.write(this.serf.memberlist.sealStream(encodePurpose(purpose)));
    return socket;
  }

  count(name: string): void {
    this.serf.memberlist.counters.count(name);
  }

  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    await this.transport.close();
  }

  private packet(from: Endpoint, bytes: Uint8Array): void {
    this.serf.memberlist.receivedPacket(this.now(), from, bytes);
    this.settle();
  }

  private settle(): void {
    if (this.closed) return;
    for (let outputs = this.serf.drain(); outputs.length > 0; outputs = this.serf.drain()) {
      for (const output of outputs) this.transport.carryOut(output);
    }
    for (const event of this.serf.takeEvents()) this.handlers.event(event);
    this.sleepUntil(this.serf.nextWake());
  }

  private sleepUntil(wakeAt: Millis): void {
    if (this.timer !== undefined && wakeAt >= this.timerAt) return;
    clearTimeout(this.timer);
    this.timerAt = wakeAt;
    const delay = Math.min(SLEEP_MS_MAX, Math.max(0, Math.ceil(wakeAt - this.now())));
    this.timer = setTimeout(() => {
      // Node runs timers before it reads sockets: an ack that already waits must count before its probe times out.
      setImmediate(() => {
        this.timer = undefined;
        this.timerAt = Number.POSITIVE_INFINITY;
        if (this.closed) return;
        try {
          this.serf.tick(this.now());
          this.settle();
        } catch (error) {
          // It must not be the last thing that the agent does by itself, nor all that it does.
          this.sleepUntil(this.now() + AFTER_ERROR_MS);
          throw error;
        }
      });
    }, delay);
  }
}

/** Random numbers of the system, drawn in blocks. */
function systemRng(): Rng {
  const block = new Uint32Array(256);
  let used = block.length;
  const rng = rngFrom(() => {
    if (used === block.length) {
      randomFillSync(block);
      used = 0;
    }
    return block[used++] as number;
  });
  return { ...rng, bytes: (length) => randomBytes(length) };
}
