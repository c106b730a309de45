import { EMPTY } from '../../src/lib/bytes.ts';
import { seededRng } from '../../src/lib/rng.ts';
import { LAN_PROFILE } from '../../src/memberlist/config.ts';
import type { Keyring } from '../../src/memberlist/keyring.ts';
import { encodeAlive, encodeDead, encodeUser, type PacketMessage } from '../../src/memberlist/messages.ts';
import type { NodeEntry } from '../../src/memberlist/node-table.ts';
import { sealPacket } from '../../src/memberlist/packet.ts';
import { encodePushPull as encodeExchange } from '../../src/memberlist/stream.ts';
import type { Broadcasts } from '../../src/serf/broadcasts.ts';
import type { SerfEvent } from '../../src/serf/events.ts';
import type { Member } from '../../src/serf/member.ts';
import {
  decodeSerfMessage,
  encodePushPull,
  type Query,
  type SerfMessage,
  type SerfPushPull,
} from '../../src/serf/messages.ts';
import { Serf } from '../../src/serf/serf.ts';
import type { SerfConfig } from '../../src/serf/serf-config.ts';
import { encodeTags } from '../../src/serf/tags.ts';
import { addrOf, aliveOf, entryOf, PORT, sentOf } from '../memberlist/harness.ts';

export const NO_TAGS = encodeTags(new Map());

export function nodeOf(name: string, more: Partial<NodeEntry> = {}): NodeEntry {
  return entryOf(name, { meta: NO_TAGS, ...more });
}

export function queryOf(more: Partial<Query> = {}): Query & { kind: 'query' } {
  return {
    kind: 'query',
    ltime: 1,
    id: 7,
    addr: addrOf(1),
    port: PORT,
    sourceNode: 'n1',
    filters: [],
    flags: 0,
    relayFactor: 0,
    timeoutNs: 5e9,
    name: 'uptime',
    payload: EMPTY,
    ...more,
  };
}

export interface SerfSent {
  readonly host: string;
  readonly port: number;
  readonly message: SerfMessage;
}

/** A Serf member called "self" among peers n1, n2, ... that exist in its table only. */
export class Solo {
  readonly serf: Serf;
  now = 0;
  private readonly keyring: Keyring | undefined;

  constructor(peers = 0, options: Partial<SerfConfig> = {}) {
    this.keyring = options.keyring;
    this.serf = new Serf(
      {
        name: 'self',
        addr: addrOf(0),
        port: PORT,
        tags: new Map([['role', 'web']]),
        profile: LAN_PROFILE,
        compression: false,
        keyring: undefined,
        matches: (expression, value) => value.includes(expression),
        ...options,
      },
      seededRng(1),
      0,
    );
    for (let i = 1; i <= peers; i++) this.meet(`n${i}`, i);
    this.quiet();
  }

  member(name: string): Member {
    const member = this.serf.members.get(name);
    if (member === undefined) throw new Error(`${name} is no member`);
    return member;
  }

  meet(name: string, index: number, vsn = Uint8Array.of(1, 5, 2, 2, 5, 5)): void {
    this.packet(encodeAlive(aliveOf(name, { addr: addrOf(index), meta: NO_TAGS, vsn, incarnation: 1 })));
  }

  fails(name: string): void {
    this.packet(encodeDead({ incarnation: 1, node: name, from: 'other' }));
  }

  packet(bytes: Uint8Array): void {
    const { keyring } = this;
    const datagram = sealPacket(bytes, {
      compress: false,
      crc: false,
      keyring,
      nonce: () => new Uint8Array(12),
    });
    this.serf.memberlist.receivedPacket(this.now, { host: '10.0.0.1', port: PORT }, datagram);
  }

  /** A Serf message arrives by gossip. */
  hear(message: Uint8Array): void {
    this.packet(encodeUser(message));
  }

  /** A peer starts a push/pull that carries this Serf state. */
  exchange(state: Partial<SerfPushPull>, join = false): void {
    const { memberlist } = this.serf;
    const id = memberlist.acceptedStream(this.now);
    memberlist.receivedStream(this.now, id, { host: '10.0.0.1', port: 40_000 }, exchangeOf(state, join));
  }

  /** Joins through somebody who answers with this Serf state. */
  joins(state: Partial<SerfPushPull>): void {
    this.serf.join(this.now, { host: '10.0.0.1', port: PORT }, () => {});
    this.answerDial(state);
  }

  /** Answers the push/pull that the member has just started. */
  answerDial(state: Partial<SerfPushPull>): void {
    const [dial] = this.serf.drain().filter((output) => output.kind === 'dial');
    if (dial === undefined) throw new Error('no stream was opened');
    const from = { host: '10.0.0.1', port: PORT };
    this.serf.memberlist.receivedStream(this.now, dial.id, from, exchangeOf(state, true));
  }

  /** The Serf messages that waiting broadcasts are, each once, taken out for good. */
  queued(): SerfMessage[] {
    // Without a node in the cluster the retransmit limit is 0: what is taken is gone.
    const { broadcasts } = this.serf as unknown as { broadcasts: Broadcasts };
    return broadcasts.take(0, Number.POSITIVE_INFINITY, 0).map(decodeSerfMessage);
  }

  depths(): number[] {
    const stats = this.serf.stats();
    return ['intent_queue', 'query_queue', 'event_queue'].map((name) => Number(stats[name]));
  }

  /** Serf messages sent straight since the last call. */
  sent(): SerfSent[] {
    return sentOf(this.serf.drain(), this.keyring).flatMap(({ to, messages }) =>
      messages.flatMap((message: PacketMessage) =>
        message.kind === 'user'
          ? [{ host: to.host, port: to.port, message: decodeSerfMessage(message.payload) }]
          : [],
      ),
    );
  }

  events(): SerfEvent[] {
    return this.serf.takeEvents();
  }

  /** Member events since the last call, as [event, name]. */
  memberEvents(): [string, string][] {
    return this.events().flatMap((event) =>
      event.kind === 'member' ? [[event.event, event.member.name] as [string, string]] : [],
    );
  }

  /** Forgets what was queued, sent and told so far. */
  quiet(): void {
    this.queued();
    this.serf.drain();
    this.events();
  }

  /** Lets time pass to the next moment that the member asked for. */
  wake(): void {
    this.now = Math.max(this.now, this.serf.nextWake());
    this.serf.tick(this.now);
  }
}

export function stateOf(more: Partial<SerfPushPull> = {}): Uint8Array {
  return encodePushPull({
    ltime: 1,
    eventLTime: 1,
    queryLTime: 1,
    statusLTimes: new Map(),
    leftMembers: [],
    events: [],
    ...more,
  });
}

export function exchangeOf(state: Partial<SerfPushPull>, join: boolean): Uint8Array {
  return encodeExchange({ join, nodes: [], userState: stateOf(state) });
}
