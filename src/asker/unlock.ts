import type { SealedKey } from '../identity/sealed-key.ts';
import type { PrivateKey } from '../identity/ssh-key.ts';
import { FanoutError } from '../lib/errors.ts';

/** How a person is asked for a passphrase, and told what was wrong with it. */
export interface Unlocking {
  /** Without it a key that has a passphrase cannot be opened: there is nobody to ask. */
  readonly askPassphrase?: ((question: string) => Promise<string>) | undefined;
  readonly say?: ((text: string) => void) | undefined;
}

const ATTEMPTS = 3;

/**
 * Opens a sealed key with the passphrase that a person gives: three tries. Throws FanoutError KEY_INVALID when none was
 * right or there is nobody to ask, and what the asking throws.
 */
export async function unsealed(sealed: SealedKey, path: string, how: Unlocking): Promise<PrivateKey> {
  if (how.askPassphrase === undefined) {
    throw new FanoutError('KEY_INVALID', `${path} has a passphrase, and there is no terminal to ask for it`, {
      hint: 'Run it on a terminal, or name a key in your ssh-agent: -i FILE.pub',
    });
  }
  for (let left = ATTEMPTS; left > 0; left--) {
    const key = sealed.open(await how.askPassphrase(`passphrase of ${path}: `));
    if (key !== undefined) return key;
    how.say?.('this is not the passphrase');
  }
  throw new FanoutError('KEY_INVALID', `${path} was not opened: three times a wrong passphrase`, {
    hint: 'Without it the key is lost. Make another with: fanout operator keygen --passphrase',
  });
}
