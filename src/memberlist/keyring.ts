import { timingSafeEqual } from 'node:crypto';
import { assert } from '../lib/assert.ts';
import { FanoutError } from '../lib/errors.ts';

/** The cluster's encryption keys. The primary, first of them, seals; all of them open. */
export class Keyring {
  private ring: readonly Uint8Array[];

  /**
   * Throws FanoutError('KEY_INVALID') on a key that is not 16, 24 or 32 bytes long. Repeated keys count once.
   */
  constructor(keys: readonly Uint8Array[]) {
    assert(keys.length > 0, 'a keyring has a primary key');
    this.ring = [];
    for (const key of keys) this.install(key);
  }

  get primary(): Uint8Array {
    return this.ring[0] as Uint8Array;
  }

  /** Primary first. */
  get keys(): readonly Uint8Array[] {
    return this.ring;
  }

  /** Adds a key for opening; one that is there already stays as it is. Throws FanoutError('KEY_INVALID'). */
  install(key: Uint8Array): void {
    checkLength(key);
    if (this.find(key) === undefined) this.ring = [...this.ring, new Uint8Array(key)];
  }

  /** Makes an installed key the primary. Throws FanoutError('KEY_INVALID') when it is not installed. */
  use(key: Uint8Array): void {
    const known = this.find(key);
    if (known === undefined) {
      throw new FanoutError('KEY_INVALID', 'Requested key is not in the keyring', {
        hint: 'Install the key first.',
      });
    }
    this.ring = [known, ...this.ring.filter((other) => other !== known)];
  }

  /** Forgets a key; one that is not there is fine. Throws FanoutError('KEY_INVALID') for the primary. */
  remove(key: Uint8Array): void {
    const known = this.find(key);
    if (known === this.primary) {
      throw new FanoutError('KEY_INVALID', 'Removing the primary key is not allowed', {
        hint: 'Make another key the primary first.',
      });
    }
    this.ring = this.ring.filter((other) => other !== known);
  }

  private find(key: Uint8Array): Uint8Array | undefined {
    return this.ring.find((known) => known.length === key.length && timingSafeEqual(known, key));
  }
}

/**
 * Key bytes of standard base64, as `serf keygen` and `fanout keygen` print it. It reads what Go's StdEncoding
 * reads: padding is required, line ends are skipped, and the unused bits of the last character are ignored,
 * whatever they are. Throws FanoutError('KEY_INVALID') on other text, and on a key that is not 16, 24 or 32
 * bytes long.
 */
export function parseClusterKey(base64: string): Uint8Array {
  const text = base64.replaceAll(/[\r\n]/g, '');
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text)) {
    throw new FanoutError('KEY_INVALID', 'the encryption key is not standard base64 with padding', {
      hint: 'Make a key with: fanout keygen',
    });
  }
  const key = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  checkLength(key);
  return key;
}

function checkLength(key: Uint8Array): void {
  if (key.length === 16 || key.length === 24 || key.length === 32) return;
  throw new FanoutError(
    'KEY_INVALID',
    `the encryption key has ${key.length} bytes; it must have 16, 24 or 32`,
    {
      hint: 'Make a key with: fanout keygen',
    },
  );
}
