import { EMPTY, readU32 } from '../lib/bytes.ts';
import { DecodeError } from '../lib/errors.ts';

/** Bytes of the length in front of each frame. */
export const LENGTH_BYTES = 4;

/**
 * Cuts a byte stream into frames (u32 length, bytes). A frame that lies whole in one chunk is handed on where
 * it lies; others are gathered in one buffer that grows with the bytes that have come, never with the length
 * that was claimed, and is used again for the next frame.
 */
export class FrameBuffer {
  private store: Uint8Array = EMPTY;
  private have = 0;

  /**
   * Takes a chunk and calls `onFrame` for each frame that is complete, in order. The frame is valid during
   * the call only. `maxBytes` is asked for each frame anew. Throws DecodeError('oversize') as soon as a
   * larger length is seen.
   */
  push(chunk: Uint8Array, maxBytes: () => number, onFrame: (frame: Uint8Array) => void): void {
    let offset = 0;
    while (offset < chunk.length) {
      if (this.have === 0) {
        const end = frameEnd(chunk, offset, maxBytes);
        if (end !== undefined && end <= chunk.length) {
          onFrame(chunk.subarray(offset + LENGTH_BYTES, end));
          offset = end;
          continue;
        }
      }
      offset += this.gather(chunk.subarray(offset), maxBytes);
      if (this.have < LENGTH_BYTES || this.have < (frameEnd(this.store, 0, maxBytes) ?? 0)) continue;
      const frame = this.store.subarray(LENGTH_BYTES, this.have);
      this.have = 0;
      onFrame(frame);
    }
  }

  /** Gives the memory back. */
  clear(): void {
    this.store = EMPTY;
    this.have = 0;
  }

  /** Whether the stream stands between two frames. */
  get isEmpty(): boolean {
    return this.have === 0;
  }

  /** Bytes of memory held for a frame that is not complete. */
  get heldBytes(): number {
    return this.store.length;
  }

  /** Adds what the gathered frame still needs from the front of `bytes`; returns how many bytes that were. */
  private gather(bytes: Uint8Array, maxBytes: () => number): number {
    const need = this.have < LENGTH_BYTES ? LENGTH_BYTES : (frameEnd(this.store, 0, maxBytes) ?? 0);
    const count = Math.min(need - this.have, bytes.length);
    const after = this.have + count;
    if (after > this.store.length) {
      const grown = new Uint8Array(Math.max(after, Math.min(2 * this.store.length, need)));
      grown.set(this.store.subarray(0, this.have));
      this.store = grown;
    }
    this.store.set(count === bytes.length ? bytes : bytes.subarray(0, count), this.have);
    this.have = after;
    return count;
  }
}

/** End offset of the frame that starts at `offset`; undefined when its length is not there yet. */
function frameEnd(bytes: Uint8Array, offset: number, maxBytes: () => number): number | undefined {
  if (bytes.length - offset < LENGTH_BYTES) return undefined;
  const length = readU32(bytes, offset);
  const max = maxBytes();
  if (length > max) throw new DecodeError('oversize', `a frame of ${length} bytes, at most ${max}`);
  return offset + LENGTH_BYTES + length;
}
