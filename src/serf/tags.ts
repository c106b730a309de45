import { utf8, utf8Text } from '../lib/bytes.ts';
import { DecodeError, FanoutError } from '../lib/errors.ts';
import { decodeValue, encodeGossip, textMapOf } from '../lib/msgpack.ts';

/**
 * First byte of tags in a member's meta (Serf's tagMagicByte). Meta without it is the role alone, as in Serf
 * 0.5.
 */
const TAGS_MAGIC = 0xff;
/** memberlist's MetaMaxSize: the meta rides in every alive message, and that must fit into a packet. */
const TAGS_BYTES_MAX = 512;

/**
 * Tags as a member's meta. Throws FanoutError('CONFIG') when they take more than 512 bytes.
 */
export function encodeTags(tags: ReadonlyMap<string, string>): Uint8Array {
  const meta = encodeGossip(Object.fromEntries(tags), TAGS_MAGIC);
  if (meta.length <= TAGS_BYTES_MAX) return meta;
  const sizes = [...tags].map(([name, value]) => ({ name, bytes: utf8(name).length + utf8(value).length }));
  const [largest] = sizes.sort((a, b) => b.bytes - a.bytes);
  const worst = `${tags.size} tags; the largest, "${largest?.name}", takes ${largest?.bytes}`;
  throw new FanoutError(
    'CONFIG',
    `the tags take ${meta.length} bytes, but a member can carry ${TAGS_BYTES_MAX} (${worst})`,
    { hint: 'Shorten or remove tags, names included: every member stores and spreads them.' },
  );
}

/**
 * Tags of a member's meta. Meta of old members, and none at all, is the tag `role`. Throws DecodeError when
 * it is neither valid tags nor valid text.
 */
export function decodeTags(meta: Uint8Array): Map<string, string> {
  if (meta[0] === TAGS_MAGIC) return textMapOf(decodeValue(meta, 1).value, 'tags');
  const role = utf8Text(meta);
  if (role === undefined) throw new DecodeError('field', 'role: is not valid UTF-8');
  return new Map([['role', role]]);
}
