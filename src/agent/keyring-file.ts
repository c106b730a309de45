import * as v from 'valibot';
import { readSecretFile, writeSecretFile } from '../identity/secret-file.ts';
import { utf8, utf8Text } from '../lib/bytes.ts';
import { FanoutError } from '../lib/errors.ts';
import { Keyring, parseClusterKey } from '../memberlist/keyring.ts';

const KEYS_MAX = 64;
const schema = v.pipe(v.array(v.string()), v.minLength(1), v.maxLength(KEYS_MAX));

/** The keys of Serf's keyring file: a JSON list of base64, the primary first. Throws FanoutError KEY_INVALID. */
export function loadKeyring(path: string): Keyring {
  const invalid = (reason: string): FanoutError =>
    new FanoutError('KEY_INVALID', `the keyring ${path} ${reason}`, {
      hint: `It is a JSON list of keys, the primary first: ["$(fanout keygen)"]`,
    });
  let value: unknown;
  try {
    value = JSON.parse(utf8Text(readSecretFile(path)) ?? '');
  } catch (error) {
    if (error instanceof FanoutError) throw error;
    throw invalid('is not JSON');
  }
  const result = v.safeParse(schema, value);
  if (!result.success) throw invalid(`does not have 1 to ${KEYS_MAX} keys`);
  return new Keyring(result.output.map(parseClusterKey));
}

/** Writes the file as Serf does, whole or not at all. Throws FanoutError KEY_INVALID. */
export function saveKeyring(path: string, keyring: Keyring): void {
  const keys = keyring.keys.map((key) => Buffer.from(key).toString('base64'));
  writeSecretFile(path, utf8(JSON.stringify(keys, null, 2)), { overwrite: true });
}
