import { DecodeError } from '../../src/lib/errors.ts';
import type { Endpoint } from '../../src/lib/net-address.ts';
import { seededRng } from '../../src/lib/rng.ts';
import { LAN_PROFILE, type Profile } from '../../src/memberlist/config.ts';
import { Keyring } from '../../src/memberlist/keyring.ts';
import type { Output, StreamId } from '../../src/memberlist/ports.ts';
import type { SerfEvent } from '../../src/serf/events.ts';
import type { MemberStatus } from '../../src/serf/member.ts';
import { Serf } from '../../src/serf/serf.ts';
import { VirtualTime } from './virtual-time.ts';

const PORT = 7946;

interface SimNode {
  readonly name: string;
  readonly host: string;
  serf: Serf;
  /** Raised when the process dies, so that what was scheduled for the old life is ignored. */
  life: number;
  up: boolean;
  wakeAt: number;
  events: { at: number; event: SerfEvent }[];
  /** Our stream id to the other end. */
  streams: Map<StreamId, SimStream>;
}

/** One end of a stream: where the other end is, and when the last thing sent into it arrives. */
interface SimStream {
  readonly peer: SimNode;
  readonly peerId: StreamId;
  readonly peerLife: number;
  arrivesAt: number;
}

export interface SimOptions {
  readonly seed: number;
  readonly nodes: number;
  /** Share of datagrams that are lost. */
  readonly loss?: number;
  readonly encrypted?: boolean;
  readonly profile?: Profile;
}

/** Real membership cores on a virtual network in virtual time: the same seed gives the same run, byte for byte. */
export class SimCluster {
  readonly time = new VirtualTime();
  readonly nodes: SimNode[] = [];
  /** Nodes in different groups cannot reach each other. */
  private readonly group = new Map<SimNode, number>();
  private readonly byHost = new Map<string, SimNode>();
  private readonly rng: ReturnType<typeof seededRng>;
  private readonly options: SimOptions;
  packets = 0;

  constructor(options: SimOptions) {
    this.options = options;
    this.rng = seededRng(options.seed);
    for (let i = 0; i < options.nodes; i++) {
      const node: SimNode = {
        name: `n${i + 1}`,
        host: `10.0.${i >> 8}.${i & 255}`,
        serf: undefined as unknown as Serf,
        life: 0,
        up: true,
        wakeAt: Number.POSITIVE_INFINITY,
        events: [],
        streams: new Map(),
      };
      this.nodes.push(node);
      this.byHost.set(node.host, node);
      this.boot(node);
    }
  }

  node(index: number): SimNode {
    return this.nodes[index]!;
  }

  runFor(ms: number): void {
    this.time.runUntil(this.time.now + ms);
  }

  /** Runs until the condition holds; false when it does not within `ms`. */
  runUntil(condition: () => boolean, ms: number, stepMs = 500): boolean {
    const end = this.time.now + ms;
    while (this.time.now < end) {
      if (condition()) return true;
      this.runFor(stepMs);
    }
    return condition();
  }

  join(node: SimNode, via: SimNode): void {
    node.serf.join(this.time.now, { host: via.host, port: PORT }, () => {});
    this.settle(node);
  }

  crash(node: SimNode): void {
    node.up = false;
    node.life++;
    for (const { peer, peerId, peerLife } of node.streams.values()) {
      this.later(peer, peerLife, () => peer.serf.memberlist.closedStream(this.time.now, peerId, 'reset'));
    }
    node.streams.clear();
  }

  restart(node: SimNode): void {
    this.boot(node);
  }

  leave(node: SimNode): void {
    node.serf.leave(this.time.now);
    this.settle(node);
  }

  /** Splits the network: nodes reach only those of their own group. */
  partition(groupOf: (node: SimNode, index: number) => number): void {
    for (const [index, node] of this.nodes.entries()) this.group.set(node, groupOf(node, index));
  }

  heal(): void {
    this.group.clear();
  }

  statusOf(observer: SimNode, subject: SimNode): MemberStatus {
    return observer.serf.members.get(subject.name)?.status ?? 'none';
  }

  /** True when every node that is up sees exactly the nodes that are up as alive. */
  get converged(): boolean {
    const up = this.nodes.filter((node) => node.up);
    return up.every((observer) => {
      let alive = 0;
      for (const member of observer.serf.members.all()) if (member.status === 'alive') alive++;
      return alive === up.length && up.every((subject) => this.statusOf(observer, subject) === 'alive');
    });
  }

  settle(node: SimNode): void {
    for (;;) {
      const outputs = node.serf.drain();
      if (outputs.length === 0) break;
      for (const output of outputs) this.carryOut(node, output);
    }
    for (const event of node.serf.takeEvents()) node.events.push({ at: this.time.now, event });
    this.scheduleWake(node);
  }

  private boot(node: SimNode): void {
    const seed = this.rng.u32();
    const addr = Uint8Array.from(node.host.split('.').map(Number));
    node.life++;
    node.up = true;
    node.wakeAt = Number.POSITIVE_INFINITY;
    node.serf = new Serf(
      {
        name: node.name,
        addr,
        port: PORT,
        tags: new Map([['role', Number(node.name.slice(1)) % 5 === 0 ? 'db' : 'web']]),
        profile: this.options.profile ?? LAN_PROFILE,
        compression: false,
        keyring: this.options.encrypted === true ? new Keyring([new Uint8Array(32).fill(7)]) : undefined,
        matches: (expression, value) => expression === value,
      },
      seededRng(seed),
      this.time.now,
    );
    this.settle(node);
  }

  private scheduleWake(node: SimNode): void {
    const at = Math.max(node.serf.nextWake(), this.time.now);
    if (at >= node.wakeAt && node.wakeAt > this.time.now) return;
    node.wakeAt = at;
    const { life } = node;
    this.time.at(at, () => {
      if (node.life !== life || node.wakeAt !== at) return;
      node.wakeAt = Number.POSITIVE_INFINITY;
      node.serf.tick(this.time.now);
      this.settle(node);
    });
  }

  private reachable(a: SimNode, b: SimNode): boolean {
    return b.up && (this.group.get(a) ?? 0) === (this.group.get(b) ?? 0);
  }

  private delay(): number {
    return 0.2 + this.rng.float() * 0.8;
  }

  /** Does something at a node after the network's delay, if the node still lives the same life then. */
  private later(node: SimNode, life: number, run: () => void): void {
    this.time.at(this.time.now + this.delay(), () => {
      if (node.life !== life || !node.up) return;
      run();
      this.settle(node);
    });
  }

  private carryOut(node: SimNode, output: Output): void {
    switch (output.kind) {
      case 'datagram':
        return this.datagram(node, output.to, output.bytes);
      case 'dial':
        return this.dial(node, output);
      case 'write': {
        const stream = node.streams.get(output.id);
        if (stream !== undefined) this.deliver(node, stream, output.bytes);
        return;
      }
      case 'close': {
        const stream = node.streams.get(output.id);
        node.streams.delete(output.id);
        if (stream === undefined) return;
        const { peer, peerId } = stream;
        this.inOrder(stream, () => {
          peer.streams.delete(peerId);
          peer.serf.memberlist.closedStream(this.time.now, peerId);
        });
        return;
      }
      case 'handover':
        throw new DecodeError('handover', 'the simulator has no fanout streams');
    }
  }

  private datagram(node: SimNode, to: Endpoint, bytes: Uint8Array): void {
    this.packets++;
    const target = this.byHost.get(to.host);
    if (target === undefined || !this.reachable(node, target)) return;
    if (this.options.loss !== undefined && this.rng.float() < this.options.loss) return;
    const from = { host: node.host, port: PORT };
    this.later(target, target.life, () => {
      if (this.reachable(node, target)) target.serf.memberlist.receivedPacket(this.time.now, from, bytes);
    });
  }

  private dial(node: SimNode, output: Extract<Output, { kind: 'dial' }>): void {
    const { id, to, bytes } = output;
    const target = this.byHost.get(to.host);
    // A partitioned peer is silent, and the core's own deadline ends the wait; a dead one refuses.
    if (target === undefined || ((this.group.get(node) ?? 0) !== (this.group.get(target) ?? 0) && target.up))
      return;
    if (!target.up) {
      this.later(node, node.life, () =>
        node.serf.memberlist.closedStream(this.time.now, id, 'connection refused'),
      );
      return;
    }
    const nodeLife = node.life;
    this.later(target, target.life, () => {
      if (node.life !== nodeLife || !this.reachable(node, target)) return;
      const peerId = target.serf.memberlist.acceptedStream(this.time.now);
      const arrivesAt = this.time.now;
      target.streams.set(peerId, { peer: node, peerId: id, peerLife: nodeLife, arrivesAt });
      node.streams.set(id, { peer: target, peerId, peerLife: target.life, arrivesAt });
      target.serf.memberlist.receivedStream(this.time.now, peerId, { host: node.host, port: 40000 }, bytes);
    });
  }

  private deliver(node: SimNode, stream: SimStream, bytes: Uint8Array): void {
    const { peer, peerId } = stream;
    if (!this.reachable(node, peer)) return;
    const from = { host: node.host, port: PORT };
    this.inOrder(stream, () => peer.serf.memberlist.receivedStream(this.time.now, peerId, from, bytes));
  }

  /** What goes into one stream comes out in the same order. */
  private inOrder(stream: SimStream, run: () => void): void {
    stream.arrivesAt = Math.max(stream.arrivesAt, this.time.now + this.delay());
    this.time.at(stream.arrivesAt, () => {
      if (stream.peer.life !== stream.peerLife || !stream.peer.up) return;
      run();
      this.settle(stream.peer);
    });
  }
}
