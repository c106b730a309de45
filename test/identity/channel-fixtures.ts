import fc from 'fast-check';
import { DIRECTIONS, FrameCipher } from '../../src/identity/frame-cipher.ts';
import { nodeKeyOfSeed } from '../../src/identity/node-key.ts';
import { AskerChannel, NodeChannel, type NodeChannelOptions } from '../../src/identity/sealed.ts';
import { FrameKind } from '../../src/identity/sealed-frames.ts';
import { utf8 } from '../../src/lib/bytes.ts';
import { DecodeError } from '../../src/lib/errors.ts';
import { replyKeys, seedOf } from './fixtures.ts';

export const nodeKey = nodeKeyOfSeed(seedOf('web-1'));
export const requestId = seedOf('request').subarray(0, 16);
export const secret = seedOf('channel secret');
export const unixSeconds = 1_763_712_000;

export const accepted = {
  kind: 'accepted',
  rule: 'logs',
  program: '/usr/bin/journalctl',
  sandbox: 'standard',
  timeoutMs: 30_000,
  outputBytesMax: 1_048_576,
  readOnly: true,
} as const;
export const ended = {
  code: 0,
  signal: null,
  cause: 'exit',
  durationMs: 12,
  stdoutBytes: 10,
  stderrBytes: 4,
} as const;

export function nodeChannel(changes: Partial<NodeChannelOptions> = {}): NodeChannel {
  const nonce = seedOf('nonce').subarray(0, 24);
  const { publicKey: replyKey } = replyKeys;
  return new NodeChannel({
    nodeName: 'web-1',
    nodeKey,
    requestId,
    replyKey,
    secret,
    nonce,
    unixSeconds,
    ...changes,
  });
}

export function askerChannel(): AskerChannel {
  return new AskerChannel({ requestId, replySecret: replyKeys.secret });
}

/** A short answer as its pieces: hello, accepted, two of stdout, one of stderr, end. */
export function answerPieces(): Uint8Array[] {
  const node = nodeChannel();
  return [
    node.hello,
    node.seal(accepted),
    node.seal({ kind: 'stdout', data: utf8('hello') }),
    node.seal({ kind: 'stderr', data: utf8('warn') }),
    node.seal({ kind: 'stdout', data: utf8('again') }),
    node.sealEnd(ended),
  ];
}

export function decodeErrorOf(call: () => unknown): DecodeError {
  try {
    call();
  } catch (error) {
    if (error instanceof DecodeError) return error;
    throw error;
  }
  throw new Error('expected a DecodeError, but nothing was thrown');
}

/** What an asker makes of pieces, one by one, until one is refused. */
export function heard(pieces: readonly Uint8Array[]): {
  kinds: string[];
  reason: string | undefined;
  isComplete: boolean;
} {
  const asker = askerChannel();
  const kinds: string[] = [];
  try {
    for (const piece of pieces) kinds.push(...asker.receive(piece).map((event) => event.kind));
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return { kinds, reason: error.reason, isComplete: asker.isComplete };
  }
  return { kinds, reason: undefined, isComplete: asker.isComplete };
}

/** Frames under the keys of the channel, in any order and with any content: what a broken node could send. */
export function craft(...plaintexts: readonly { kind: number; body: Uint8Array }[]): Uint8Array[] {
  const cipher = new FrameCipher(secret, requestId, DIRECTIONS.nodeToAsker);
  return [nodeChannel().hello, ...plaintexts.map(({ kind, body }) => cipher.seal(kind, body))];
}

export function output(kind: 'stdout' | 'stderr', text: string): { kind: number; body: Uint8Array } {
  return { kind: FrameKind[kind], body: utf8(text) };
}

export const cuts = fc.array(fc.nat(2000), { maxLength: 60 });

/** Cuts bytes into chunks of the given lengths, round and round. */
export function chunked(bytes: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let offset = 0, i = 0; offset < bytes.length; i++) {
    const length = lengths.length === 0 ? bytes.length : lengths[i % lengths.length]! + (i % 2);
    chunks.push(bytes.slice(offset, offset + length));
    offset += length;
  }
  return chunks;
}
