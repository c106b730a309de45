import { FanoutError } from '../lib/errors.ts';
import { EVERYBODY } from '../policy/selector.ts';
import { type KeyChange, keyChangeArgv } from '../serf/key-queries.ts';
import { type AskerOptions, newRunId, openAsker, prepareRequest } from './launch.ts';

/** How long a signed change may travel. */
const TTL_SECONDS = 60;
/** Nothing runs: the field has to say something. */
const TIMEOUT_MS = 1000;

/** The operator's signature under a change of keys, or why there is none. */
export type KeyApproval =
  | { readonly envelope: Uint8Array }
  | { readonly envelope: undefined; readonly reason: string };

/**
 * Signs a change of the cluster's keys: the operation and the fingerprint of the key, never the key. Without a key of the
 * operator, or an environment, there is nothing to sign with or for, and members whose policy asks for it will refuse.
 * Throws FanoutError when a key was named and cannot be used, INTEGRITY for a signature that does not hold, and
 * AGENT_UNREACHABLE.
 */
export async function approveKeyChange(
  options: AskerOptions,
  operation: KeyChange['operation'],
  key: Uint8Array,
): Promise<KeyApproval> {
  try {
    const asker = await openAsker(options);
    asker.client.close();
    const argv = keyChangeArgv(operation, key);
    const request = { selector: EVERYBODY, argv, timeoutMs: TIMEOUT_MS };
    const { envelope } = await prepareRequest(asker, request, newRunId(), TTL_SECONDS);
    return { envelope };
  } catch (error) {
    if (!(error instanceof FanoutError)) throw error;
    // An ssh-agent that lies is no reason to go on without a signature.
    const isGrave = error.code === 'AGENT_UNREACHABLE' || error.code === 'INTEGRITY';
    if (options.identity !== undefined || isGrave) throw error;
    return { envelope: undefined, reason: error.message };
  }
}
