import { DecodeError } from '../lib/errors.ts';
import { decodeValue, encodeGossip, Fields } from '../lib/msgpack.ts';
import { encodeFanoutHello } from '../memberlist/stream.ts';

/**
 * The first message of a stream of fanout's own, on the gossip port and under the cluster key like every stream there:
 * `answer`: a node brings the sealed answer to a run; `collect`: the asker comes for it, because the node could not
 * dial; `fetch`: a node wants an envelope that was too big for a query.
 */
export type StreamPurpose =
  | { readonly op: 'answer'; readonly run: Uint8Array; readonly node: string }
  | { readonly op: 'collect'; readonly run: Uint8Array }
  | { readonly op: 'fetch'; readonly hash: Uint8Array };

export function encodePurpose(purpose: StreamPurpose): Uint8Array {
  return encodeFanoutHello(encodeGossip({ ...purpose }));
}

/** Throws DecodeError for anything that is not exactly one of the three. */
export function decodePurpose(body: Uint8Array): StreamPurpose {
  const fields = Fields.of(decodeValue(body).value);
  const op = fields.text('op');
  if (op === 'answer') return { op, run: sized(fields, 'run', 16), node: fields.text('node') };
  if (op === 'collect') return { op, run: sized(fields, 'run', 16) };
  if (op === 'fetch') return { op, hash: sized(fields, 'hash', 32) };
  throw new DecodeError('purpose', `unknown stream purpose "${op}"`);
}

function sized(fields: Fields, name: string, length: number): Uint8Array {
  const bytes = fields.bytes(name);
  if (bytes.length !== length)
    throw new DecodeError('purpose', `${name}: ${bytes.length} bytes, not ${length}`);
  return bytes;
}
