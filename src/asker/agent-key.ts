import type { OperatorKey } from '../identity/operator-key.ts';
import { isTouched, verifyOperatorSignature } from '../identity/operator-signature.ts';
import {
  type AgentIdentity,
  decodeIdentities,
  decodeSignature,
  identitiesRequest,
  signatureRequest,
} from '../identity/ssh-agent-messages.ts';
import { fingerprint, isSecurityKey } from '../identity/ssh-key.ts';
import { DecodeError, FanoutError } from '../lib/errors.ts';
import type { Millis } from '../lib/time.ts';
import { askSshAgent } from '../net/ssh-agent-socket.ts';

/** Listing asks nobody. */
const LIST_TIMEOUT_MS: Millis = 5000;
/**
 * A confirmation or a touch takes a person. A command is signed for a minute from before it is asked for, and half of that
 * has to be left for its way.
 */
const SIGN_TIMEOUT_MS: Millis = 30_000;

/** The keys that the agent holds. Throws FanoutError KEY_INVALID. */
export async function agentIdentities(
  socket: string,
  timeoutMs: Millis = LIST_TIMEOUT_MS,
): Promise<readonly AgentIdentity[]> {
  const reply = await askSshAgent(socket, identitiesRequest(), { timeoutMs });
  const identities = understood(socket, () => decodeIdentities(reply));
  if (identities !== undefined) return identities;
  throw new FanoutError('KEY_INVALID', `the ssh-agent at ${socket} does not say which keys it holds`, {
    hint: 'Is it locked? Unlock it with: ssh-add -X',
  });
}

/** A key whose secret an agent keeps. */
export interface AgentKeyOptions {
  readonly socket: string;
  readonly publicKey: Uint8Array;
  readonly name: string;
  /** Tells the person that the agent may be waiting for them. */
  say(text: string): void;
  readonly timeoutMs?: Millis;
}

/**
 * A key that signs through the agent. What comes back is checked here, before anything is sent: no node would say that the
 * signature is wrong, it would only be silent.
 */
export function agentKey(options: AgentKeyOptions): OperatorKey {
  const { socket, publicKey, name } = options;
  const key = fingerprint(publicKey);
  return {
    publicKey,
    name,
    sign: async (preimage) => {
      const reply = await askSshAgent(socket, signatureRequest(publicKey, preimage), {
        timeoutMs: options.timeoutMs ?? SIGN_TIMEOUT_MS,
        onWaiting: () => options.say(`waiting for the ssh-agent: confirm the use of ${key}, or touch it`),
      });
      const signature = understood(socket, () => decodeSignature(reply, publicKey));
      if (signature === undefined) {
        throw new FanoutError('KEY_INVALID', `the ssh-agent refused to sign with ${key}`, {
          hint: 'Was it confirmed? Is the key still there? Look with: ssh-add -l',
        });
      }
      if (verifyOperatorSignature(publicKey, preimage, signature)) return signature;
      if (isSecurityKey(publicKey) && !isTouched(signature)) {
        throw new FanoutError('KEY_INVALID', `${key} has signed without a touch, which no node takes`, {
          hint: 'Nothing was sent. Make a key with: ssh-keygen -t ed25519-sk, without no-touch-required.',
        });
      }
      throw new FanoutError(
        'INTEGRITY',
        `the signature that the ssh-agent at ${socket} gave is not one of ${key} over this command`,
        { hint: 'Nothing was sent. Do not trust this agent: look at what SSH_AUTH_SOCK names.' },
      );
    },
  };
}

function understood<T>(socket: string, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new FanoutError(
      'KEY_INVALID',
      `the ssh-agent at ${socket} does not speak its protocol: ${error.message}`,
      {
        hint: 'Look at what SSH_AUTH_SOCK names.',
        cause: error,
      },
    );
  }
}
