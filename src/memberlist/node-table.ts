import { type Endpoint, ipText } from '../lib/net-address.ts';
import type { Rng } from '../lib/rng.ts';
import type { Millis } from '../lib/time.ts';
import type { Suspicion } from './suspicion.ts';

export type NodeState = 'alive' | 'suspect' | 'dead' | 'left';

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

  /** Adds a node at a random place of the probing order, so that a new node is probed as soon as any other. */
  add(node: NodeEntry): void {
    this.byName.set(node.name, node);
    this.order.push(node);
    const at = this.rng.below(this.order.length);
    this.order[this.order.length - 1] = this.order[at] as NodeEntry;
    this.order[at] = node;
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
      // memberlist's kRandomNodes: up to 3n draws. Cheaper than a shuffle when most nodes are wanted.
      for (let draws = 0; draws < 3 * n && picked.length < count; draws++) {
        const node = this.order[this.rng.below(n)] as NodeEntry;
        if (wanted(node) && !picked.includes(node)) picked.push(node);
      }
      return picked;
    }
    for (const node of this.rng.shuffle([...this.order])) {
      if (picked.length === count) break;
      if (wanted(node)) picked.push(node);
    }
    return picked;
  }
}
