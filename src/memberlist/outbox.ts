import type { Endpoint } from '../lib/net-address.ts';
import type { Rng } from '../lib/rng.ts';
import type { BroadcastQueue } from './broadcast-queue.ts';
import { encodeCompound } from './compound.ts';
import type { MemberlistConfig } from './config.ts';
import type { Keyring } from './keyring.ts';
import { encodeUser } from './messages.ts';
import { type NodeEntry, type NodeTable, protocolMax } from './node-table.ts';
import { PACKET_BYTES_MAX, packetOverhead, sealPacket } from './packet.ts';
import type { Counters, Delegate, Output } from './ports.ts';
import { sealStream } from './stream.ts';

/** A compound counts its parts in one byte; releases before 0.3.2 compute twice that count in eight bits. */
const COMPOUND_PARTS_MAX = 127;
/** A compound spends two bytes on each part's length, and two on its own type and count. */
const PART_BYTES = 2;
/** A user message carries one type byte more. */
const USER_PART_BYTES = PART_BYTES + 1;
const PMAX_WITH_CRC = 5;

/** The longest message that gossip can carry: what a packet has room for, where it is the only one. */
export function gossipBytesMax(keyring: Keyring | undefined): number {
  return PACKET_BYTES_MAX - packetOverhead(keyring) - PART_BYTES - USER_PART_BYTES;
}

/** Builds, seals and collects what is to be sent. */
export class Outbox {
  private readonly config: MemberlistConfig;
  private readonly table: NodeTable;
  private readonly queue: BroadcastQueue;
  private readonly delegate: Delegate;
  private readonly counters: Counters;
  private readonly rng: Rng;
  private outputs: Output[] = [];

  constructor(parts: {
    config: MemberlistConfig;
    table: NodeTable;
    queue: BroadcastQueue;
    delegate: Delegate;
    counters: Counters;
    rng: Rng;
  }) {
    this.config = parts.config;
    this.table = parts.table;
    this.queue = parts.queue;
    this.delegate = parts.delegate;
    this.counters = parts.counters;
    this.rng = parts.rng;
  }

  /** Everything that has been asked for since the last call, in order. */
  drain(): Output[] {
    const outputs = this.outputs;
    this.outputs = [];
    return outputs;
  }

  push(output: Output): void {
    this.outputs.push(output);
  }

  /** Sends one message, bare. `node` is the addressee's record where it is at hand: it decides about the CRC header. */
  packet(to: Endpoint, message: Uint8Array, node?: NodeEntry): void {
    // Answers go where messages say. Nobody listens at port 0, and the system's send call refuses it.
    if (to.port === 0) return this.counters.count('send-port-zero');
    const bytes = sealPacket(message, {
      compress: this.config.compression,
      crc: node !== undefined && protocolMax(node) >= PMAX_WITH_CRC,
      keyring: this.config.keyring,
      nonce: () => this.rng.bytes(12),
    });
    this.outputs.push({ kind: 'datagram', to, bytes });
  }

  /** Sends one message with as many queued broadcasts as fit. */
  packetWithGossip(to: Endpoint, message: Uint8Array, node?: NodeEntry): void {
    const gossip = this.fill(message.length);
    this.packet(to, gossip.length === 0 ? message : encodeCompound([message, ...gossip]), node);
  }

  /** Sends queued broadcasts alone; false when there was nothing to send. */
  gossip(to: Endpoint, node: NodeEntry): boolean {
    const parts = this.fill(0);
    if (parts.length === 0) return false;
    this.packet(to, parts.length === 1 ? (parts[0] as Uint8Array) : encodeCompound(parts), node);
    return true;
  }

  /** A stream message as it goes over TCP. */
  sealStream(message: Uint8Array, compress = this.config.compression): Uint8Array {
    return sealStream(message, { compress, keyring: this.config.keyring, nonce: () => this.rng.bytes(12) });
  }

  /** Broadcasts that fit beside a message of `used` bytes: memberlist's own first, then the delegate's. */
  private fill(used: number): Uint8Array[] {
    let budget = PACKET_BYTES_MAX - used - PART_BYTES - packetOverhead(this.config.keyring);
    const parts = this.queue.take(PART_BYTES, budget, this.table.size);
    for (const part of parts) budget -= part.length + PART_BYTES;
    if (budget > USER_PART_BYTES) {
      for (const payload of this.delegate.takeBroadcasts(USER_PART_BYTES, budget))
        parts.push(encodeUser(payload));
    }
    // A part that does not fit the count is lost here, but it stays queued for its other transmissions.
    return parts.slice(0, COMPOUND_PARTS_MAX - 1);
  }
}
