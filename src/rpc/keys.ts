import { type Encodable, Fields, type MsgpackValue } from '../lib/msgpack.ts';

/** What the members said to a change or a list of keys. */
export interface KeyReply {
  /** Why it did not succeed everywhere, '' when it did. */
  readonly error: string;
  /** Members that were asked, that answered, and that failed. */
  readonly nodes: number;
  readonly responses: number;
  readonly errors: number;
  /** Why a member failed, or what it had to say, by its name. */
  readonly messages: ReadonlyMap<string, string>;
  /** How many members have each key, in base64; undefined for a change. */
  readonly keys: ReadonlyMap<string, number> | undefined;
  /** How many members seal with each key. Serf's own agents do not tell. */
  readonly primaryKeys: ReadonlyMap<string, number>;
  /** Members that said nothing. Serf's own agents do not name them. */
  readonly silent: readonly string[];
}

/** The body of a reply. What is fanout's own is left out when there is nothing to say: Serf's has the rest. */
export function encodeKeyReply(reply: Omit<KeyReply, 'error'>): Encodable {
  return {
    Keys: reply.keys === undefined ? null : Object.fromEntries(reply.keys),
    Messages: Object.fromEntries(reply.messages),
    NumErr: reply.errors,
    NumNodes: reply.nodes,
    NumResp: reply.responses,
    PrimaryKeys: reply.primaryKeys.size === 0 ? undefined : Object.fromEntries(reply.primaryKeys),
    Silent: reply.silent.length === 0 ? undefined : reply.silent,
  };
}

/** Throws DecodeError. */
export function decodeKeyReply(body: MsgpackValue, error: string): KeyReply {
  const fields = Fields.of(body);
  return {
    error,
    nodes: fields.u32('NumNodes'),
    responses: fields.u32('NumResp'),
    errors: fields.u32('NumErr'),
    messages: fields.textMap('Messages'),
    keys: fields.has('Keys') ? counts(fields, 'Keys') : undefined,
    primaryKeys: counts(fields, 'PrimaryKeys'),
    silent: fields.textList('Silent'),
  };
}

function counts(fields: Fields, name: string): Map<string, number> {
  const each = fields.fields(name);
  return new Map([...fields.map(name).keys()].map((key) => [key, each.u32(key)]));
}
