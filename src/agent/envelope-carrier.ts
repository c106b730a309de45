import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import { ENVELOPE_BYTES_MAX } from '../identity/envelope.ts';
import { concatBytes, equalBytes, toHex } from '../lib/bytes.ts';
import { DecodeError } from '../lib/errors.ts';
import { decodeValue, encodeGossip, Fields } from '../lib/msgpack.ts';

/**
 * An envelope that is too big for a query travels as its hash; whoever is asked fetches the body from the asker. Its name
 * stands here because a real Serf agent does not tell the programs beside it whose a query is.
 */
export interface EnvelopeReference {
  readonly hash: Uint8Array;
  readonly size: number;
  /** The member that has it. */
  readonly from: string;
}

/** A msgpack map of three entries, where an envelope is an array: the first byte tells them apart. */
const REFERENCE_FIRST_BYTE = 0x83;
/** For a whole fetch, on both sides: a peer that sends or reads a byte now and then is as late as a silent one. */
const FETCH_TIMEOUT_MS = 10_000;
/** Fetches that are served at a time. A thousand nodes fetch at once when a long command goes to all of them. */
const SERVING_MAX = 1024;

export function referenceTo(envelope: Uint8Array, from: string): Uint8Array {
  return encodeGossip({ from, hash: hashOf(envelope), size: envelope.length });
}

/** The reference in a query's payload, or undefined when the payload is the envelope itself. Throws DecodeError. */
export function referenceIn(payload: Uint8Array): EnvelopeReference | undefined {
  if (payload[0] !== REFERENCE_FIRST_BYTE) return undefined;
  const fields = Fields.of(decodeValue(payload).value);
  const hash = fields.bytes('hash');
  const size = fields.u32('size');
  if (hash.length !== 32 || size > ENVELOPE_BYTES_MAX) throw new DecodeError('envelope-reference');
  return { hash, size, from: fields.text('from') };
}

/** The envelopes that this agent's askers have under way and that others may fetch. */
export class EnvelopeShelf {
  private readonly envelopes = new Map<string, Uint8Array>();
  private serving = 0;

  put(envelope: Uint8Array): () => void {
    const key = toHex(hashOf(envelope));
    this.envelopes.set(key, envelope);
    return () => this.envelopes.delete(key);
  }

  /** Answers a fetch: the bytes, or nothing. */
  serve(hash: Uint8Array, socket: Socket): void {
    const envelope = this.envelopes.get(toHex(hash));
    if (envelope === undefined || this.serving >= SERVING_MAX) return void socket.destroy();
    this.serving++;
    const timer = setTimeout(() => socket.destroy(), FETCH_TIMEOUT_MS);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => {
      clearTimeout(timer);
      this.serving--;
    });
    socket.resume();
    socket.end(envelope);
  }
}

/** Reads an envelope from a stream to its asker. Rejects with a DecodeError when it is not the one that was announced. */
export function readEnvelope(socket: Socket, reference: EnvelopeReference): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    let length = 0;
    const fail = (reason: string): void => {
      socket.destroy();
      reject(new DecodeError(reason));
    };
    const timer = setTimeout(() => fail('envelope-fetch-timeout'), FETCH_TIMEOUT_MS);
    socket.once('close', () => {
      clearTimeout(timer);
      fail('envelope-fetch-failed');
    });
    socket.on('error', () => fail('envelope-fetch-failed'));
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      length += chunk.length;
      if (length > reference.size) fail('envelope-fetch-oversize');
    });
    socket.on('end', () => {
      const envelope = concatBytes(...chunks);
      if (!equalBytes(hashOf(envelope), reference.hash)) return fail('envelope-fetch-other');
      resolve(envelope);
      socket.end();
    });
  });
}

function hashOf(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest();
}
