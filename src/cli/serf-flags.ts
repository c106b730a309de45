import type { KeyChanges, SerfSettings } from '../agent/serf-settings.ts';
import { FanoutError } from '../lib/errors.ts';

/** The flags of `fanout agent` for the parts of Serf's protocol that are a choice. */
export interface SerfOptions {
  readonly keyringFile?: string;
  readonly keyChanges?: KeyChanges;
  readonly snapshot?: string;
  readonly rejoin?: boolean;
  readonly replay?: boolean;
  readonly encrypt?: string;
  readonly encryptFile?: string;
}

/** Throws FanoutError USAGE for flags that exclude each other. */
export function serfSettings(options: SerfOptions): SerfSettings {
  const { keyringFile, keyChanges, encrypt, encryptFile } = options;
  if (keyringFile !== undefined && (encrypt !== undefined || encryptFile !== undefined)) {
    throw new FanoutError('USAGE', '--keyring-file excludes --encrypt and --encrypt-file', {
      hint: 'The keyring has the key already: fanout keys --list',
    });
  }
  return {
    keyringFile,
    keyChanges,
    snapshotFile: options.snapshot,
    rejoinAfterLeave: options.rejoin === true,
    replayOnJoin: options.replay === true,
  };
}
