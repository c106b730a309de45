import { readConfigPath } from './config-file.ts';
import { merge } from './merge.ts';
import type { Said } from './schema.ts';

export interface LoadedSettings {
  readonly said: Said;
  /** The files that were read, in their order. */
  readonly files: readonly string[];
  readonly warnings: readonly string[];
}

/**
 * Reads the configuration files and folders in their order, and puts the flags above them. Throws FanoutError CONFIG.
 * Called again at each SIGHUP.
 */
export function loadSettings(paths: readonly string[], flags: Said): LoadedSettings {
  const files = paths.flatMap(readConfigPath);
  const warnings = files.flatMap((file) => file.warnings);
  if (flags.encrypt_key !== undefined) {
    warnings.push('the cluster key of --encrypt shows in the list of processes: use --encrypt-file');
  }
  return {
    said: [...files.map((file) => file.said), flags].reduce(merge, {}),
    files: files.map((file) => file.path),
    warnings,
  };
}
