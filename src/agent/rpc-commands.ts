import { DecodeError, FanoutError } from '../lib/errors.ts';
import type { Encodable } from '../lib/msgpack.ts';
import { encodeCoordinateReply } from '../rpc/coordinates.ts';
import { encodeMember } from '../rpc/members.ts';
import type { Request } from '../rpc/requests.ts';
import { encodeNodeFilter, encodeTagFilter } from '../serf/filters.ts';
import type { Member } from '../serf/member.ts';
import type { Agent } from './agent.ts';
import { askQuery } from './ask-query.ts';
import type { RequestContext, SerfRequest } from './control.ts';
import { compileAnchored } from './expression.ts';
import { changeKeys } from './rpc-keys.ts';
import type { StreamedQueries } from './rpc-queries.ts';
import { monitorLog, streamEvents } from './rpc-streams.ts';

/** What one of Serf's commands has at hand. */
export interface CommandContext extends RequestContext {
  readonly agent: Agent;
  /** Streams that this connection has open, by the sequence number of their request; each with what ends it. */
  readonly streams: Map<number, () => void>;
  /** Queries that came by the streams of this connection. */
  readonly queries: StreamedQueries;
}

/** Carries out one request. Throws DecodeError when the connection should be closed without a reply, as Serf does. */
export async function runCommand(request: SerfRequest, context: CommandContext): Promise<void> {
  const { agent, reply } = context;
  switch (request.command) {
    case 'members':
      return reply('', membersBody([...agent.driver.serf.members.all()]));
    case 'members-filtered':
      return reply('', membersBody(filtered(agent, request)));
    case 'join': {
      const { joined, failures } = await agent.join(request.existing, request.replay);
      return reply(joined > 0 ? '' : failures.join('; ') || 'no address to join', { Num: joined });
    }
    case 'leave':
      agent.leave();
      await agent.gone;
      return reply('');
    case 'force-leave':
      agent.driver.act((serf, now) => serf.forceLeave(now, request.node, request.prune));
      return reply('');
    case 'event':
      return reply(
        attempt(() =>
          agent.driver.act((serf, now) =>
            serf.userEvent(now, request.name, request.payload, request.coalesce),
          ),
        ),
      );
    case 'tags':
      return reply(attempt(() => changeTags(agent, request)));
    case 'query':
      return query(request, context);
    case 'stats':
      return reply('', agent.stats());
    case 'stop':
      context.streams.get(request.stop)?.();
      context.streams.delete(request.stop);
      return reply('');
    case 'stream':
      return streamEvents(request.type, request.isLive, context);
    case 'monitor':
      return monitorLog(request.logLevel, context);
    case 'respond':
      return reply(context.queries.respond(request.id, request.payload));
    case 'install-key':
    case 'use-key':
    case 'remove-key':
    case 'list-keys':
      return changeKeys(request, context);
    case 'get-coordinate':
      return reply('', encodeCoordinateReply(agent.driver.serf.coordinateOf(request.node)));
  }
}

function membersBody(members: readonly Member[]): Encodable {
  return { Members: members.map(encodeMember) };
}

/** Serf's filters: expressions anchored at both ends; a missing tag is an empty text. */
function filtered(agent: Agent, request: Extract<Request, { command: 'members-filtered' }>): Member[] {
  const expressions = [request.status, request.name, ...request.tags.values()].map((text) =>
    text === '' ? () => true : compileAnchored(text),
  );
  const [status, name, ...tags] = expressions;
  if (status === undefined || name === undefined || tags.includes(undefined)) {
    throw new DecodeError('filter', 'a filter is no valid expression');
  }
  const names = [...request.tags.keys()];
  return [...agent.driver.serf.members.all()].filter(
    (member) =>
      status(member.status) &&
      name(member.name) &&
      tags.every((matches, i) => matches?.(member.tags.get(names[i] ?? '') ?? '') === true),
  );
}

function changeTags(agent: Agent, request: Extract<Request, { command: 'tags' }>): void {
  const tags = new Map(agent.driver.serf.localTags);
  for (const name of request.deleteTags) tags.delete(name);
  for (const [name, value] of request.tags) tags.set(name, value);
  agent.changeTags(tags);
}

/** Serf's query: records as acks and responses come, and one `done` at the deadline. */
function query(request: Extract<Request, { command: 'query' }>, context: CommandContext): void {
  const { agent, reply, record, onClose } = context;
  if (request.name.startsWith('_serf_') && !(request.name === '_serf_ping' && request.payload.length === 0)) {
    return reply("Queries cannot contain the '_serf_' prefix");
  }
  const filters = [...request.filterTags].map(([tag, expr]) => encodeTagFilter(tag, expr));
  if (request.filterNodes.length > 0) filters.unshift(encodeNodeFilter(request.filterNodes));
  const { driver } = agent;
  const timeoutMs = request.timeoutNs > 0 ? request.timeoutNs / 1e6 : driver.serf.defaultQueryTimeoutMs();
  const { name, payload, requestAck, relayFactor } = request;
  const asked = { name, payload, filters, wantsAcks: requestAck, relayFactor, timeoutMs, targets: [] };
  try {
    const asking = askQuery(agent, asked, (news) => {
      if (news.kind === 'ack') record({ From: news.from, Payload: null, Type: 'ack' });
      if (news.kind === 'response') record({ From: news.from, Payload: news.payload, Type: 'response' });
      if (news.kind === 'query-done') record({ From: '', Payload: null, Type: 'done' });
    });
    onClose(asking.end);
    reply('');
    asking.begin();
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    reply(error.message);
  }
}

/** The text of what went wrong, '' for success. */
function attempt(action: () => void): string {
  try {
    action();
    return '';
  } catch (error) {
    if (error instanceof DecodeError || error instanceof FanoutError) return error.message;
    throw error;
  }
}
