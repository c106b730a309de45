import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { decodePurpose, encodePurpose } from '../../src/agent/fanout-stream.ts';
import { SerfDriver } from '../../src/agent/serf-driver.ts';
import { boxKeyPair } from '../../src/identity/box.ts';
import { type CommandBody, decodeEnvelope, signCommand } from '../../src/identity/envelope.ts';
import { nodeKeyOfSeed } from '../../src/identity/node-key.ts';
import type { LocalKey } from '../../src/identity/operator-key.ts';
import { NodeChannel } from '../../src/identity/sealed.ts';
import { keyId } from '../../src/identity/ssh-key.ts';
import { utf8 } from '../../src/lib/bytes.ts';
import { type Endpoint, ipBytes, splitHostPort } from '../../src/lib/net-address.ts';
import { LAN_PROFILE } from '../../src/memberlist/config.ts';
import { Keyring, parseClusterKey } from '../../src/memberlist/keyring.ts';
import { sealPacket } from '../../src/memberlist/packet.ts';
import { sealStream } from '../../src/memberlist/stream.ts';
import { decodeSerfMessage, encodeQuery, encodeQueryResponse, type Query } from '../../src/serf/messages.ts';
import type { AgentProcess, TestCluster } from '../support/cluster.ts';
import { keyIn } from '../support/key-file.ts';
import { eventually } from '../support/processes.ts';

/** A stream that somebody opened to the rogue, such as a node that brings it an answer. */
export interface Visit {
  readonly op: string;
  readonly run: string;
  readonly socket: Socket;
  /** What came together with its first message. */
  readonly early: Uint8Array;
}

/** An address of its own, so that what is counted by address can tell it from the honest members. */
const ROGUE_HOST = '127.0.0.66';

const FLAG_ACK = 1;
/** Marks what was sent straight and is not to be handed on, such as a repeat. */
export const FLAG_NO_BROADCAST = 2;

/**
 * A member that holds the cluster key and nothing else, made of the project's own cores: it takes part in gossip, sees
 * every query, and sends whatever a test wants.
 */
export class Rogue {
  readonly name: string;
  readonly driver: SerfDriver;
  /** Every query named fanout that came by, whomever it was for. */
  readonly seen: Query[] = [];
  readonly visits: Visit[] = [];
  /** What to do with a stream that somebody opens; by default it is kept open and silent. */
  onVisit: (visit: Visit) => void = () => {};
  private readonly keyring: Keyring;
  private readonly sockets = new Set<Socket>();

  private constructor(name: string, driver: SerfDriver, keyring: Keyring) {
    this.name = name;
    this.driver = driver;
    this.keyring = keyring;
  }

  static async join(
    cluster: TestCluster,
    through: AgentProcess,
    options: { name?: string; tags?: Readonly<Record<string, string>> } = {},
  ): Promise<Rogue> {
    const name = options.name ?? 'mallory';
    const keyring = new Keyring([parseClusterKey(cluster.key)]);
    let rogue: Rogue | undefined;
    const driver = await SerfDriver.start(
      { host: ROGUE_HOST, port: 0 },
      (port) => ({
        name,
        addr: bytesOf(ROGUE_HOST),
        port,
        tags: new Map(Object.entries(options.tags ?? {})),
        profile: LAN_PROFILE,
        compression: true,
        keyring,
        matches: () => true,
      }),
      { event: () => {}, fanoutStream: (body, socket, rest) => rogue?.visited(body, socket, rest) },
    );
    rogue = new Rogue(name, driver, keyring);
    rogue.listenIn();
    const failure = await new Promise((resolve) => {
      driver.act((serf, now) => serf.join(now, endpointOf(through), resolve));
    });
    if (failure !== undefined) throw new Error(String(failure));
    return rogue;
  }

  get port(): number {
    return this.driver.transport.port;
  }

  async leave(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await this.driver.close();
  }

  /** Sends the bytes of a Serf message straight to an agent. */
  send(to: AgentProcess, message: Uint8Array): void {
    this.driver.act((serf) => serf.memberlist.sendUser(endpointOf(to), message));
  }

  /** Sends one memberlist message in a packet of its own. */
  packet(to: AgentProcess, message: Uint8Array): void {
    const nonce = (): Uint8Array => randomBytes(12);
    const bytes = sealPacket(message, { compress: true, crc: false, keyring: this.keyring, nonce });
    this.driver.transport.carryOut({ kind: 'datagram', to: endpointOf(to), bytes });
  }

  /** Sends a fanout query with this payload straight to an agent; nobody hands it on. */
  query(to: AgentProcess, payload: Uint8Array, fields: Partial<Query> = {}): void {
    this.send(to, this.queryBytes(payload, fields));
  }

  queryBytes(payload: Uint8Array, fields: Partial<Query> = {}): Uint8Array {
    return encodeQuery({
      ltime: 1000,
      id: randomBytes(4).readUInt32BE(0) >>> 1,
      addr: bytesOf(ROGUE_HOST),
      port: this.port,
      sourceNode: this.name,
      filters: [],
      flags: FLAG_ACK | FLAG_NO_BROADCAST,
      relayFactor: 0,
      timeoutNs: 30e9,
      name: 'fanout',
      payload,
      ...fields,
    });
  }

  /** Claims that a node has acknowledged a query. */
  forgeAck(to: AgentProcess, query: Query, from: string): void {
    const { ltime, id } = query;
    this.send(to, encodeQueryResponse({ ltime, id, from, flags: FLAG_ACK, payload: null }));
  }

  /** Opens a stream to the gossip port of an agent and says nothing on it. */
  async dial(to: AgentProcess): Promise<Socket> {
    const { host, port } = endpointOf(to);
    const socket = connect({ host, port, localAddress: ROGUE_HOST });
    this.sockets.add(socket);
    socket.on('error', () => {});
    await new Promise((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return socket;
  }

  /** A stream message as members send it. */
  sealed(message: Uint8Array): Uint8Array {
    return sealStream(message, {
      compress: false,
      keyring: this.keyring,
      nonce: () => randomBytes(12),
    });
  }

  /** Opens a stream to an agent with one of fanout's purposes. */
  async open(to: AgentProcess, purpose: Parameters<typeof encodePurpose>[0]): Promise<Socket> {
    const socket = await this.dial(to);
    socket.write(this.sealed(encodePurpose(purpose)));
    return socket;
  }

  /** Tells the agent of an asker that this is the answer of `node`, and greets with a key of the rogue's own. */
  async impersonate(to: AgentProcess, body: CommandBody, node: string, output: string): Promise<Socket> {
    const socket = await this.open(to, { op: 'answer', run: body.id, node });
    const channel = new NodeChannel({
      nodeName: node,
      nodeKey: nodeKeyOfSeed(new Uint8Array(32).fill(6)),
      requestId: body.id,
      replyKey: body.replyKey,
      secret: randomBytes(32),
      nonce: randomBytes(24),
      unixSeconds: 1_800_000_000,
    });
    socket.write(channel.hello);
    const verdict = { rule: 'basics', program: '/bin/true', sandbox: 'none' };
    socket.write(
      channel.seal({ kind: 'accepted', ...verdict, timeoutMs: 1000, outputBytesMax: 1000, readOnly: false }),
    );
    socket.write(channel.seal({ kind: 'stdout', data: utf8(output) }));
    const { length } = utf8(output);
    const sizes = { durationMs: 1, stdoutBytes: length, stderrBytes: 0 };
    socket.write(channel.sealEnd({ code: 0, signal: null, cause: 'exit', ...sizes }));
    return socket;
  }

  /** The next honest envelope that comes by with this argv, and the query that carried it. */
  capture(...argv: string[]): Promise<{ query: Query; bytes: Uint8Array; body: CommandBody }> {
    return eventually(`an envelope with ${argv.join(' ')}`, () => {
      for (const query of this.seen) {
        const bytes = query.payload ?? new Uint8Array(0);
        const { body } = decodeEnvelope(bytes);
        if (body.argv.join('\0') === argv.join('\0')) return { query, bytes, body };
      }
      return undefined;
    });
  }

  /** The body of a command that the rogue wants run, with answers to itself. */
  body(operator: LocalKey, argv: readonly string[], fields: Partial<CommandBody> = {}): CommandBody {
    return {
      version: 3,
      cluster: '',
      environment: 'test',
      keyId: keyId(operator.publicKey),
      issuedAt: Math.floor(Date.now() / 1000),
      ttlSeconds: 60,
      id: new Uint8Array(randomBytes(16)),
      selector: '',
      argv,
      replyKey: boxKeyPair(new Uint8Array(randomBytes(32))).publicKey,
      replyHost: bytesOf(ROGUE_HOST),
      replyPort: this.port,
      timeoutMs: 30_000,
      explainOnly: false,
      explainAs: new Uint8Array(0),
      ...fields,
    };
  }

  envelope(operator: LocalKey, argv: readonly string[], fields: Partial<CommandBody> = {}): Uint8Array {
    return signCommand(this.body(operator, argv, fields), operator.sign);
  }

  private listenIn(): void {
    const { serf } = this.driver;
    type Receive = (now: number, from: Endpoint, payload: Uint8Array) => void;
    const inner = Reflect.get(serf, 'received') as Receive;
    const listening: Receive = (now, from, payload) => {
      const message = decodeSerfMessage(payload);
      if (message.kind === 'query' && message.name === 'fanout') {
        this.seen.push({ ...message, payload: new Uint8Array(message.payload ?? []) });
      }
      inner.call(serf, now, from, payload);
    };
    Reflect.set(serf, 'received', listening);
  }

  private visited(body: Uint8Array, socket: Socket, early: Uint8Array): void {
    const purpose = decodePurpose(body);
    const run = 'run' in purpose ? Buffer.from(purpose.run).toString('hex') : '';
    this.sockets.add(socket);
    const visit = { op: purpose.op, run, socket, early };
    this.visits.push(visit);
    this.onVisit(visit);
  }
}

export function endpointOf(agent: AgentProcess): Endpoint {
  const endpoint = splitHostPort(agent.gossip, 0);
  if (endpoint === undefined) throw new Error(agent.gossip);
  return endpoint;
}

function bytesOf(host: string): Uint8Array {
  return ipBytes(host) ?? new Uint8Array(4);
}

/** The operator's own key, which only the operator has. */
export function operatorKey(cluster: TestCluster): LocalKey {
  return keyIn(join(cluster.dir, 'config', 'fanout', 'operator.key'));
}

/** The records of a node's audit log. */
export function auditOf(agent: AgentProcess): { event: string; id?: string; argv?: string[] }[] {
  return readFileSync(join(agent.dataDir, 'audit.jsonl'), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as { event: string; id?: string; argv?: string[] });
}

/** How often a node has started a command with this argv. */
export function starts(agent: AgentProcess, ...argv: string[]): number {
  return auditOf(agent).filter(
    (record) => record.event === 'start' && record.argv?.join('\0') === argv.join('\0'),
  ).length;
}

/** What an agent has counted, by name. */
export async function counters(cluster: TestCluster, agent: AgentProcess): Promise<Record<string, number>> {
  const { stdout } = await cluster.fanout(['info', '--format', 'json'], { via: agent });
  const { counters } = JSON.parse(stdout) as { counters: Record<string, string> };
  return Object.fromEntries(Object.entries(counters).map(([name, count]) => [name, Number(count)]));
}

/** Resident memory of a process in MiB. */
export function memoryMiB(pid: number | undefined, field: 'VmRSS' | 'VmHWM' = 'VmRSS'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1]) / 1024;
}

/** Whether a process is still there and has not ended. */
export function isAlive(agent: AgentProcess): boolean {
  return agent.child.exitCode === null && agent.child.signalCode === null;
}
