import { concatBytes, EMPTY, equalBytes, readU32, utf8, utf8Text } from '../lib/bytes.ts';
import { DecodeError, FanoutError } from '../lib/errors.ts';
import { ED25519_SIGNATURE_BYTES } from './ed25519.ts';
import { SECURITY_KEY_SIGNATURE_BYTES } from './operator-signature.ts';
import { isSecurityKey, keyOfBlob, keyTypeOf, publicBlob, sha256Fingerprint } from './ssh-key.ts';
import { SshReader, sshString, sshU32 } from './ssh-wire.ts';

// The client's half of the ssh-agent protocol (draft-miller-ssh-agent), as far as an operator needs it: which keys are
// there, and a signature by one of them.

/** Largest answer that is taken, as in OpenSSH (MAX_AGENT_REPLY_LEN in authfd.c). */
const AGENT_REPLY_BYTES_MAX = 256 * 1024;
/** OpenSSH takes 2048 (MAX_AGENT_IDENTITIES). Nobody has as many. */
const IDENTITIES_MAX = 2048;
const TYPE_BYTES_MAX = 64;
/** The length in front of every message. */
const LENGTH_BYTES = 4;

/** Flags and counter of a security key. */
const DEVICE_BYTES = SECURITY_KEY_SIGNATURE_BYTES - ED25519_SIGNATURE_BYTES;

const FAILURE = 5;
const REQUEST_IDENTITIES = 11;
const IDENTITIES_ANSWER = 12;
const SIGN_REQUEST = 13;
const SIGN_RESPONSE = 14;
/** Numbers with which other programs (ssh.com's, and answers to extensions) say no. */
const OTHER_FAILURES = [28, 102];

/** A key that an agent holds. */
export interface AgentIdentity {
  /** The type in the key itself, such as `ssh-ed25519` or `ssh-rsa`; '' when it is no text. */
  readonly type: string;
  /** A sound Ed25519 key, which may be in a security key; undefined for every other. */
  readonly publicKey: Uint8Array | undefined;
  /** As `ssh-add -l` prints it. */
  readonly fingerprint: string;
  /** What the agent says about it; '' when it is no text. Not to be trusted. */
  readonly comment: string;
}

/** Asks which keys there are. */
export function identitiesRequest(): Uint8Array {
  return sshString(Uint8Array.of(REQUEST_IDENTITIES));
}

/** Asks for a signature over `message` by a key. */
export function signatureRequest(publicKey: Uint8Array, message: Uint8Array): Uint8Array {
  const fields = [sshString(publicBlob(publicKey)), sshString(message), sshU32(0)];
  return sshString(concatBytes(Uint8Array.of(SIGN_REQUEST), ...fields));
}

/** Puts the one answer to a request together from what arrives. */
export class AgentReplyReader {
  private readonly chunks: Uint8Array[] = [];
  private received = 0;
  /** Of the answer and the four bytes in front of it, once those are there. */
  private expected = Number.POSITIVE_INFINITY;

  /**
   * The answer without its length when it is whole, else undefined. Throws DecodeError for a length that no answer has,
   * before anything more is kept, and for bytes behind the answer.
   */
  push(chunk: Uint8Array): Uint8Array | undefined {
    this.chunks.push(chunk);
    this.received += chunk.length;
    if (this.expected === Number.POSITIVE_INFINITY) {
      if (this.received < LENGTH_BYTES) return undefined;
      const length = readU32(concatBytes(...this.chunks), 0);
      if (length < 1 || length > AGENT_REPLY_BYTES_MAX) {
        throw new DecodeError('agent', `it announces an answer of ${length} bytes`);
      }
      this.expected = LENGTH_BYTES + length;
    }
    if (this.received < this.expected) return undefined;
    if (this.received > this.expected) throw new DecodeError('agent', 'it sends more than the answer');
    return concatBytes(...this.chunks).subarray(LENGTH_BYTES);
  }
}

/** The keys in an answer. Throws DecodeError; undefined when the agent refuses to say. */
export function decodeIdentities(reply: Uint8Array): readonly AgentIdentity[] | undefined {
  const reader = answerOf(reply, IDENTITIES_ANSWER);
  if (reader === undefined) return undefined;
  const count = reader.u32();
  if (count > IDENTITIES_MAX) throw new DecodeError('agent', `it announces ${count} keys`);
  const identities: AgentIdentity[] = [];
  for (let i = 0; i < count; i++) identities.push(identityOf(reader.string(), reader.string()));
  needEnd(reader);
  return identities;
}

/**
 * The signature of a key in an answer: 64 bytes, 69 of a security key. Throws DecodeError; undefined when the agent refuses to
 * sign.
 */
export function decodeSignature(reply: Uint8Array, publicKey: Uint8Array): Uint8Array | undefined {
  const reader = answerOf(reply, SIGN_RESPONSE);
  if (reader === undefined) return undefined;
  const blob = new SshReader(reader.string());
  needEnd(reader);
  const type = keyTypeOf(publicKey);
  if (!equalBytes(blob.string(), utf8(type))) {
    throw new DecodeError('agent', `its signature is of another type than ${type}`);
  }
  const signature = blob.string();
  const ofDevice = isSecurityKey(publicKey) ? blob.take(DEVICE_BYTES) : EMPTY;
  needEnd(blob);
  if (signature.length !== ED25519_SIGNATURE_BYTES) {
    throw new DecodeError('agent', `its signature has ${signature.length} bytes, it must have 64`);
  }
  return concatBytes(signature, ofDevice);
}

function answerOf(reply: Uint8Array, wanted: number): SshReader | undefined {
  const reader = new SshReader(reply);
  const kind = reader.take(1)[0] ?? 0;
  if (kind === FAILURE || OTHER_FAILURES.includes(kind)) return undefined;
  if (kind !== wanted) throw new DecodeError('agent', `it answers with message ${kind}, not ${wanted}`);
  return reader;
}

function needEnd(reader: SshReader): void {
  const { length } = reader.rest();
  if (length !== 0) throw new DecodeError('agent', `${length} bytes too many in its answer`);
}

function identityOf(blob: Uint8Array, comment: Uint8Array): AgentIdentity {
  return {
    type: typeOf(blob),
    publicKey: soundKey(blob),
    fingerprint: sha256Fingerprint(blob),
    comment: utf8Text(comment) ?? '',
  };
}

/** A key in an agent that is of another type, or damaged, is not for us, but no reason to refuse the others. */
function soundKey(blob: Uint8Array): Uint8Array | undefined {
  try {
    return keyOfBlob(blob);
  } catch (error) {
    if (error instanceof FanoutError) return undefined;
    throw error;
  }
}

function typeOf(blob: Uint8Array): string {
  try {
    const type = new SshReader(blob).string();
    return type.length > TYPE_BYTES_MAX ? '' : (utf8Text(type) ?? '');
  } catch (error) {
    if (error instanceof DecodeError) return '';
    throw error;
  }
}
