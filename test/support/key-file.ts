import { type LocalKey, localKey, readKeyFile } from '../../src/identity/operator-key.ts';

/** The key in a file that needs neither passphrase nor agent. */
export function keyIn(path: string): LocalKey {
  const file = readKeyFile(path);
  if (file?.kind !== 'open') throw new Error(`${path}: ${file?.kind ?? 'not there'}`);
  return localKey(file.key);
}
