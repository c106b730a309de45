import { concatBytes, EMPTY, utf8Text } from '../lib/bytes.ts';

/** Output as JSON can carry it: text where it is valid UTF-8, else base64. Both exact. */
export type JsonOutput = { readonly text: string } | { readonly base64: string };

export function jsonOutput(bytes: Uint8Array): JsonOutput {
  const text = utf8Text(bytes);
  return text === undefined ? { base64: Buffer.from(bytes).toString('base64') } : { text };
}

/** Keeps a character that a chunk cuts in two until its rest comes, so that text stays text. */
export class CharacterBoundary {
  private held: Uint8Array = EMPTY;

  /** The bytes up to the last complete character. */
  push(chunk: Uint8Array): Uint8Array {
    const bytes = this.held.length === 0 ? chunk : concatBytes(this.held, chunk);
    const end = bytes.length - incompleteTail(bytes);
    // A copy: the chunk may be a Buffer, whose slice() is a view of memory that is used again.
    this.held = Uint8Array.from(bytes.subarray(end));
    return bytes.subarray(0, end);
  }

  end(): Uint8Array {
    const { held } = this;
    this.held = EMPTY;
    return held;
  }
}

/** How many bytes at the end begin a character that is not complete. */
function incompleteTail(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] as number;
    if (byte < 0x80) return 0;
    if (byte < 0xc0) continue;
    const length = byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    return length > back ? back : 0;
  }
  return 0;
}
