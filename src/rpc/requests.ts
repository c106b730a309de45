import { DecodeError } from '../lib/errors.ts';
import { type Encodable, Fields, type MsgpackValue } from '../lib/msgpack.ts';

/** What a client can ask of an agent: Serf's commands, and fanout's own. Durations are in nanoseconds, as Serf's are. */
export type Request =
  | { readonly command: 'handshake'; readonly version: number }
  | { readonly command: 'auth'; readonly authKey: string }
  | {
      readonly command: 'event';
      readonly name: string;
      readonly payload: Uint8Array;
      readonly coalesce: boolean;
    }
  | { readonly command: 'force-leave'; readonly node: string; readonly prune: boolean }
  | { readonly command: 'join'; readonly existing: readonly string[]; readonly replay: boolean }
  | { readonly command: 'members' }
  | {
      readonly command: 'members-filtered';
      readonly tags: ReadonlyMap<string, string>;
      readonly status: string;
      readonly name: string;
    }
  | { readonly command: 'stop'; readonly stop: number }
  | { readonly command: 'leave' }
  | {
      readonly command: 'tags';
      readonly tags: ReadonlyMap<string, string>;
      readonly deleteTags: readonly string[];
    }
  | {
      readonly command: 'query';
      readonly filterNodes: readonly string[];
      readonly filterTags: ReadonlyMap<string, string>;
      readonly requestAck: boolean;
      readonly relayFactor: number;
      readonly timeoutNs: number;
      readonly name: string;
      readonly payload: Uint8Array;
    }
  | { readonly command: 'stats' }
  | {
      readonly command: 'install-key' | 'use-key' | 'remove-key';
      /** Base64. */
      readonly key: string;
      /** fanout's own: a signed envelope that asks for the same; empty for none. */
      readonly approval: Uint8Array;
    }
  | { readonly command: 'list-keys' }
  /** Where a member is in the network. */
  | { readonly command: 'get-coordinate'; readonly node: string }
  | {
      readonly command: 'stream';
      readonly type: string;
      /** fanout's own: events as they happen, not coalesced. */
      readonly isLive: boolean;
    }
  | { readonly command: 'monitor'; readonly logLevel: string }
  /** Answers a query that came by a stream. */
  | { readonly command: 'respond'; readonly id: number; readonly payload: Uint8Array }
  /** fanout: what the asker needs to know about its agent. */
  | { readonly command: 'fanout-info' }
  /** fanout: how the agent has found each member when it probed it. */
  | { readonly command: 'fanout-peers' }
  /** fanout: which programs the agent's own policy allows to the operator with this key. */
  | { readonly command: 'fanout-programs'; readonly keyId: Uint8Array }
  /** fanout: spread a signed envelope and report acks, answers and member changes. */
  | {
      readonly command: 'fanout-run';
      readonly run: Uint8Array;
      readonly envelope: Uint8Array;
      readonly targets: readonly string[];
      readonly timeoutMs: number;
    }
  /** fanout: from the reply on, the connection is the raw stream of one answer. */
  | { readonly command: 'fanout-answer'; readonly stream: number };

export type CommandName = Request['command'];

/** Commands whose request has no body. */
const BODILESS: readonly CommandName[] = [
  'members',
  'leave',
  'stats',
  'list-keys',
  'fanout-info',
  'fanout-peers',
];

const COMMANDS: readonly CommandName[] = [
  'handshake',
  'auth',
  'event',
  'force-leave',
  'join',
  'members-filtered',
  'stop',
  'tags',
  'query',
  'stream',
  'monitor',
  'respond',
  'install-key',
  'use-key',
  'remove-key',
  'get-coordinate',
  'fanout-programs',
  'fanout-run',
  'fanout-answer',
  ...BODILESS,
];

export function isCommand(name: string): name is CommandName {
  return (COMMANDS as readonly string[]).includes(name);
}

export function hasBody(command: CommandName): boolean {
  return !BODILESS.includes(command);
}

/** Longest list of targets: a whole cluster of the largest size that gossip is used at. */
const TARGETS_MAX = 20_000;

/** Throws DecodeError when the body does not fit the command. */
export function decodeRequest(command: CommandName, body: MsgpackValue): Request {
  const fields = Fields.of(body);
  switch (command) {
    case 'handshake':
      return { command, version: fields.u32('Version') };
    case 'auth':
      return { command, authKey: fields.text('AuthKey') };
    case 'event':
      return {
        command,
        name: fields.text('Name'),
        payload: fields.bytes('Payload'),
        coalesce: fields.bool('Coalesce'),
      };
    case 'force-leave':
      return { command, node: fields.text('Node'), prune: fields.bool('Prune') };
    case 'join':
      return { command, existing: fields.textList('Existing'), replay: fields.bool('Replay') };
    case 'members-filtered': {
      const [status, name] = [fields.text('Status'), fields.text('Name')];
      return { command, tags: fields.textMap('Tags'), status, name };
    }
    case 'stop':
      return { command, stop: fields.u64('Stop') };
    case 'tags':
      return { command, tags: fields.textMap('Tags'), deleteTags: fields.textList('DeleteTags') };
    case 'query':
      return {
        command,
        filterNodes: fields.textList('FilterNodes'),
        filterTags: fields.textMap('FilterTags'),
        requestAck: fields.bool('RequestAck'),
        relayFactor: fields.u8('RelayFactor'),
        timeoutNs: fields.i64Clamped('Timeout'),
        name: fields.text('Name'),
        payload: fields.bytes('Payload'),
      };
    case 'stream':
      return { command, type: fields.text('Type'), isLive: fields.bool('Live') };
    case 'monitor':
      return { command, logLevel: fields.text('LogLevel') };
    case 'respond':
      return { command, id: fields.u64('ID'), payload: fields.bytes('Payload') };
    case 'install-key':
    case 'use-key':
    case 'remove-key':
      return { command, key: fields.text('Key'), approval: fields.bytes('Approval') };
    case 'get-coordinate':
      return { command, node: fields.text('Node') };
    case 'fanout-programs':
      return { command, keyId: fields.bytes('KeyId') };
    case 'fanout-run':
      return decodeRun(fields);
    case 'fanout-answer':
      return { command, stream: fields.u32('Stream') };
    default:
      return { command };
  }
}

function decodeRun(fields: Fields): Request {
  const run = fields.bytes('Run');
  if (run.length !== 16) throw new DecodeError('field', `Run: ${run.length} bytes, not 16`);
  const targets = fields.textList('Targets');
  if (targets.length > TARGETS_MAX) throw new DecodeError('field', `Targets: more than ${TARGETS_MAX}`);
  const timeoutMs = fields.u32('TimeoutMs');
  return { command: 'fanout-run', run, envelope: fields.bytes('Envelope'), targets, timeoutMs };
}

/** The body of a request, or undefined for a command that has none. */
export function requestBody(request: Request): Encodable | undefined {
  switch (request.command) {
    case 'handshake':
      return { Version: request.version };
    case 'auth':
      return { AuthKey: request.authKey };
    case 'event':
      return { Coalesce: request.coalesce, Name: request.name, Payload: orNil(request.payload) };
    case 'force-leave':
      return { Node: request.node, Prune: request.prune };
    case 'join':
      return { Existing: [...request.existing], Replay: request.replay };
    case 'members-filtered':
      return { Name: request.name, Status: request.status, Tags: Object.fromEntries(request.tags) };
    case 'stop':
      return { Stop: request.stop };
    case 'tags':
      return { DeleteTags: orNil(request.deleteTags), Tags: mapOrNil(request.tags) };
    case 'query':
      return {
        FilterNodes: orNil(request.filterNodes),
        FilterTags: mapOrNil(request.filterTags),
        Name: request.name,
        Payload: orNil(request.payload),
        RelayFactor: request.relayFactor,
        RequestAck: request.requestAck,
        Timeout: request.timeoutNs,
      };
    case 'stream':
      return { Live: request.isLive ? true : undefined, Type: request.type };
    case 'monitor':
      return { LogLevel: request.logLevel };
    case 'respond':
      return { ID: request.id, Payload: orNil(request.payload) };
    case 'install-key':
    case 'use-key':
    case 'remove-key': {
      const { key, approval } = request;
      return { Approval: approval.length === 0 ? undefined : approval, Key: key };
    }
    case 'get-coordinate':
      return { Node: request.node };
    case 'fanout-programs':
      return { KeyId: request.keyId };
    case 'fanout-run':
      return {
        Envelope: request.envelope,
        Run: request.run,
        Targets: [...request.targets],
        TimeoutMs: request.timeoutMs,
      };
    case 'fanout-answer':
      return { Stream: request.stream };
    default:
      return undefined;
  }
}

/** Nil is how Serf writes what was not given. */
function orNil(list: Uint8Array | readonly string[]): Encodable {
  return list.length === 0 ? null : list;
}

function mapOrNil(map: ReadonlyMap<string, string>): Encodable {
  return map.size === 0 ? null : Object.fromEntries(map);
}
