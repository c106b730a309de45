import { createHash, timingSafeEqual } from 'node:crypto';
import type { Socket } from 'node:net';
import { DecodeError, FanoutError } from '../lib/errors.ts';
import { type Encodable, encodeRpc, Fields, type MsgpackValue } from '../lib/msgpack.ts';
import { ValueReader } from '../rpc/framing.ts';
import { type CommandName, decodeRequest, hasBody, isCommand, type Request } from '../rpc/requests.ts';
import { type Controlled, isFanoutRequest, type RequestContext, type SerfSession } from './control.ts';
import type { Host } from './host.ts';
import { runFanout } from './rpc-fanout.ts';

/** One request. The largest is a run with a thousand targets and a long command. */
const VALUE_BYTES_MAX = 4 * 1024 * 1024;
/** Replies and records that a slow client may be behind. Serf drops beyond 512 records; a run's records are small and must not be lost. */
const BACKLOG_BYTES_MAX = 16 * 1024 * 1024;
/** Events that a client does not take are left out from here on, as Serf does at 512 records. */
const BEHIND_BYTES = 512 * 1024;
/** How long a client may take to say hello, and to show the key where there is one. Half-open connections must not pile up. */
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** What a client may send before it. Thousands of connections must not each fill a request's worth of memory. */
const HANDSHAKE_BYTES_MAX = 4096;
const RPC_VERSION = 1;

/** One operator's conversation with the agent: Serf's RPC, requests answered one after the other. */
export class RpcSession {
  private readonly host: Host;
  private readonly serf: SerfSession;
  private readonly socket: Socket;
  private readonly reader = new ValueReader(VALUE_BYTES_MAX);
  private readonly closers: (() => void)[] = [];
  private header: { command: CommandName; seq: number } | undefined;
  private hasShakenHands = false;
  private isTrusted: boolean;
  private isBusy = false;
  private isRaw = false;

  constructor(agent: Controlled, socket: Socket) {
    this.host = agent.host;
    this.serf = agent.openSession();
    this.socket = socket;
    this.isTrusted = this.host.config.serf.rpcAuth === undefined;
    const timer = setTimeout(() => {
      if (!this.isWelcome) socket.destroy();
    }, HANDSHAKE_TIMEOUT_MS);
    socket.on('data', (chunk) => this.received(chunk));
    socket.on('error', () => socket.destroy());
    socket.once('close', () => {
      clearTimeout(timer);
      for (const closer of this.closers.splice(0)) closer();
      this.serf.close();
    });
  }

  close(): void {
    this.socket.end();
    this.socket.destroySoon();
  }

  private get isWelcome(): boolean {
    return this.hasShakenHands && this.isTrusted;
  }

  private received(chunk: Uint8Array): void {
    if (this.isRaw) return;
    try {
      this.reader.push(chunk);
    } catch (error) {
      return this.broken(error);
    }
    void this.work();
    if (!this.isWelcome && this.socket.bytesRead > HANDSHAKE_BYTES_MAX) this.socket.destroy();
  }

  /** Carries out what has arrived, in order. A request waits until the one before it was answered. */
  private async work(): Promise<void> {
    if (this.isBusy) return;
    this.isBusy = true;
    try {
      while (!this.isRaw && !this.socket.destroyed) {
        const value = this.reader.next();
        if (value === undefined) break;
        await this.value(value);
      }
    } catch (error) {
      this.broken(error);
    } finally {
      this.isBusy = false;
    }
  }

  private async value(value: MsgpackValue): Promise<void> {
    if (this.header !== undefined) {
      const { command, seq } = this.header;
      this.header = undefined;
      return this.request(seq, decodeRequest(command, value));
    }
    const fields = Fields.of(value);
    const command = fields.text('Command');
    const seq = fields.u64('Seq');
    if (command !== 'handshake' && !this.hasShakenHands) return this.refuse(seq, 'Handshake required');
    if (!isCommand(command)) return this.refuse(seq, 'Unsupported command');
    if (hasBody(command)) this.header = { command, seq };
    else await this.request(seq, decodeRequest(command, null));
  }

  private async request(seq: number, request: Request): Promise<void> {
    if (request.command === 'handshake') return this.shakeHands(seq, request.version);
    if (request.command === 'auth') return this.authenticate(seq, request.authKey);
    // Serf leaves the body of such a request unread, and then takes it for another request.
    if (!this.isTrusted) return this.reply(seq, 'Authentication required');
    if (request.command === 'fanout-answer') return this.answer(seq, request.stream);
    const context: RequestContext = {
      seq,
      reply: (error, body) => this.reply(seq, error, body),
      record: (body) => this.reply(seq, '', body),
      offer: (body) => this.offer(seq, body),
      onClose: (closer) => this.closers.push(closer),
    };
    if (isFanoutRequest(request)) return runFanout(request, this.host, context);
    await this.serf.run(request, context);
  }

  /** Without a key of the agent only the empty one is right, as in Serf. */
  private authenticate(seq: number, key: string): void {
    const { rpcAuth = '' } = this.host.config.serf;
    const isRight = timingSafeEqual(digest(key), digest(rpcAuth));
    if (isRight) this.isTrusted = true;
    this.reply(seq, isRight ? '' : 'Invalid authentication token');
  }

  private shakeHands(seq: number, version: number): void {
    if (version !== RPC_VERSION) return this.reply(seq, 'Unsupported IPC version');
    if (this.hasShakenHands) return this.reply(seq, 'Handshake already performed');
    this.hasShakenHands = true;
    this.reply(seq, '');
  }

  private reply(seq: number, error: string, body?: Encodable): void {
    if (this.socket.writableLength > BACKLOG_BYTES_MAX) return void this.socket.destroy();
    this.socket.write(encodeRpc({ Error: error, Seq: seq }));
    if (body !== undefined) this.socket.write(encodeRpc(body));
  }

  private offer(seq: number, body: Encodable): void {
    if (this.socket.writableLength <= BEHIND_BYTES) return this.reply(seq, '', body);
    this.host.engine.count('rpc-record-dropped');
  }

  private refuse(seq: number, error: string): void {
    this.reply(seq, error);
    this.close();
  }

  /** From here on this connection is the node's stream: sealed bytes, which only the command line can open. */
  private answer(seq: number, stream: number): void {
    const claimed = this.host.runs.claim(stream);
    if (claimed === undefined) return this.reply(seq, 'No such answer');
    this.isRaw = true;
    const { socket, host } = this;
    this.reply(seq, '');
    const early = this.reader.takeRest();
    splice(socket, early, claimed.socket, claimed.rest);
    host.log.debug('an answer is being passed on');
  }

  private broken(error: unknown): void {
    // Whatever it is, who asked must not wait for an answer that does not come.
    this.socket.destroy();
    if (!(error instanceof DecodeError || error instanceof FanoutError)) throw error;
    this.host.engine.count('rpc-undecodable');
    this.host.log.debug(`closed a control connection: ${error.message}`);
  }
}

/** Texts of any length, as bytes of one length: so that comparing them takes the same time whatever they are. */
function digest(text: string): Uint8Array {
  return createHash('sha256').update(text).digest();
}

/** Joins two sockets: what comes out of one goes into the other, and both end together. */
function splice(a: Socket, aEarly: Uint8Array, b: Socket, bEarly: Uint8Array): void {
  a.removeAllListeners('data');
  if (aEarly.length > 0) b.write(aEarly);
  if (bEarly.length > 0) a.write(bEarly);
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.pipe(to);
    from.once('error', () => to.destroy());
    from.once('close', () => (from.readableEnded ? to.destroySoon() : to.destroy()));
  }
}
