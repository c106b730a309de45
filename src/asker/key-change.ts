import type { OperatorKey } from '../identity/operator-key.ts';
import { FanoutError } from '../lib/errors.ts';
import { EVERYBODY } from '../policy/selector.ts';
import { type KeyChange, keyChangeArgv } from '../serf/key-queries.ts';
import { agentAddress, connectAgent } from './connect.ts';
import { type AskerOptions, newRunId, openAsker, prepareRequest } from './launch.ts';
import { NoOperatorKey, openIdentity } from './operator-identity.ts';

/** How long a signed change may travel. */
const TTL_SECONDS = 60;
/** Nothing runs: the field has to say something. */
const TIMEOUT_MS = 1000;

/** The operator's signature under a change of keys, or why there is none. */
export type KeyApproval =
  | { readonly envelope: Uint8Array }
  | { readonly envelope: undefined; readonly reason: string };

/**
 * Signs a change of the cluster's keys: the operation and the fingerprint of the key, never the key. Where nobody has a key,
 * or the agent has no environment, there is nothing to sign with or for, and members whose policy asks for it will refuse. A
 * key that is there and cannot be used is an error: whoever has one expects that it was used. Throws FanoutError.
 */
export async function approveKeyChange(
  options: AskerOptions,
  operation: KeyChange['operation'],
  key: Uint8Array,
): Promise<KeyApproval> {
  // Asked first: nobody should give a passphrase for nothing. Whoever names a key hears of it from `openAsker`.
  const reason = options.identity === undefined ? await whyNothingToSign(options) : '';
  if (reason !== '') return { envelope: undefined, reason };
  let operatorKey: OperatorKey;
  try {
    operatorKey = await openIdentity(options);
  } catch (error) {
    if (error instanceof NoOperatorKey) return { envelope: undefined, reason: error.message };
    throw error;
  }
  const asker = await openAsker({ ...options, key: operatorKey });
  asker.client.close();
  const argv = keyChangeArgv(operation, key);
  const request = { selector: EVERYBODY, argv, timeoutMs: TIMEOUT_MS };
  const { envelope } = await prepareRequest(asker, request, newRunId(), TTL_SECONDS);
  return { envelope };
}

/** Why a signature would say nothing to anybody here, '' when it would. Throws FanoutError AGENT_UNREACHABLE. */
async function whyNothingToSign({ rpcAddr }: AskerOptions): Promise<string> {
  const client = await connectAgent(agentAddress(rpcAddr));
  try {
    const { node, environment } = await client.info();
    return environment === '' ? `the agent ${node} belongs to no environment` : '';
  } catch (error) {
    // Serf's own agent knows no environments, nor the question.
    if (error instanceof FanoutError && error.code === 'AGENT_ERROR') return error.message;
    throw error;
  } finally {
    client.close();
  }
}
