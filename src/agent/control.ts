import type { Encodable } from '../lib/msgpack.ts';
import type { Request } from '../rpc/requests.ts';
import type { Host } from './host.ts';

/** fanout's own requests, but for the one that turns the connection into something else. */
export type FanoutRequest = Extract<
  Request,
  { command: 'fanout-peers' | 'fanout-programs' | 'fanout-info' | 'fanout-run' }
>;

/** Requests of Serf's protocol, but for those by which a conversation begins. */
export type SerfRequest = Exclude<
  Request,
  FanoutRequest | { command: 'handshake' | 'auth' | 'fanout-answer' }
>;

export function isFanoutRequest(request: SerfRequest | FanoutRequest): request is FanoutRequest {
  return request.command.startsWith('fanout-');
}

/** What a request may do with the connection that it came by. */
export interface RequestContext {
  readonly seq: number;
  readonly reply: (error: string, body?: Encodable) => void;
  /** Sends one more record under the request's sequence number. */
  readonly record: (body: Encodable) => void;
  /** Sends one more record, or leaves it out when the client reads too slowly. */
  readonly offer: (body: Encodable) => void;
  /** Called when the connection is over. */
  readonly onClose: (closer: () => void) => void;
}

/** Serf's side of one connection: streams that it has open, queries that it may answer. */
export interface SerfSession {
  /** Carries out one request. Throws DecodeError when the connection should be closed without a reply, as Serf does. */
  run(request: SerfRequest, context: RequestContext): Promise<void>;
  close(): void;
}

/** What the control plane is a door to. */
export interface Controlled {
  readonly host: Host;
  openSession(): SerfSession;
}
