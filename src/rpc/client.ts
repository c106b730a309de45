import type { ByteStream } from '../lib/byte-stream.ts';
import { concatBytes } from '../lib/bytes.ts';
import { DecodeError, FanoutError } from '../lib/errors.ts';
import { encodeRpc, Fields, type MsgpackValue } from '../lib/msgpack.ts';
import type { CoordinateFields } from '../serf/coordinate-codec.ts';
import { decodeCoordinateReply } from './coordinates.ts';
import { ValueReader } from './framing.ts';
import { decodeKeyReply, type KeyReply } from './keys.ts';
import { decodeMembers, type MemberRecord } from './members.ts';
import { type AgentInfo, decodeInfo, decodeRunRecord, decodeStats, type RunRecord } from './replies.ts';
import { type Request, requestBody } from './requests.ts';
import {
  decodeEventRecord,
  decodePeers,
  decodePrograms,
  decodeQueryRecord,
  type EventRecord,
  type Peer,
  type Program,
  type QueryRecord,
} from './views.ts';

/** One reply or record of an agent. A member list fits when the cluster is full and every member carries all it can. */
const VALUE_BYTES_MAX = 16 * 1024 * 1024;
const VALUES_MAX = 2 ** 22;
const PROTOCOL_VERSION = 1;

type KeyRequest = Extract<Request, { command: 'install-key' | 'use-key' | 'remove-key' | 'list-keys' }>;

interface Pending {
  /** Serf sends the body of a failed join and of failed key commands as well, and of no other that is used here. */
  readonly body: 'none' | 'on-success' | 'always';
  readonly resolve: (body: MsgpackValue) => void;
  /** Takes the error of a reply and its body together, instead of `reject`. */
  readonly failed?: (error: string, body: MsgpackValue) => void;
  readonly reject: (error: Error) => void;
}

/** An agent's no to one request; `said` is its text as it came. */
export class RpcRefusal extends FanoutError {
  readonly said: string;

  constructor(said: string) {
    super('AGENT_ERROR', `the agent says: ${said}`);
    this.said = said;
  }
}

/** A conversation with an agent over Serf's RPC. Requests are answered in order; records of a run come in between. */
export class RpcClient {
  /** Resolves when the conversation is over, for whatever reason. */
  readonly closed: Promise<void>;
  private readonly connection: ByteStream;
  private readonly reader = new ValueReader(VALUE_BYTES_MAX, VALUES_MAX);
  private readonly pending = new Map<number, Pending>();
  private readonly records = new Map<number, (body: MsgpackValue) => void>();
  private header: { seq: number; error: string } | undefined;
  private lastSeq = 0;
  private isClosed = false;
  /** Set once the connection has turned into the raw stream of an answer. */
  private raw: ((chunk: Uint8Array) => void) | undefined;
  /** Turns it into that at the reply with this number. */
  private rawNext: { readonly seq: number; readonly begin: (rest: Uint8Array) => void } | undefined;

  private constructor(connection: ByteStream) {
    this.connection = connection;
    this.closed = new Promise((resolve) => {
      connection.onClose((error) => {
        this.isClosed = true;
        this.failAll(lost(error?.message ?? 'it closed the connection'));
        resolve();
      });
    });
    connection.onData((chunk) => this.received(chunk));
  }

  /** Begins a conversation, with the key of the agent where it has one. Throws FanoutError AGENT_UNREACHABLE or AGENT_ERROR. */
  static async connect(connection: ByteStream, authKey?: string): Promise<RpcClient> {
    const client = new RpcClient(connection);
    try {
      await client.greet(authKey);
      return client;
    } catch (error) {
      client.close();
      throw error;
    }
  }

  /**
   * A conversation that only fetches one answer: greeting and request leave together, so that it takes one round trip.
   * Throws as `connect` and `answer` do.
   */
  static async openAnswer(
    connection: ByteStream,
    stream: number,
    authKey?: string,
  ): ReturnType<RpcClient['answer']> {
    const client = new RpcClient(connection);
    const greeting = client.greet(authKey);
    const answer = client.answer(stream);
    // Either may fail first; the other then fails for the same reason.
    answer.catch(() => {});
    await greeting;
    return answer;
  }

  /** Both requests leave at once: what follows them may follow at once, too. */
  private async greet(authKey: string | undefined): Promise<void> {
    const steps = [this.call({ command: 'handshake', version: PROTOCOL_VERSION }, 'none')];
    if (authKey !== undefined) steps.push(this.call({ command: 'auth', authKey }, 'none'));
    await Promise.all(steps);
  }

  async members(): Promise<MemberRecord[]> {
    return this.decoded(decodeMembers, await this.call({ command: 'members' }, 'on-success'));
  }

  /** Those that match Serf's filters: expressions that each have to match the whole value; an empty one matches all. */
  async membersFiltered(filter: {
    readonly tags: ReadonlyMap<string, string>;
    readonly status: string;
    readonly name: string;
  }): Promise<MemberRecord[]> {
    const body = await this.call({ command: 'members-filtered', ...filter }, 'on-success');
    return this.decoded(decodeMembers, body);
  }

  async info(): Promise<AgentInfo> {
    return this.decoded(decodeInfo, await this.call({ command: 'fanout-info' }, 'on-success'));
  }

  async stats(): Promise<Map<string, Map<string, string>>> {
    return this.decoded(decodeStats, await this.call({ command: 'stats' }, 'on-success'));
  }

  /** Returns how many addresses could be joined. */
  async join(existing: readonly string[], replay = false): Promise<number> {
    const body = await this.call({ command: 'join', existing, replay }, 'always');
    return this.decoded((value) => Fields.of(value).u32('Num'), body);
  }

  async leave(): Promise<void> {
    await this.call({ command: 'leave' }, 'none');
  }

  /** Spreads a user event. Throws FanoutError AGENT_ERROR when it is over Serf's limit of 512 bytes. */
  async event(name: string, payload: Uint8Array, coalesce: boolean): Promise<void> {
    await this.call({ command: 'event', name, payload, coalesce }, 'none');
  }

  /** Tells the cluster that a failed member is gone for good; with `prune` it is forgotten at once. */
  async forceLeave(node: string, prune = false): Promise<void> {
    await this.call({ command: 'force-leave', node, prune }, 'none');
  }

  /** Sets tags of the agent and deletes others. */
  async tags(tags: ReadonlyMap<string, string>, deleteTags: readonly string[] = []): Promise<void> {
    await this.call({ command: 'tags', tags, deleteTags }, 'none');
  }

  /** Changes or lists the keys of all members; a change that failed on some is a reply, not an error. */
  async keys(request: KeyRequest): Promise<KeyReply> {
    let failure = '';
    const body = await this.call(request, 'always', (error) => {
      failure = error;
    });
    return this.decoded((value) => decodeKeyReply(value, failure), body);
  }

  /** Where a member is in the network; undefined when the agent does not know. */
  async coordinate(node: string): Promise<CoordinateFields | undefined> {
    const body = await this.call({ command: 'get-coordinate', node }, 'on-success');
    return this.decoded(decodeCoordinateReply, body);
  }

  /** Answers a query that `stream` told of, by its id. */
  async respond(id: number, payload: Uint8Array): Promise<void> {
    await this.call({ command: 'respond', id, payload }, 'none');
  }

  /** How the agent finds the other members. */
  async peers(): Promise<Peer[]> {
    return this.decoded(decodePeers, await this.call({ command: 'fanout-peers' }, 'on-success'));
  }

  /** Programs that the agent's own policy allows to the operator with this key. */
  async programs(keyId: Uint8Array): Promise<Program[]> {
    return this.decoded(decodePrograms, await this.call({ command: 'fanout-programs', keyId }, 'on-success'));
  }

  /** Events of the cluster from now on, for Serf's filter (`*` for all). The function that comes back ends it. */
  async stream(type: string, onEvent: (event: EventRecord) => void): Promise<() => void> {
    return this.open({ command: 'stream', type, isLive: true }, (body) => onEvent(decodeEventRecord(body)));
  }

  /** Lines of the agent's log, the recent ones first. The function that comes back ends it. */
  async monitor(logLevel: string, onLine: (line: string) => void): Promise<() => void> {
    return this.open({ command: 'monitor', logLevel }, (body) => onLine(Fields.of(body).text('Log')));
  }

  /** Asks the cluster a Serf query; the last record is `done`. */
  async query(
    request: Omit<Extract<Request, { command: 'query' }>, 'command'>,
    onRecord: (record: QueryRecord) => void,
  ): Promise<void> {
    await this.open({ command: 'query', ...request }, (body, forget) => {
      const record = decodeQueryRecord(body);
      if (record.kind === 'done') forget();
      // A real agent can tell of acks and answers by nobody in the moment in which its query ends.
      else if (record.from === '') return;
      onRecord(record);
    });
  }

  /** Starts a run. It lasts until this conversation ends. */
  async run(
    request: Omit<Extract<Request, { command: 'fanout-run' }>, 'command'>,
    onRecord: (record: RunRecord) => void,
  ): Promise<void> {
    const seq = this.lastSeq + 1;
    this.records.set(seq, (body) => onRecord(decodeRunRecord(body)));
    await this.call({ command: 'fanout-run', ...request }, 'none');
  }

  /**
   * Turns the whole conversation into the raw stream of one answer; `rest` is what of it has arrived already. When the
   * agent refuses, the conversation ends.
   */
  async answer(stream: number): Promise<{ connection: ByteStream; rest: Uint8Array }> {
    const early: Uint8Array[] = [];
    const begin = (rest: Uint8Array): void => {
      early.push(rest);
      this.raw = (chunk) => void early.push(chunk);
    };
    this.rawNext = { seq: this.lastSeq + 1, begin };
    try {
      await this.call({ command: 'fanout-answer', stream }, 'none');
    } catch (error) {
      this.close();
      throw error;
    }
    const { connection } = this;
    return {
      rest: concatBytes(...early.splice(0)),
      connection: {
        write: (bytes) => connection.write(bytes),
        onDrain: (listener) => connection.onDrain(listener),
        onData: (listener) => {
          this.raw = listener;
          for (const chunk of early.splice(0)) listener(chunk);
        },
        onClose: (listener) => connection.onClose(listener),
        pause: () => connection.pause(),
        resume: () => connection.resume(),
        end: () => connection.end(),
        destroy: () => connection.destroy(),
      },
    };
  }

  close(): void {
    this.connection.end();
  }

  /** A request that records follow. The function that comes back ends them; what is on its way then comes to nobody. */
  private async open(
    request: Request,
    onRecord: (body: MsgpackValue, forget: () => void) => void,
  ): Promise<() => void> {
    const seq = this.lastSeq + 1;
    const forget = (): void => void this.records.delete(seq);
    this.records.set(seq, (body) => onRecord(body, forget));
    try {
      await this.call(request, 'none');
    } catch (error) {
      forget();
      throw error;
    }
    return () => {
      if (this.isClosed || !this.records.has(seq)) return;
      // Records that are on their way are still read as such: only the reply to "stop" says that there are no more.
      this.records.set(seq, () => {});
      this.call({ command: 'stop', stop: seq }, 'none').then(forget, forget);
    };
  }

  /** `onError` takes the error of a reply that has a body all the same; without it the promise is rejected. */
  private call(
    request: Request,
    replyBody: Pending['body'],
    onError?: (error: string) => void,
  ): Promise<MsgpackValue> {
    if (this.isClosed) return Promise.reject(lost('it closed the connection'));
    const seq = ++this.lastSeq;
    const body = requestBody(request);
    const header = encodeRpc({ Command: request.command, Seq: seq });
    const reply = new Promise<MsgpackValue>((resolve, reject) => {
      const failed = (error: string, value: MsgpackValue): void => {
        onError?.(error);
        resolve(value);
      };
      this.pending.set(seq, {
        body: replyBody,
        resolve,
        reject,
        ...(onError === undefined ? {} : { failed }),
      });
    });
    this.connection.write(body === undefined ? header : concatBytes(header, encodeRpc(body)));
    return reply;
  }

  private received(chunk: Uint8Array): void {
    if (this.raw !== undefined) return this.raw(chunk);
    try {
      this.reader.push(chunk);
      for (let value = this.reader.next(); value !== undefined; value = this.reader.next()) {
        this.value(value);
        if (this.raw !== undefined) return;
      }
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.failAll(broken(error));
      this.connection.destroy();
    }
  }

  private value(value: MsgpackValue): void {
    if (this.header === undefined) {
      const fields = Fields.of(value);
      const header = { seq: fields.u64('Seq'), error: fields.text('Error') };
      const pending = this.pending.get(header.seq);
      if (pending === undefined ? this.records.has(header.seq) : hasBody(pending, header.error))
        this.header = header;
      else this.reply(header, null);
      return;
    }
    const { header } = this;
    this.header = undefined;
    if (this.pending.has(header.seq)) this.reply(header, value);
    else this.records.get(header.seq)?.(value);
  }

  private reply(header: { seq: number; error: string }, body: MsgpackValue): void {
    const pending = this.pending.get(header.seq);
    this.pending.delete(header.seq);
    if (header.error !== '') {
      if (pending?.failed !== undefined) return pending.failed(header.error, body);
      pending?.reject(new RpcRefusal(header.error));
      return;
    }
    if (this.rawNext?.seq === header.seq) this.rawNext.begin(this.reader.takeRest());
    pending?.resolve(body);
  }

  private decoded<T>(decode: (body: MsgpackValue) => T, body: MsgpackValue): T {
    try {
      return decode(body);
    } catch (error) {
      if (error instanceof DecodeError) throw broken(error);
      throw error;
    }
  }

  private failAll(error: FanoutError): void {
    for (const pending of this.pending.values()) pending.reject(error);
    this.pending.clear();
  }
}

function hasBody(pending: Pending, error: string): boolean {
  return pending.body === 'always' || (pending.body === 'on-success' && error === '');
}

function lost(reason: string): FanoutError {
  return new FanoutError('AGENT_UNREACHABLE', `the agent is gone: ${reason}`, {
    hint: 'Look at its log. What it had started for this command dies with the connection.',
  });
}

function broken(error: DecodeError): FanoutError {
  return new FanoutError('AGENT_ERROR', `the agent's reply cannot be read: ${error.message}`, {
    hint: 'Is it a fanout agent of the same version?',
  });
}
