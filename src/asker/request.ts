import { mkdirSync, readdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import {
  decodeEnvelope,
  ENVELOPE_BYTES_MAX,
  type SignedEnvelope,
  verifyApproval,
  verifyEnvelope,
} from '../identity/envelope.ts';
import { readSecretFileIfAny, writeSecretFile } from '../identity/secret-file.ts';
import { formatPublicLine, type PublicLine, parsePublicLine } from '../identity/ssh-key.ts';
import { fromHex, toHex, utf8, utf8Text } from '../lib/bytes.ts';
import { DecodeError, FanoutError } from '../lib/errors.ts';
import type { PreparedRequest } from './launch.ts';
import { statePath } from './paths.ts';

const BEGIN = '-----BEGIN FANOUT REQUEST-----';
const END = '-----END FANOUT REQUEST-----';
const KEY_HEAD = 'Key: ';
const KEYS_MAX = 9;
const LINE_LENGTH = 64;
/** Longest text that is looked through for a request: an envelope in base64, and a chat around it. */
const TEXT_BYTES_MAX = 4 * ENVELOPE_BYTES_MAX;
/** Kept secrets of requests that have run out go when another one is made. */
const KEPT_MAX = 1000;

const keptSchema = v.strictObject({
  id: v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/)),
  replySecret: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  validUntilUnixMs: v.pipe(v.number(), v.integer(), v.minValue(0)),
});

/** A request as others hand it on. */
export interface Request {
  readonly envelope: SignedEnvelope;
  readonly bytes: Uint8Array;
  /** Who made it: the key under which its signature holds, and the name in the key's comment, which proves nothing. */
  readonly operator: PublicLine;
  /** Of the approvals those whose signatures were checked. */
  readonly approvers: readonly PublicLine[];
}

/**
 * A request as text that mail and chat leave alone: the envelope, and the public keys that its signatures can be checked
 * with. Nothing in it is secret.
 */
export function requestText(envelope: Uint8Array, keys: readonly PublicLine[]): string {
  const lines =
    Buffer.from(envelope)
      .toString('base64')
      .match(new RegExp(`.{1,${LINE_LENGTH}}`, 'g')) ?? [];
  const heads = keys.map(({ key, comment }) => `${KEY_HEAD}${formatPublicLine(key, comment)}`);
  return [BEGIN, ...heads, '', ...lines, END, ''].join('\n');
}

/**
 * The request in a text, whatever stands around it. Throws FanoutError USAGE when there is none, several, or one that is
 * damaged.
 */
export function readRequest(text: string, where: string): Request {
  const problem = (message: string): FanoutError =>
    new FanoutError('USAGE', `${where}: ${message}`, {
      hint: `Hand over all of it, from ${BEGIN} to ${END}.`,
    });
  if (text.length > TEXT_BYTES_MAX) throw problem('this is too long to be a request');
  const parts = text.split(BEGIN);
  if (parts.length !== 2)
    throw problem(parts.length < 2 ? 'there is no request in it' : 'there are several requests in it');
  const [inside, after] = (parts[1] ?? '').split(END);
  if (inside === undefined || after === undefined) throw problem('the request has no end');
  // Chats indent and quote.
  const lines = inside.split(/\r?\n/).map((line) => line.replace(/^[\s>|]+/, '').trimEnd());
  const heads = lines.filter((line) => line.startsWith(KEY_HEAD));
  const base64 = lines.filter((line) => !line.startsWith(KEY_HEAD)).join('');
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) throw problem('the request is damaged');
  const bytes = new Uint8Array(Buffer.from(base64, 'base64'));
  try {
    const keys = heads.slice(0, KEYS_MAX).map((head) => parsePublicLine(head.slice(KEY_HEAD.length)));
    return checked(bytes, keys);
  } catch (error) {
    if (!(error instanceof DecodeError) && !(error instanceof FanoutError)) throw error;
    throw problem(`the request is damaged (${error.message.split('\n')[0]})`);
  }
}

/** Throws DecodeError when the operator's own signature does not hold, or cannot be checked. */
function checked(bytes: Uint8Array, keys: readonly PublicLine[]): Request {
  const envelope = decodeEnvelope(bytes);
  const operator = keys.find(({ key }) => verifyEnvelope(envelope, key));
  if (operator === undefined) throw new DecodeError('signature', 'its signature does not hold');
  const approvers = envelope.approvals.flatMap(
    (approval) => keys.find(({ key }) => verifyApproval(envelope, approval, key)) ?? [],
  );
  return { envelope, bytes, operator, approvers };
}

/** When a request can no longer be run, by its own account. */
export function expiryOf({ envelope: { body } }: Request): number {
  return (body.issuedAt + body.ttlSeconds) * 1000;
}

/** Keeps what opens the answers of a request, until it is run. It never leaves this machine. */
export function keepRequest(
  id: Uint8Array,
  { replySecret }: PreparedRequest,
  validUntilUnixMs: number,
): void {
  const folder = requestsFolder();
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  dropExpired(folder);
  const kept = { id: toHex(id), replySecret: toHex(replySecret), validUntilUnixMs };
  writeSecretFile(join(folder, `${kept.id}.json`), utf8(JSON.stringify(kept)), { overwrite: false });
}

/**
 * What opens the answers of a request that was made here. Throws FanoutError USAGE when it was made elsewhere or has been run.
 */
export function keptSecret(id: Uint8Array): Uint8Array {
  const path = join(requestsFolder(), `${toHex(id)}.json`);
  const bytes = readSecretFileIfAny(path);
  if (bytes === undefined) {
    throw new FanoutError('USAGE', 'this request was not made here, or it has been run', {
      hint: 'Only whoever made it can run it, once, on the machine where it was made. Make another one: fanout request',
    });
  }
  const kept = v.safeParse(keptSchema, parsed(bytes));
  const secret = kept.success ? fromHex(kept.output.replySecret) : undefined;
  if (secret === undefined) {
    throw new FanoutError('USAGE', `${path} is damaged`, { hint: 'Make the request anew: fanout request' });
  }
  return secret;
}

/** A request is good for one run. */
export function forgetRequest(id: Uint8Array): void {
  unlinkSync(join(requestsFolder(), `${toHex(id)}.json`));
}

function requestsFolder(): string {
  return statePath('requests');
}

function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(utf8Text(bytes) ?? '');
  } catch {
    return undefined;
  }
}

function dropExpired(folder: string): void {
  for (const name of readdirSync(folder).slice(0, KEPT_MAX)) {
    const path = join(folder, name);
    const kept = v.safeParse(keptSchema, parsed(readSecretFileIfAny(path) ?? new Uint8Array(0)));
    if (kept.success && kept.output.validUntilUnixMs < Date.now()) unlinkSync(path);
  }
}
