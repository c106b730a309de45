import { DecodeError } from '../lib/errors.ts';
import { decodeValue, encodeGossip, Fields } from '../lib/msgpack.ts';

/** First byte of a query filter (Serf's filterType). */
const NODE_FILTER = 0;
const TAG_FILTER = 1;

/** Whom a query is for. All filters of a query must hold. */
export type Filter =
  | { readonly kind: 'nodes'; readonly names: readonly string[] }
  /**
   * `expr` is a regular expression in RE2 syntax, unanchored. A member without the tag has the empty text.
   */
  | { readonly kind: 'tag'; readonly tag: string; readonly expr: string };

/** Only these members. */
export function encodeNodeFilter(names: readonly string[]): Uint8Array {
  return encodeGossip(names, NODE_FILTER);
}

/** Only members whose tag matches. */
export function encodeTagFilter(tag: string, expr: string): Uint8Array {
  return encodeGossip({ Expr: expr, Tag: tag }, TAG_FILTER);
}

/** Reads one filter. Throws DecodeError: 'filter' for an unknown kind, 'msgpack' and 'field' else. */
export function decodeFilter(bytes: Uint8Array): Filter {
  switch (bytes[0]) {
    case NODE_FILTER:
      return { kind: 'nodes', names: Fields.of({ names: decodeValue(bytes, 1).value }).textList('names') };
    case TAG_FILTER: {
      const fields = Fields.of(decodeValue(bytes, 1).value);
      return { kind: 'tag', tag: fields.text('Tag'), expr: fields.text('Expr') };
    }
    default:
      throw new DecodeError('filter', `filter kind ${bytes[0] ?? 'none'} is not known`);
  }
}
