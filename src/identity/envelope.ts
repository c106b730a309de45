import { equalBytes, toHex, utf8, utf8Text } from '../lib/bytes.ts';
import { DecodeError, FanoutError } from '../lib/errors.ts';
import { type Encodable, encodeRpc } from '../lib/msgpack.ts';
import { BOX_KEY_BYTES, isWeakBoxKey } from './box.ts';
import { ED25519_SIGNATURE_BYTES } from './ed25519.ts';
import { SECURITY_KEY_SIGNATURE_BYTES, verifyOperatorSignature } from './operator-signature.ts';
import { KEY_ID_BYTES, keyId } from './ssh-key.ts';
import { NAMESPACES, sshsigPreimage } from './sshsig.ts';
import { decodeWhole, TupleReader, textOf } from './tuple.ts';

/** The version of the command body. A node refuses every other one. */
const BODY_VERSION = 3;
/**
 * Largest envelope that is decoded. Holds the longest argv and a long list of nodes; all of it is hashed per
 * check.
 */
export const ENVELOPE_BYTES_MAX = 65_536;
/** Request id and nonce: 128 random bits never meet by chance. */
const REQUEST_ID_BYTES = 16;
const ARGV_ITEMS_MAX = 64;
const ARGUMENT_BYTES_MAX = 4096;
const ARGV_BYTES_MAX = 32 * 1024;
/** Longest cluster id or environment. */
const NAME_BYTES_MAX = 256;
/** Longest selector: a thousand names, one by one. */
const SELECTOR_BYTES_MAX = 32 * 1024;
/** One day. A policy sets a far lower one. */
const TTL_SECONDS_MAX = 86_400;
const TIMEOUT_MS_MAX = 86_400_000;
const U32_MAX = 0xffff_ffff;

/** What an operator signs: a msgpack array in exactly this order. */
export interface CommandBody {
  readonly version: 3;
  readonly cluster: string;
  readonly environment: string;
  /** `keyId` of the operator's public key: 8 bytes. */
  readonly keyId: Uint8Array;
  readonly issuedAt: number;
  readonly ttlSeconds: number;
  /** Request id and nonce: 16 random bytes. */
  readonly id: Uint8Array;
  /**
   * Whom the command is for, as canonical text of the selector language; '' means everybody. Each node reads it and
   * evaluates it against its own configured tags.
   */
  readonly selector: string;
  /** 1..64 arguments of at most 4096 bytes each and 32 KiB together. */
  readonly argv: readonly string[];
  /** X25519 public key made for this one request: 32 bytes. Answers are sealed to it. */
  readonly replyKey: Uint8Array;
  /** Where answers go: 4 or 16 address bytes of the asker's agent. */
  readonly replyHost: Uint8Array;
  readonly replyPort: number;
  readonly timeoutMs: number;
  /** Decide and say so, but do not run. */
  readonly explainOnly: boolean;
  /**
   * With `explainOnly`: decide as if the operator with this key id asked and the signer approved. Empty: the signer asks.
   */
  readonly explainAs: Uint8Array;
}

/** A further person's signature over the same body. It counts for nothing before `verifyApproval` says so. */
export interface Approval {
  readonly keyId: Uint8Array;
  readonly signature: Uint8Array;
}

/** A decoded envelope. Nothing in it is true before `verifyEnvelope` says so. */
export interface SignedEnvelope {
  readonly body: CommandBody;
  /** The exact bytes that were signed. */
  readonly bodyBytes: Uint8Array;
  readonly signature: Uint8Array;
  /** At most 8, each by another key, none by the operator's own. */
  readonly approvals: readonly Approval[];
}

/** Bytes of a signature, by what kind of key made it: one in a file or an agent, or a security key. */
const SIGNATURE_BYTES = [ED25519_SIGNATURE_BYTES, SECURITY_KEY_SIGNATURE_BYTES] as const;
const APPROVALS_MAX = 8;

/** Gives the signature over an SSHSIG preimage: at once, or later, when somebody else has to be asked. */
type Signer = (preimage: Uint8Array) => Uint8Array | Promise<Uint8Array>;

/**
 * Envelope bytes: msgpack [body bytes, [[key id, kind, signature], ...]], the operator's signature first and
 * approvals behind it. `sign` gets the SSHSIG preimage. Throws FanoutError COMMAND_REFUSED when a node would refuse the body for its form, before
 * anything is signed.
 */
export function signCommand(body: CommandBody, sign: (preimage: Uint8Array) => Uint8Array): Uint8Array;
export function signCommand(body: CommandBody, sign: Signer): Uint8Array | Promise<Uint8Array>;
export function signCommand(body: CommandBody, sign: Signer): Uint8Array | Promise<Uint8Array> {
  // An encoder may replace half a character, and then something else than was shown would be signed.
  for (const text of [body.cluster, body.environment, ...body.argv, body.selector]) {
    if (utf8Text(utf8(text)) === text) continue;
    throw new FanoutError('COMMAND_REFUSED', 'the command has half a character (a lone surrogate)', {
      hint: 'Remove it: no node could read it. Nothing was sent.',
    });
  }
  const bodyBytes = encodeBody(body);
  try {
    decodeBody(bodyBytes);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new FanoutError('COMMAND_REFUSED', `the command cannot be sent: ${error.message}`, {
      hint: 'Shorten or correct what is named here. Nothing was sent.',
      cause: error,
    });
  }
  const signature = sign(sshsigPreimage(NAMESPACES.command, bodyBytes));
  const seal = (given: Uint8Array): Uint8Array =>
    packed({ bodyBytes, body, signature: given, approvals: [] });
  return signature instanceof Uint8Array ? seal(signature) : signature.then(seal);
}

/**
 * The envelope with one more approval, over exactly the bytes that its operator signed. Throws FanoutError USAGE when this
 * key has signed already or there are eight.
 */
export function addApproval(
  envelope: SignedEnvelope,
  approver: Uint8Array,
  sign: (preimage: Uint8Array) => Uint8Array,
): Uint8Array;
export function addApproval(
  envelope: SignedEnvelope,
  approver: Uint8Array,
  sign: Signer,
): Uint8Array | Promise<Uint8Array>;
export function addApproval(
  envelope: SignedEnvelope,
  approver: Uint8Array,
  sign: Signer,
): Uint8Array | Promise<Uint8Array> {
  const { body, bodyBytes, approvals } = envelope;
  if (equalBytes(approver, body.keyId)) {
    throw new FanoutError('USAGE', 'this is your own request, and nobody approves their own', {
      hint: 'Hand it to somebody whom the policy names.',
    });
  }
  if (approvals.some((approval) => equalBytes(approval.keyId, approver))) {
    throw new FanoutError('USAGE', 'you have approved this already');
  }
  if (approvals.length >= APPROVALS_MAX) {
    throw new FanoutError('USAGE', `it has ${APPROVALS_MAX} approvals already, and takes no more`);
  }
  const signature = sign(sshsigPreimage(NAMESPACES.approval, bodyBytes));
  const seal = (given: Uint8Array): Uint8Array =>
    packed({ ...envelope, approvals: [...approvals, { keyId: approver, signature: given }] });
  return signature instanceof Uint8Array ? seal(signature) : signature.then(seal);
}

/** The envelope with the approvals of both. Undefined when they are not about the same bytes. */
export function mergeApprovals(one: SignedEnvelope, other: SignedEnvelope): Uint8Array | undefined {
  if (!equalBytes(one.bodyBytes, other.bodyBytes)) return undefined;
  const more = other.approvals.filter(
    ({ keyId: id }) => !one.approvals.some((approval) => equalBytes(approval.keyId, id)),
  );
  return packed({ ...one, approvals: [...one.approvals, ...more].slice(0, APPROVALS_MAX) });
}

function packed({ body, bodyBytes, signature, approvals }: SignedEnvelope): Uint8Array {
  const entries = [{ keyId: body.keyId, signature }, ...approvals];
  const envelope = encodeRpc(envelopeTuple(bodyBytes, entries));
  if (envelope.length > ENVELOPE_BYTES_MAX) {
    throw new FanoutError(
      'COMMAND_REFUSED',
      `the signed command has ${envelope.length} bytes, at most ${ENVELOPE_BYTES_MAX}`,
      { hint: 'Name fewer nodes, or select them by a tag. Nothing was sent.' },
    );
  }
  return envelope;
}

/**
 * Reads an envelope strictly: exact types, exact lengths, one encoding only, nothing behind it. Throws
 * DecodeError. The signature is not checked here.
 */
export function decodeEnvelope(bytes: Uint8Array): SignedEnvelope {
  if (bytes.length > ENVELOPE_BYTES_MAX) {
    throw new DecodeError('size', `${bytes.length} bytes, at most ${ENVELOPE_BYTES_MAX}`);
  }
  const outer = TupleReader.of(decodeWhole(bytes), 'envelope', 2);
  const bodyBytes = Uint8Array.from(outer.bytesOfAnyLength('body'));
  const entries = outer.list('signatures', 1, 1 + APPROVALS_MAX).map((item) => {
    const entry = TupleReader.of(item, 'signature entry', 3);
    const id = entry.bytes('key id', KEY_ID_BYTES);
    const kind = entry.integer('kind', 0, SIGNATURE_BYTES.length - 1);
    return { keyId: id, signature: entry.bytes('signature', SIGNATURE_BYTES[kind] ?? 0) };
  });
  const body = decodeBody(bodyBytes);
  const [signer, ...approvals] = entries;
  if (signer === undefined || !equalBytes(signer.keyId, body.keyId)) {
    throw new DecodeError('field', 'key id: the body names another key than the signature');
  }
  if (new Set(entries.map((entry) => toHex(entry.keyId))).size !== entries.length) {
    throw new DecodeError('approvals', 'one key has signed twice');
  }
  requireCanonical(bytes, envelopeTuple(bodyBytes, entries));
  return { body, bodyBytes, signature: signer.signature, approvals };
}

/**
 * Whether the operator with this public key signed exactly these body bytes. False, never an error,
 * otherwise.
 */
export function verifyEnvelope(envelope: SignedEnvelope, publicKey: Uint8Array): boolean {
  if (!equalBytes(keyId(publicKey), envelope.body.keyId)) return false;
  const preimage = sshsigPreimage(NAMESPACES.command, envelope.bodyBytes);
  return verifyOperatorSignature(publicKey, preimage, envelope.signature);
}

/** Whether the person with this public key approved exactly these body bytes. False, never an error, otherwise. */
export function verifyApproval(envelope: SignedEnvelope, approval: Approval, publicKey: Uint8Array): boolean {
  if (!equalBytes(keyId(publicKey), approval.keyId)) return false;
  const preimage = sshsigPreimage(NAMESPACES.approval, envelope.bodyBytes);
  return verifyOperatorSignature(publicKey, preimage, approval.signature);
}

function envelopeTuple(bodyBytes: Uint8Array, entries: readonly Approval[]): Encodable {
  const kindOf = ({ signature }: Approval): number =>
    SIGNATURE_BYTES.indexOf(signature.length as (typeof SIGNATURE_BYTES)[number]);
  return [bodyBytes, entries.map((entry) => [entry.keyId, kindOf(entry), entry.signature])];
}

function bodyTuple(body: CommandBody): Encodable {
  return [
    body.version,
    body.cluster,
    body.environment,
    body.keyId,
    body.issuedAt,
    body.ttlSeconds,
    body.id,
    body.selector,
    body.argv,
    body.replyKey,
    body.replyHost,
    body.replyPort,
    body.timeoutMs,
    body.explainOnly,
    body.explainAs,
  ];
}

function encodeBody(body: CommandBody): Uint8Array {
  return encodeRpc(bodyTuple(body));
}

function decodeBody(bytes: Uint8Array): CommandBody {
  const tuple = TupleReader.of(decodeWhole(bytes), 'body', 15);
  if (tuple.integer('version', 0, U32_MAX) !== BODY_VERSION) {
    throw new DecodeError('version', `the body is not of version ${BODY_VERSION}`);
  }
  const body: CommandBody = {
    version: BODY_VERSION,
    cluster: tuple.text('cluster', 0, NAME_BYTES_MAX),
    environment: tuple.text('environment', 1, NAME_BYTES_MAX),
    keyId: tuple.bytes('key id', KEY_ID_BYTES),
    issuedAt: tuple.integer('issued at', 0, U32_MAX),
    ttlSeconds: tuple.integer('time to live', 1, TTL_SECONDS_MAX),
    id: tuple.bytes('id', REQUEST_ID_BYTES),
    selector: tuple.text('selector', 0, SELECTOR_BYTES_MAX),
    argv: decodeArgv(tuple),
    replyKey: decodeReplyKey(tuple.bytes('reply key', BOX_KEY_BYTES)),
    replyHost: decodeHost(tuple.bytesOfAnyLength('reply host')),
    replyPort: tuple.integer('reply port', 1, 65_535),
    timeoutMs: tuple.integer('timeout', 1, TIMEOUT_MS_MAX),
    explainOnly: tuple.bool('explain only'),
    explainAs: Uint8Array.from(tuple.bytesOfAnyLength('explain as')),
  };
  const { length } = body.explainAs;
  if (length !== 0 && (length !== KEY_ID_BYTES || !body.explainOnly)) {
    throw new DecodeError('field', 'explain as: must be empty, or a key id in a question');
  }
  requireCanonical(bytes, bodyTuple(body));
  return body;
}

function decodeArgv(tuple: TupleReader): string[] {
  let total = 0;
  return tuple.list('argv', 1, ARGV_ITEMS_MAX).map((item, index) => {
    const name = `argument ${index}`;
    const text = textOf(item, name, index === 0 ? 1 : 0, ARGUMENT_BYTES_MAX);
    total += (item as Uint8Array).length;
    if (total > ARGV_BYTES_MAX) {
      throw new DecodeError('field', `argv: more than ${ARGV_BYTES_MAX} bytes together`);
    }
    return text;
  });
}

function decodeReplyKey(key: Uint8Array): Uint8Array {
  if (isWeakBoxKey(key)) {
    throw new DecodeError('field', 'reply key: everybody could open what is sealed to it');
  }
  return key;
}

function decodeHost(bytes: Uint8Array): Uint8Array {
  if (bytes.length !== 4 && bytes.length !== 16) {
    throw new DecodeError('field', `reply host: must be 4 or 16 bytes, has ${bytes.length}`);
  }
  return Uint8Array.from(bytes);
}

/**
 * One value, one encoding: what re-encodes to other bytes (a longer integer form, text written as bytes) is
 * refused, so that two envelopes that differ never mean the same.
 */
function requireCanonical(bytes: Uint8Array, value: Encodable): void {
  if (!equalBytes(bytes, encodeRpc(value)))
    throw new DecodeError('encoding', 'not in canonical msgpack form');
}
