import { EMPTY } from '../../src/lib/bytes.ts';
import type { Endpoint } from '../../src/lib/net-address.ts';
import { seededRng } from '../../src/lib/rng.ts';
import { Awareness } from '../../src/memberlist/awareness.ts';
import { BroadcastQueue } from '../../src/memberlist/broadcast-queue.ts';
import { LAN_PROFILE, type MemberlistConfig, type Profile } from '../../src/memberlist/config.ts';
import type { Keyring } from '../../src/memberlist/keyring.ts';
import { Membership } from '../../src/memberlist/membership.ts';
import { type Alive, decodePacketMessage, type PacketMessage } from '../../src/memberlist/messages.ts';
import { NODES_MAX, type NodeEntry, NodeTable } from '../../src/memberlist/node-table.ts';
import { gossipBytesMax, Outbox } from '../../src/memberlist/outbox.ts';
import { openPacket } from '../../src/memberlist/packet.ts';
import { Counters, type Delegate, type Output } from '../../src/memberlist/ports.ts';
import type { PushPullNode } from '../../src/memberlist/stream.ts';

export const PORT = 7946;
/** What Serf sends: [PMin, PMax, PCur, DMin, DMax, DCur]. */
export const SERF_VSN = Uint8Array.of(1, 5, 2, 2, 5, 5);

export function addrOf(index: number): Uint8Array {
  return Uint8Array.of(10, 0, index >>> 8, index & 0xff);
}

/** One call of a delegate: what happened and to whom. */
type Told = readonly [what: string, name: string];

export interface RecordingDelegate extends Delegate {
  readonly told: Told[];
  readonly userMessages: Uint8Array[];
  /** `join` of each merged user state. */
  readonly merged: boolean[];
  readonly rtts: number[];
  meta: Uint8Array;
  userState: Uint8Array;
}

export function recordingDelegate(): RecordingDelegate {
  const told: Told[] = [];
  const userMessages: Uint8Array[] = [];
  const merged: boolean[] = [];
  const rtts: number[] = [];
  return {
    told,
    userMessages,
    merged,
    rtts,
    meta: Uint8Array.of(1),
    userState: EMPTY,
    nodeMeta() {
      return this.meta;
    },
    userMessage: (_now, _from, payload) => userMessages.push(payload),
    takeBroadcasts: () => [],
    hasBroadcasts: () => false,
    localState() {
      return this.userState;
    },
    mergeRemoteState: (_now, _state, join) => merged.push(join),
    joined: (_now, node) => told.push(['joined', node.name]),
    left: (_now, node) => told.push(['left', node.name]),
    updated: (_now, node) => told.push(['updated', node.name]),
    conflict: (_now, existing) => told.push(['conflict', existing.name]),
    ackPayload: () => null,
    pinged: (_node, rttMs) => rtts.push(rttMs),
  };
}

export function configOf(options: { profile?: Profile; keyring?: Keyring } = {}): MemberlistConfig {
  return {
    name: 'self',
    addr: addrOf(0),
    port: PORT,
    vsn: SERF_VSN,
    profile: options.profile ?? LAN_PROFILE,
    compression: false,
    keyring: options.keyring,
  };
}

/** The rooms of one member called "self", started at moment 0, and what it queued and was told so far forgotten. */
export class Rooms {
  readonly config: MemberlistConfig;
  readonly rng = seededRng(1);
  readonly delegate = recordingDelegate();
  readonly counters = new Counters();
  readonly table: NodeTable;
  readonly queue: BroadcastQueue;
  readonly awareness: Awareness;
  readonly outbox: Outbox;
  readonly membership: Membership;

  constructor(profile: Profile = LAN_PROFILE) {
    this.config = configOf({ profile });
    this.table = new NodeTable(this.rng);
    this.queue = new BroadcastQueue({
      retransmitMult: profile.retransmitMult,
      bytesMax: gossipBytesMax(undefined),
      countMax: NODES_MAX,
    });
    this.awareness = new Awareness(profile.awarenessMaxMultiplier);
    this.outbox = new Outbox(this);
    this.membership = new Membership(this);
    this.membership.announceSelf(0);
    this.forget();
  }

  get self(): NodeEntry {
    return this.node('self');
  }

  node(name: string): NodeEntry {
    const node = this.table.get(name);
    if (node === undefined) throw new Error(`${name} is not in the table`);
    return node;
  }

  /** Adds `count` live nodes n1, n2, ... and forgets that they joined. */
  populate(count: number, more: Partial<Alive> = {}): void {
    for (let i = 1; i <= count; i++) this.membership.alive(0, aliveOf(`n${i}`, { addr: addrOf(i), ...more }));
    this.forget();
  }

  /** The queued broadcasts, each once, taken out of the queue for good. */
  queued(): PacketMessage[] {
    const messages = this.queue.take(0, Number.POSITIVE_INFINITY, 0);
    return messages.map(decodePacketMessage);
  }

  forget(): void {
    this.queued();
    this.delegate.told.length = 0;
    this.outbox.drain();
  }

  /** Datagrams since the last call, unpacked: to whom, and the messages inside. */
  sent(): Sent[] {
    return sentOf(this.outbox.drain());
  }
}

export interface Sent {
  readonly to: Endpoint;
  readonly messages: PacketMessage[];
}

export function sentOf(outputs: readonly Output[], keyring?: Keyring): Sent[] {
  return outputs.flatMap((output) =>
    output.kind === 'datagram'
      ? [{ to: output.to, messages: openPacket(output.bytes, keyring).messages.map(decodePacketMessage) }]
      : [],
  );
}

export function aliveOf(node: string, more: Partial<Alive> = {}): Alive {
  return {
    node,
    incarnation: 1,
    addr: addrOf(1),
    port: PORT,
    meta: Uint8Array.of(1),
    vsn: SERF_VSN,
    ...more,
  };
}

export function entryOf(name: string, more: Partial<NodeEntry> = {}): NodeEntry {
  return {
    name,
    addr: addrOf(1),
    port: PORT,
    meta: EMPTY,
    vsn: SERF_VSN,
    incarnation: 1,
    state: 'alive',
    changedAt: 0,
    suspicion: undefined,
    ...more,
  };
}

export function remoteOf(name: string, more: Partial<PushPullNode> = {}): PushPullNode {
  return {
    name,
    incarnation: 1,
    addr: addrOf(1),
    port: PORT,
    meta: Uint8Array.of(1),
    vsn: SERF_VSN,
    state: 0,
    ...more,
  };
}
