import { concatBytes } from '../lib/bytes.ts';

interface Held {
  readonly stdout: Uint8Array[];
  readonly stderr: Uint8Array[];
  bytes: number;
}

/** Output of nodes that is kept until the end of the run, up to a limit for each of them. */
export class HeldOutput {
  private readonly nodes = new Map<string, Held>();
  private readonly bytesMax: number;

  constructor(bytesMax = Number.POSITIVE_INFINITY) {
    this.bytesMax = bytesMax;
  }

  /** Takes a piece; the data itself is not kept. */
  push(node: string, stream: 'stdout' | 'stderr', data: Uint8Array): void {
    const held = this.nodes.get(node) ?? { stdout: [], stderr: [], bytes: 0 };
    this.nodes.set(node, held);
    const room = this.bytesMax - held.bytes;
    held.bytes += data.length;
    // A copy, which slice() of a Buffer would not be: the data is a view of a buffer that is used again.
    if (room > 0) held[stream].push(Uint8Array.from(data.subarray(0, room)));
  }

  chunks(node: string, stream: 'stdout' | 'stderr'): readonly Uint8Array[] {
    return this.nodes.get(node)?.[stream] ?? [];
  }

  bytes(node: string, stream: 'stdout' | 'stderr'): Uint8Array {
    return concatBytes(...this.chunks(node, stream));
  }

  /** Whether more came than is kept. */
  isCut(node: string): boolean {
    return (this.nodes.get(node)?.bytes ?? 0) > this.bytesMax;
  }

  forget(node: string): void {
    this.nodes.delete(node);
  }
}
