/** Keeps the last bytes of what is written to it, as Serf keeps the output of a handler. */
export class TailBuffer {
  private readonly bytes: Uint8Array;
  private written = 0;

  constructor(bytesMax: number) {
    this.bytes = new Uint8Array(bytesMax);
  }

  /** Everything that was ever written, also what is not kept any more. */
  get totalBytes(): number {
    return this.written;
  }

  push(chunk: Uint8Array): void {
    const size = this.bytes.length;
    const kept = chunk.subarray(Math.max(0, chunk.length - size));
    const at = (this.written + chunk.length - kept.length) % size;
    const first = kept.subarray(0, size - at);
    this.bytes.set(first, at);
    this.bytes.set(kept.subarray(first.length), 0);
    this.written += chunk.length;
  }

  /** What is kept, the oldest byte first. */
  tail(): Uint8Array {
    const size = this.bytes.length;
    if (this.written <= size) return this.bytes.slice(0, this.written);
    const at = this.written % size;
    const tail = new Uint8Array(size);
    tail.set(this.bytes.subarray(at), 0);
    tail.set(this.bytes.subarray(0, at), size - at);
    return tail;
  }
}
