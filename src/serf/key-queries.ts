import { createHash } from 'node:crypto';
import { toHex, utf8 } from '../lib/bytes.ts';
import { DecodeError, FanoutError } from '../lib/errors.ts';
import type { Keyring } from '../memberlist/keyring.ts';
import { decodeSerfMessage, encodeKeyRequest, encodeKeyResponse, type KeyResponse } from './messages.ts';

export const KEY_OPERATIONS = ['install', 'use', 'remove', 'list'] as const;
export type KeyOperation = (typeof KEY_OPERATIONS)[number];

/** Keys on a ring. A rotation needs two; every packet that nobody can read is tried with all of them. */
const KEYS_MAX = 64;

/** What a member asks for, before it is done. */
export interface KeyChange {
  readonly operation: Exclude<KeyOperation, 'list'>;
  readonly key: Uint8Array;
  /** A signed envelope that asks for it too; null in what Serf itself sends. */
  readonly approval: Uint8Array | null;
  /** The address that handed it to us, '' for a change that we ask for ourselves. */
  readonly from: string;
}

/** Who decides about key changes, and who keeps the ring. */
export interface KeyGuard {
  /** Why the change is refused; undefined when it may be made. */
  permit(change: KeyChange): string | undefined;
  /** The ring is another now. Returns what went wrong when it could not be kept. */
  changed(keyring: Keyring): string | undefined;
}

/** Lets everybody in the cluster change keys, as Serf does, and keeps nothing. */
export const OPEN_KEYS: KeyGuard = { permit: () => undefined, changed: () => undefined };

/** The name of Serf's internal query for an operation. */
export function keyQueryName(operation: KeyOperation): string {
  return operation === 'list' ? '_serf_list-keys' : `_serf_${operation}-key`;
}

/** The operation that an internal query is for; undefined for another query. */
export function keyOperationOf(queryName: string): KeyOperation | undefined {
  return KEY_OPERATIONS.find((operation) => keyQueryName(operation) === queryName);
}

/** The payload of a key query. `key` is empty for a list. */
export function keyQueryPayload(key: Uint8Array, approval: Uint8Array | null): Uint8Array {
  return encodeKeyRequest({ key, approval });
}

/** How a key is named where it must not be shown: SHA-256 in hexadecimal. Keys are random, so nobody can guess back. */
function keyFingerprint(key: Uint8Array): string {
  return toHex(createHash('sha256').update(utf8('fanout cluster key\0')).update(key).digest());
}

/** What an operator signs to change keys: the name of a program that there is none of, the operation, the fingerprint. */
export function keyChangeArgv(operation: KeyChange['operation'], key: Uint8Array): readonly string[] {
  return ['fanout-keys', operation, keyFingerprint(key)];
}

interface KeyQuery {
  readonly operation: KeyOperation;
  readonly payload: Uint8Array | null;
  readonly from: string;
}

/**
 * Does what a key query asks for and gives the payload of the answer (Serf, internal_query.go). A list that does not fit
 * an answer loses keys from its end, and says so.
 */
export function answerKeyQuery(
  query: KeyQuery,
  keyring: Keyring | undefined,
  guard: KeyGuard,
  fits: (payload: Uint8Array) => boolean,
): Uint8Array {
  if (query.operation !== 'list') {
    const failure = changeKeys(query.operation, query, keyring, guard);
    return encodeKeyResponse({
      result: failure === undefined,
      message: failure ?? '',
      keys: [],
      primaryKey: '',
    });
  }
  if (keyring === undefined) {
    const message = 'Keyring is empty (encryption not enabled)';
    return encodeKeyResponse({ result: false, message, keys: [], primaryKey: '' });
  }
  return listResponse(keyring, fits);
}

/** Why nothing was changed, or undefined. */
function changeKeys(
  operation: KeyChange['operation'],
  { payload, from }: KeyQuery,
  keyring: Keyring | undefined,
  guard: KeyGuard,
): string | undefined {
  if (keyring === undefined) return 'No keyring to modify (encryption not enabled)';
  try {
    const request = decodeSerfMessage(payload ?? new Uint8Array());
    if (request.kind !== 'keyRequest') return 'the request is no key request';
    const { key, approval } = request;
    if (operation === 'install' && keyring.keys.length >= KEYS_MAX) {
      return `the keyring has ${KEYS_MAX} keys already: remove some first`;
    }
    const refusal = guard.permit({ operation, key, approval, from });
    if (refusal !== undefined) return refusal;
    keyring[operation](key);
    return guard.changed(keyring);
  } catch (error) {
    if (error instanceof DecodeError || error instanceof FanoutError) return error.message;
    throw error;
  }
}

function listResponse(keyring: Keyring, fits: (payload: Uint8Array) => boolean): Uint8Array {
  const keys = keyring.keys.map(base64);
  const primaryKey = base64(keyring.primary);
  for (let shown = keys.length; shown > 0; shown--) {
    const message =
      shown === keys.length
        ? ''
        : `truncated key list response, showing first ${shown} of ${keys.length} keys`;
    const payload = encodeKeyResponse({ result: true, message, keys: keys.slice(0, shown), primaryKey });
    if (fits(payload)) return payload;
  }
  const message = 'Failed to truncate response so that it fits into message';
  return encodeKeyResponse({ result: false, message, keys: [], primaryKey: '' });
}

function base64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}

/** What the members said to a key query (Serf, KeyResponse). */
export interface KeyOutcome {
  /** Members that were alive when it was asked. */
  readonly nodes: number;
  readonly responses: number;
  readonly errors: number;
  /** What members had to say, by name: why they failed, or that a list is not whole. */
  readonly messages: ReadonlyMap<string, string>;
  /** How many members have each key, in base64. */
  readonly keys: ReadonlyMap<string, number>;
  /** How many members seal with each key. Members before Serf 0.8.4 do not say. */
  readonly primaryKeys: ReadonlyMap<string, number>;
  /** Members that were alive and said nothing. */
  readonly silent: readonly string[];
}

/** Collects the answers to one key query. */
export class KeyTally {
  private readonly asked: ReadonlySet<string>;
  private readonly heard = new Set<string>();
  private readonly messages = new Map<string, string>();
  private readonly keys = new Map<string, number>();
  private readonly primaryKeys = new Map<string, number>();
  private errors = 0;

  constructor(members: Iterable<string>) {
    this.asked = new Set(members);
  }

  get isComplete(): boolean {
    return this.heard.size >= this.asked.size;
  }

  /** One answer. What cannot be read counts as a failure of its member. */
  add(from: string, payload: Uint8Array | null): void {
    // A member that came later has its say, but cannot stand in for one that was asked.
    if (!this.asked.has(from) || this.heard.has(from)) return;
    this.heard.add(from);
    const response = readResponse(payload);
    if (!response.result) this.errors++;
    if (!response.result || response.message !== '') this.messages.set(from, response.message);
    for (const key of new Set(response.keys)) this.keys.set(key, (this.keys.get(key) ?? 0) + 1);
    const { primaryKey } = response;
    if (primaryKey !== '') this.primaryKeys.set(primaryKey, (this.primaryKeys.get(primaryKey) ?? 0) + 1);
  }

  outcome(): KeyOutcome {
    const { asked, heard, errors, messages, keys, primaryKeys } = this;
    const silent = [...asked].filter((name) => !heard.has(name)).sort();
    return { nodes: asked.size, responses: heard.size, errors, messages, keys, primaryKeys, silent };
  }
}

/** Why an operation as a whole did not succeed, in Serf's words; '' when it did. */
export function keyFailure({ nodes, responses, errors }: KeyOutcome): string {
  if (errors > 0) return `${errors}/${nodes} nodes reported failure`;
  return responses === nodes ? '' : `${responses}/${nodes} nodes reported success`;
}

function readResponse(payload: Uint8Array | null): KeyResponse {
  const broken = (message: string): KeyResponse => ({ result: false, message, keys: [], primaryKey: '' });
  try {
    const message = decodeSerfMessage(payload ?? new Uint8Array());
    return message.kind === 'keyResponse' ? message : broken('Invalid key query response type');
  } catch (error) {
    if (error instanceof DecodeError) return broken(`Failed to decode key query response: ${error.message}`);
    throw error;
  }
}
