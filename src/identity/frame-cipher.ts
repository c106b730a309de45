import { createCipheriv, createDecipheriv, createSecretKey, hkdfSync, type KeyObject } from 'node:crypto';
import { assert } from '../lib/assert.ts';
import { writeU32 } from '../lib/bytes.ts';
import { DecodeError } from '../lib/errors.ts';
import { LENGTH_BYTES } from './frame-buffer.ts';

const ALGORITHM = 'aes-256-gcm';
const NONCE_BYTES = 12;
export const TAG_BYTES = 16;
/** The counter uses 48 of the nonce's 96 bits: at a million frames a second it lasts nine years. */
const COUNTER_BYTES = 6;
const COUNTER_MAX = 2 ** 48;

/** The two directions, each with its own key, so that neither side's frames can be sent back to it. */
export const DIRECTIONS = {
  nodeToAsker: 'fanout node to asker',
  askerToNode: 'fanout asker to node',
} as const;

/**
 * One direction of a channel: AES-256-GCM under HKDF-SHA256(secret, salt = request id, direction), the nonce
 * a counter. Each frame is opened or sealed under the next count, so a frame that was dropped, repeated or
 * moved does not open.
 */
export class FrameCipher {
  private readonly key: KeyObject;
  private readonly nonce = Buffer.alloc(NONCE_BYTES);
  private count = 0;

  constructor(secret: Uint8Array, requestId: Uint8Array, direction: string) {
    this.key = createSecretKey(new Uint8Array(hkdfSync('sha256', secret, requestId, direction, 32)));
  }

  /** Length, ciphertext and tag of kind byte and body. */
  seal(kind: number, body: Uint8Array): Uint8Array {
    const cipher = createCipheriv(ALGORITHM, this.key, this.nextNonce());
    const head = cipher.update(Uint8Array.of(kind));
    const rest = cipher.update(body);
    cipher.final();
    const length = head.length + rest.length + TAG_BYTES;
    const frame = Buffer.allocUnsafe(LENGTH_BYTES + length);
    writeU32(frame, 0, length);
    frame.set(head, LENGTH_BYTES);
    frame.set(rest, LENGTH_BYTES + head.length);
    frame.set(cipher.getAuthTag(), LENGTH_BYTES + head.length + rest.length);
    return frame;
  }

  /**
   * The plaintext of a frame without its length: new bytes. Throws DecodeError('tag') and gives out nothing
   * unchecked.
   */
  open(frame: Uint8Array): Uint8Array {
    if (frame.length < TAG_BYTES + 1) throw new DecodeError('short', `a frame of ${frame.length} bytes`);
    const decipher = createDecipheriv(ALGORITHM, this.key, this.nextNonce());
    decipher.setAuthTag(frame.subarray(frame.length - TAG_BYTES));
    const plaintext = decipher.update(frame.subarray(0, frame.length - TAG_BYTES));
    try {
      decipher.final();
    } catch {
      throw new DecodeError('tag', `frame ${this.count} was changed, moved, or is not from the other side`);
    }
    return plaintext;
  }

  /** The nonce of this count; the next call gives the next one. The buffer is the same each time. */
  private nextNonce(): Uint8Array {
    assert(this.count < COUNTER_MAX, 'a frame counter never comes round');
    this.nonce.writeUIntBE(this.count++, NONCE_BYTES - COUNTER_BYTES, COUNTER_BYTES);
    return this.nonce;
  }
}
