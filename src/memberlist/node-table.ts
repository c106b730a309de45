import { utf8 } from '../lib/bytes.ts';
import { type Endpoint, ipText } from '../lib/net-address.ts';
import type { Rng } from '../lib/rng.ts';
import type { Millis } from '../lib/time.ts';
import type { Suspicion } from './suspicion.ts';

/**
 * Most nodes in the table. Whoever holds the cluster key can invent names without end; a table full of the largest
 * entries still fits a push/pull (20 MiB), so that an invasion does not stop anti-entropy.
 */
export const NODES_MAX = 10_000;
/** The longest name that is believed, in bytes: a host name has 253 at most. */
const NODE_NAME_BYTES_MAX = 255;
/** memberlist's MetaMaxSize. Its members keep to it, or their alive messages would not fit a packet. */
export const META_BYTES_MAX = 512;

type NodeState = 'alive' | 'suspect' | 'dead' | 'left';

/** One entry of the table. `dead` is what Serf's users call failed. */
export interface NodeEntry {
  readonly name: string;
  addr: Uint8Array;
  port: number;
  meta: Uint8Array;
  /** [PMin, PMax, PCur, DMin, DMax, DCur]; all zero when the node never told. */
  vsn: Uint8Array;
  incarnation: number;
  state: NodeState;
  changedAt: Millis;
  suspicion: Suspicion | undefined;
}

/** Highest protocol version that the node understands. It decides about CRC headers, nacks and TCP probes. */
export function protocolMax(node: NodeEntry): number {
  return node.vsn[1] ?? 0;
}

export function isLive(node: NodeEntry): boolean {
  return node.state === 'alive' || node.state === 'suspect';
}

export function endpointOf(node: { addr: Uint8Array; port: number }): Endpoint {
  return { host: ipText(node.addr) ?? '0.0.0.0', port: node.port };
}

/** Whether a name is short enough to be a member's. */
export function isNameWithinBounds(name: string): boolean {
  return name.length <= NODE_NAME_BYTES_MAX && utf8(name).length <= NODE_NAME_BYTES_MAX;
}

/** All nodes that memberlist knows, by name and in probing order. */
export class NodeTable {
  private readonly byName = new Map<string, NodeEntry>();
  private readonly order: NodeEntry[] = [];
  private readonly rng: Rng;

  constructor(rng: Rng) {
    this.rng = rng;
  }

  get size(): number {
    return this.order.length;
  }

  get(name: string): NodeEntry | undefined {
    return this.byName.get(name);
  }

  at(index: number): NodeEntry | undefined {
    return this.order[index];
  }

  all(): readonly NodeEntry[] {
    return this.order;
  }

  /**
   * Adds a node at a random place of the probing order, so that a new node is probed as soon as any other. In a full
   * table the node that is gone for longest makes room; false when all are here.
   */
  add(node: NodeEntry): boolean {
    if (this.order.length >= NODES_MAX && !this.makeRoom()) return false;
    this.byName.set(node.name, node);
    this.order.push(node);
    const at = this.rng.below(this.order.length);
    this.order[this.order.length - 1] = this.order[at] as NodeEntry;
    this.order[at] = node;
    return true;
  }

  /** Forgets every node that `gone` says, then shuffles the probing order. */
  sweep(gone: (node: NodeEntry) => boolean): void {
    let kept = 0;
    for (const node of this.order) {
      if (gone(node)) this.byName.delete(node.name);
      else this.order[kept++] = node;
    }
    this.order.length = kept;
    this.rng.shuffle(this.order);
  }

  /** Up to `count` distinct random nodes that `wanted` accepts. */
  pick(count: number, wanted: (node: NodeEntry) => boolean): NodeEntry[] {
    const n = this.order.length;
    const picked: NodeEntry[] = [];
    if (n >= 3 * count) {
      // memberlist's kRandomNodes: cheaper than a shuffle when most nodes are wanted. When few are, drawing on would
      // be dearer (memberlist goes up to 3n draws), and could still miss them.
      for (let draws = 0; draws < 4 * count && picked.length < count; draws++) {
        const node = this.order[this.rng.below(n)] as NodeEntry;
        if (wanted(node) && !picked.includes(node)) picked.push(node);
      }
      if (picked.length === count) return picked;
    }
    return this.rng.shuffle(this.order.filter(wanted)).slice(0, count);
  }

  private makeRoom(): boolean {
    let oldest: NodeEntry | undefined;
    for (const node of this.order) {
      if (!isLive(node) && (oldest === undefined || node.changedAt < oldest.changedAt)) oldest = node;
    }
    if (oldest === undefined) return false;
    this.byName.delete(oldest.name);
    this.order.splice(this.order.indexOf(oldest), 1);
    return true;
  }
}
