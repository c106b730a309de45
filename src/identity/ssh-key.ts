import { createHash } from 'node:crypto';
import { concatBytes, equalBytes, utf8, utf8Text } from '../lib/bytes.ts';
import { DecodeError, FanoutError } from '../lib/errors.ts';
import { ED25519_KEY_BYTES, ed25519PublicKey, isSmallOrder } from './ed25519.ts';
import { SshReader, sshString, sshU32 } from './ssh-wire.ts';

const KEY_TYPE = 'ssh-ed25519';
/** Of a key inside a FIDO device. */
const SECURITY_KEY_TYPE = 'sk-ssh-ed25519@openssh.com';
/** What such a key is for; ssh-keygen says "ssh:". */
const APPLICATION_BYTES_MAX = 256;
const MAKE_A_KEY = 'Make one with: fanout operator keygen';

/** Longest comment (for fanout: the operator's name) in bytes of UTF-8. It is shown in tables and logs. */
const COMMENT_BYTES_MAX = 256;

/**
 * Bytes of a key id inside an envelope. 64 bits tell apart the operators of one policy; the signature
 * decides.
 */
export const KEY_ID_BYTES = 8;

/**
 * An operator's public key, and the comment behind it (the operator's name; may be empty). The key is 32 bytes of Ed25519; of a
 * security key the application that it signs for comes behind them, since it is a part of what is trusted.
 */
export interface PublicLine {
  readonly key: Uint8Array;
  readonly comment: string;
}

/** What an unencrypted OpenSSH private key file holds. `seed` is the secret. */
export interface PrivateKey {
  readonly seed: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly comment: string;
}

/** Whether the secret of a public key is in a FIDO device, which signs in a form of its own. */
export function isSecurityKey(publicKey: Uint8Array): boolean {
  return publicKey.length > ED25519_KEY_BYTES;
}

/** The type of a public key, as the lines of .pub files begin. */
export function keyTypeOf(publicKey: Uint8Array): string {
  return isSecurityKey(publicKey) ? SECURITY_KEY_TYPE : KEY_TYPE;
}

/**
 * The public key as SSH's wire and fingerprints have it: string type, string key (RFC 8709), and of a security key string
 * application (OpenSSH's PROTOCOL.u2f).
 */
export function publicBlob(publicKey: Uint8Array): Uint8Array {
  const type = sshString(utf8(keyTypeOf(publicKey)));
  if (!isSecurityKey(publicKey)) return concatBytes(type, sshString(publicKey));
  const application = publicKey.subarray(ED25519_KEY_BYTES);
  return concatBytes(type, sshString(publicKey.subarray(0, ED25519_KEY_BYTES)), sshString(application));
}

/** The fingerprint as `ssh-keygen -l` prints it: `SHA256:` and unpadded base64. */
export function fingerprint(publicKey: Uint8Array): string {
  return sha256Fingerprint(publicBlob(publicKey));
}

/** `SHA256:` and the unpadded base64 of the SHA-256 of any bytes. */
export function sha256Fingerprint(bytes: Uint8Array): string {
  return `SHA256:${createHash('sha256').update(bytes).digest('base64').replace(/=+$/, '')}`;
}

/** The short name of a key in an envelope: the first 8 bytes of SHA-256 over the public key. */
export function keyId(publicKey: Uint8Array): Uint8Array {
  return Uint8Array.from(createHash('sha256').update(publicKey).digest().subarray(0, KEY_ID_BYTES));
}

/** The line of a .pub file, an authorized_keys file or a policy, without a line end. */
export function formatPublicLine(key: Uint8Array, comment: string): string {
  return `${keyTypeOf(key)} ${base64(publicBlob(key))}${comment === '' ? '' : ` ${checkComment(comment)}`}`;
}

/** Reads `ssh-ed25519 AAAA... name`, or a line of a security key. Throws FanoutError KEY_INVALID with what is wrong and what to do. */
export function parsePublicLine(line: string): PublicLine {
  const text = line.trim();
  const match = /^(\S+)[ \t]+(\S+)(?:[ \t]+(.*))?$/.exec(text);
  if (match === null || text.startsWith('-----BEGIN ')) throw notAPublicKey(text);
  const [, type = '', encoded = '', comment = ''] = match;
  if (type !== KEY_TYPE && type !== SECURITY_KEY_TYPE) throw wrongType(type);
  const blob = strictBase64(encoded);
  if (blob === undefined) throw invalid('the public key is not base64: it was cut or changed', COPY_AGAIN);
  const key = keyOfBlob(blob);
  if (keyTypeOf(key) !== type) {
    throw invalid(`the line says ${type}, and the key in it is of type ${keyTypeOf(key)}`, COPY_AGAIN);
  }
  return { key, comment: checkComment(comment) };
}

/**
 * An unencrypted OpenSSH private key file (PROTOCOL.key in OpenSSH's sources), so that ssh-keygen and ssh-add
 * read it. The same seed and comment always give the same text: the two check words, random in ssh-keygen,
 * come from the seed.
 */
export function formatPrivateKey(seed: Uint8Array, comment: string): string {
  const publicKey = ed25519PublicKey(seed);
  const check = createHash('sha256').update('fanout check words').update(seed).digest().subarray(0, 4);
  const secret = concatBytes(
    check,
    check,
    publicBlob(publicKey),
    sshString(concatBytes(seed, publicKey)),
    sshString(utf8(checkComment(comment))),
  );
  const padding = Uint8Array.from({ length: (BLOCK - (secret.length % BLOCK)) % BLOCK }, (_, i) => i + 1);
  const file = concatBytes(
    utf8(MAGIC),
    sshString(utf8('none')),
    sshString(utf8('none')),
    sshString(new Uint8Array(0)),
    sshU32(1),
    sshString(publicBlob(publicKey)),
    sshString(concatBytes(secret, padding)),
  );
  const lines = base64(file).match(/.{1,70}/g) ?? [];
  return [PEM_HEAD, ...lines, PEM_TAIL, ''].join('\n');
}

/**
 * Reads an unencrypted OpenSSH private key file. Throws FanoutError KEY_INVALID with what is wrong and what
 * to do.
 */
export function parsePrivateKey(text: string): PrivateKey {
  return undamaged(() => parseOpenSsh(pemBody(text.trim())));
}

/**
 * The public key of an OpenSSH private key file that only an agent can sign with: one that is protected by a passphrase, or
 * that names a security key; undefined for every other. It stands in the clear, and tells an agent which key is meant.
 * Throws as `parsePrivateKey` does.
 */
export function lockedPublicKey(text: string): Uint8Array | undefined {
  return undamaged(() => {
    const { isLocked, blob } = readHead(new SshReader(pemBody(text.trim())));
    const key = keyOfBlob(blob);
    return isLocked || isSecurityKey(key) ? key : undefined;
  });
}

function undamaged<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw invalid(
      `the private key file is damaged: ${error.message}`,
      'Restore it from a copy, or make a new key with: fanout operator keygen',
    );
  }
}

const MAGIC = 'openssh-key-v1\0';
const PEM_HEAD = '-----BEGIN OPENSSH PRIVATE KEY-----';
const PEM_TAIL = '-----END OPENSSH PRIVATE KEY-----';
/** The block size of cipher "none", to which the secret part is padded. */
const BLOCK = 8;
const COPY_AGAIN = 'Copy the whole line of the .pub file again.';

function pemBody(text: string): Uint8Array {
  const lines = text.split(/\r?\n/);
  const head = lines[0] ?? '';
  if (head !== PEM_HEAD) throw notAPrivateKey(head);
  if (lines.at(-1) !== PEM_TAIL) throw new DecodeError('pem', 'its last line is missing, so it was cut');
  const bytes = strictBase64(lines.slice(1, -1).join(''));
  if (bytes === undefined) throw new DecodeError('pem', 'it is not base64');
  return bytes;
}

/** What stands in front of the secret part, protected or not. */
function readHead(file: SshReader): { isLocked: boolean; blob: Uint8Array } {
  need(equalBytes(file.take(MAGIC.length), utf8(MAGIC)), 'it does not start with openssh-key-v1');
  const cipher = utf8Text(file.string());
  const kdf = utf8Text(file.string());
  const kdfOptions = file.string();
  const isLocked = cipher !== 'none' || kdf !== 'none';
  need(isLocked || kdfOptions.length === 0, 'it has options for a password that it does not use');
  need(file.u32() === 1, 'it holds more than one key');
  return { isLocked, blob: file.string() };
}

function parseOpenSsh(bytes: Uint8Array): PrivateKey {
  const file = new SshReader(bytes);
  const { isLocked, blob } = readHead(file);
  if (isLocked) throw encrypted();
  const secret = new SshReader(file.string());
  need(file.rest().length === 0, 'there are bytes behind the key');
  const outer = keyOfBlob(blob);
  need(equalBytes(secret.take(4), secret.take(4)), 'its two check words differ');
  need(utf8Text(secret.string()) === KEY_TYPE, 'the secret part has another type than the public part');
  const publicKey = secret.string();
  const pair = secret.string();
  const comment = utf8Text(secret.string());
  need(comment !== undefined, 'its comment is not UTF-8');
  const padding = secret.rest();
  need(padding.length < BLOCK && padding.every((byte, i) => byte === i + 1), 'its padding is wrong');
  need(pair.length === 2 * ED25519_KEY_BYTES, 'its secret has the wrong length');
  const seed = Uint8Array.from(pair.subarray(0, ED25519_KEY_BYTES));
  const derived = ed25519PublicKey(seed);
  const copies = [outer, publicKey, pair.subarray(ED25519_KEY_BYTES)];
  need(
    copies.every((copy) => equalBytes(copy, derived)),
    'its public and secret parts do not belong together',
  );
  return { seed, publicKey: derived, comment: checkComment(comment) };
}

/**
 * The public key inside a blob. Throws FanoutError KEY_INVALID for every other key type and every unsafe key.
 */
export function keyOfBlob(blob: Uint8Array): Uint8Array {
  let type: string | undefined;
  let key: Uint8Array;
  let application: Uint8Array | undefined;
  let left: number;
  try {
    const reader = new SshReader(blob);
    type = utf8Text(reader.string());
    if (type !== KEY_TYPE && type !== SECURITY_KEY_TYPE) throw wrongType(type ?? 'unknown');
    key = Uint8Array.from(reader.string());
    if (type === SECURITY_KEY_TYPE) application = reader.string();
    left = reader.rest().length;
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw invalid(`the public key is incomplete: it ${error.message}`, COPY_AGAIN);
  }
  if (key.length !== ED25519_KEY_BYTES || left !== 0) {
    throw invalid(
      `the public key has ${key.length} bytes and ${left} behind it, it must have 32 and none`,
      COPY_AGAIN,
    );
  }
  if (isSmallOrder(key)) {
    throw invalid(
      'the public key is a point of small order: anybody can make signatures for it',
      `Nobody made this key by accident. ${MAKE_A_KEY}`,
    );
  }
  return application === undefined ? key : concatBytes(key, checkApplication(application));
}

/** Some text: without any, the key would be taken for one that is in a file. */
function checkApplication(bytes: Uint8Array): Uint8Array {
  const text = utf8Text(bytes) ?? '';
  if (text !== '' && bytes.length <= APPLICATION_BYTES_MAX && !/\p{Cc}/u.test(text)) return bytes;
  throw invalid('the security key is for an application without a plain name', COPY_AGAIN);
}

function need(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new DecodeError('private-key', otherwise);
}

function checkComment(comment: string): string {
  if (/\p{Cc}/u.test(comment)) {
    throw invalid('the comment of the key has a control character or a line end', 'Give it one plain line.');
  }
  const length = utf8(comment).length;
  if (length > COMMENT_BYTES_MAX) {
    throw invalid(`the comment of the key has ${length} bytes, at most ${COMMENT_BYTES_MAX}`, 'Shorten it.');
  }
  return comment;
}

function invalid(message: string, hint: string): FanoutError {
  return new FanoutError('KEY_INVALID', message, { hint });
}

function wrongType(type: string): FanoutError {
  const shown = /^[a-z0-9@.-]{1,64}$/.test(type) ? type : 'another kind';
  return invalid(
    `the key is of type ${shown}; fanout takes ${KEY_TYPE} keys, and ${SECURITY_KEY_TYPE} of security keys`,
    `One kind of signature is less to get wrong. ${MAKE_A_KEY}`,
  );
}

function notAPublicKey(text: string): FanoutError {
  if (text.includes('PRIVATE KEY-----')) {
    return invalid(
      'this is a private key where a public key belongs',
      'Give the line of its .pub file, and treat the private key as seen by others if it was sent anywhere.',
    );
  }
  return invalid(
    'this is not a public key line',
    `It looks like: ${KEY_TYPE} AAAAC3NzaC1lZDI1NTE5AAAA... name`,
  );
}

function notAPrivateKey(head: string): FanoutError {
  if (/^(ssh-|ecdsa-|sk-)/.test(head)) {
    return invalid(
      'this is a public key where a private key belongs',
      'Give the file without .pub at the end.',
    );
  }
  if (/^-----BEGIN ENCRYPTED PRIVATE KEY-----$/.test(head)) return encrypted();
  const pem = /^-----BEGIN ((?:RSA |EC |DSA )?PRIVATE KEY)-----$/.exec(head);
  if (pem !== null) {
    return invalid(
      `the file is a PEM "${pem[1]}"; fanout takes ssh-ed25519 keys in OpenSSH's format`,
      MAKE_A_KEY,
    );
  }
  return invalid('this is not an OpenSSH private key file', MAKE_A_KEY);
}

function encrypted(): FanoutError {
  return invalid(
    'the private key is protected by a passphrase that only OpenSSH asks for',
    'Hand it to your ssh-agent with ssh-add, or make a key for fanout alone: fanout operator keygen --passphrase',
  );
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

/** Bytes of canonical base64. Buffer alone would skip whatever it does not know. */
function strictBase64(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? Uint8Array.from(bytes) : undefined;
}
