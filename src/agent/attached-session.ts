import { DecodeError, FanoutError } from '../lib/errors.ts';
import { type RpcClient, RpcRefusal } from '../rpc/client.ts';
import { encodeCoordinateReply } from '../rpc/coordinates.ts';
import { encodeKeyReply } from '../rpc/keys.ts';
import { encodeMember, type MemberRecord } from '../rpc/members.ts';
import { encodeEventRecord, encodeQueryRecord } from '../rpc/views.ts';
import type { RequestContext, SerfRequest, SerfSession } from './control.ts';

/** Passes Serf's requests of one connection on to the real Serf agent, by a connection of its own. */
export class AttachedSession implements SerfSession {
  private readonly connect: () => Promise<RpcClient>;
  /** What this agent adds to the figures of Serf. */
  private readonly stats: () => Record<string, Record<string, string>>;
  private readonly streams = new Map<number, () => void>();
  private client: Promise<RpcClient> | undefined;

  constructor(connect: () => Promise<RpcClient>, stats: () => Record<string, Record<string, string>>) {
    this.connect = connect;
    this.stats = stats;
  }

  async run(request: SerfRequest, context: RequestContext): Promise<void> {
    try {
      this.client ??= this.connect();
      await this.pass(request, await this.client, context);
    } catch (error) {
      if (!(error instanceof FanoutError || error instanceof DecodeError)) throw error;
      const text = error instanceof RpcRefusal ? error.said : error.message;
      if (text === '') throw error;
      // Clients wait for the body of a join that failed, too.
      context.reply(text, request.command === 'join' ? { Num: 0 } : undefined);
      // The next request tries anew: the Serf agent may have been started again.
      if (!(error instanceof RpcRefusal)) this.client = undefined;
    }
  }

  close(): void {
    this.client?.then(
      (client) => client.close(),
      () => {},
    );
  }

  private async pass(request: SerfRequest, client: RpcClient, context: RequestContext): Promise<void> {
    const { reply, record, offer, seq } = context;
    switch (request.command) {
      case 'members':
        return reply('', membersBody(await client.members()));
      case 'members-filtered':
        return reply('', membersBody(await client.membersFiltered(request)));
      case 'join':
        return reply('', { Num: await client.join(request.existing, request.replay) });
      case 'leave':
        await client.leave();
        return reply('');
      case 'force-leave':
        await client.forceLeave(request.node, request.prune);
        return reply('');
      case 'event':
        await client.event(request.name, request.payload, request.coalesce);
        return reply('');
      case 'tags':
        await client.tags(request.tags, request.deleteTags);
        return reply('');
      case 'stats': {
        const sections = [...(await client.stats())].map(([name, facts]) => [
          name,
          Object.fromEntries(facts),
        ]);
        return reply('', { ...Object.fromEntries(sections), ...this.stats() });
      }
      case 'respond':
        await client.respond(request.id, request.payload);
        return reply('');
      case 'get-coordinate':
        return reply('', encodeCoordinateReply(await client.coordinate(request.node)));
      case 'install-key':
      case 'use-key':
      case 'remove-key':
      case 'list-keys': {
        const answer = await client.keys(request);
        return reply(answer.error, encodeKeyReply(answer));
      }
      case 'query':
        return this.afterReply(reply, (send) =>
          client.query(request, (one) => send(() => record(encodeQueryRecord(one)))),
        );
      case 'stream':
        return this.afterReply(reply, async (send) => {
          this.streams.set(
            seq,
            await client.stream(request.type, (one) => send(() => offer(encodeEventRecord(one)))),
          );
        });
      case 'monitor':
        return this.afterReply(reply, async (send) => {
          this.streams.set(
            seq,
            await client.monitor(request.logLevel, (line) => send(() => offer({ Log: line }))),
          );
        });
      case 'stop':
        this.streams.get(request.stop)?.();
        this.streams.delete(request.stop);
        return reply('');
    }
  }

  /** Records can come in one piece with the reply that they follow: they are held until it has been passed on. */
  private async afterReply(
    reply: RequestContext['reply'],
    open: (send: (tell: () => void) => void) => Promise<unknown>,
  ): Promise<void> {
    const early: (() => void)[] = [];
    let send = (tell: () => void): void => void early.push(tell);
    await open((tell) => send(tell));
    reply('');
    send = (tell) => tell();
    for (const tell of early) tell();
  }
}

function membersBody(members: readonly MemberRecord[]): { Members: ReturnType<typeof encodeMember>[] } {
  return { Members: members.map(encodeMember) };
}
