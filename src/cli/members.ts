import type { SelectionFlags } from '../asker/select.ts';
import { naturalOrder } from '../lib/natural-order.ts';
import { formatEndpoint, ipText } from '../lib/net-address.ts';
import { safeJson, sanitiseText } from '../lib/sanitise.ts';
import type { RpcClient } from '../rpc/client.ts';
import type { MemberRecord } from '../rpc/members.ts';
import { formatTable } from './table.ts';
import { tagValues } from './tag-values.ts';
import { withAgent } from './with-agent.ts';

export interface MembersOptions extends SelectionFlags {
  readonly from?: string;
  readonly status?: string;
  readonly detailed?: boolean;
  /** Of Serf's flags with one dash, which are expressions. */
  readonly nameExpression?: string;
  readonly roleExpression?: string;
  readonly statusExpression?: string;
  readonly tagExpression?: readonly string[];
  readonly format: 'text' | 'json';
  readonly rpcAddr?: string;
}

/** `fanout members`: lists the members that the agent knows, in Serf's formats. */
export async function members(options: MembersOptions): Promise<number> {
  const matches = await matcherOf(options);
  const all = await withAgent(options, (client) => membersOf(client, options));
  const shown = all
    .filter((member) => options.status === undefined || member.status === options.status)
    .filter(matches)
    .sort((a, b) => naturalOrder(a.name, b.name));
  process.stdout.write(
    `${options.format === 'json' ? json(shown) : text(shown, options.detailed === true)}\n`,
  );
  return 0;
}

/** Serf's own filters are the agent's to apply: it has the engine for expressions. */
function membersOf(client: RpcClient, options: MembersOptions): Promise<MemberRecord[]> {
  const { nameExpression: name, roleExpression: role, statusExpression: status, tagExpression } = options;
  if ([name, role, status, tagExpression].every((flag) => flag === undefined)) return client.members();
  const tags = tagValues(tagExpression);
  if (role !== undefined) tags.set('role', role);
  return client.membersFiltered({ tags, status: status ?? '', name: name ?? '' });
}

/** Most calls list everybody: only a selection loads what it needs. */
async function matcherOf(options: MembersOptions): Promise<(member: MemberRecord) => boolean> {
  const { tag, node, nodes, exclude, select, from } = options;
  if ([tag, node, nodes, exclude, select, from].every((flag) => flag === undefined)) return () => true;
  const { matcherFrom } = await import('../asker/select.ts');
  const matches = matcherFrom(options);
  if (from === undefined) return matches;
  const { namesFrom } = await import('../asker/from.ts');
  const names = new Set(namesFrom(from));
  return (member) => names.has(member.name) && matches(member);
}

function text(members: readonly MemberRecord[], isDetailed: boolean): string {
  return formatTable(
    members.map((member) => {
      const tags = [...member.tags]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, value]) => `${name}=${value}`);
      const cells = [member.name, address(member), member.status, tags.join(',')];
      return [...cells, ...(isDetailed ? versions(member) : [])].map(sanitiseText);
    }),
  );
}

/** As Serf writes them. */
function versions({ vsn }: MemberRecord): string[] {
  const [, , , min, max, current] = vsn;
  return [`Protocol Version: ${current}`, `Available Protocol Range: [${min}, ${max}]`];
}

/** The keys and their order are Serf's. */
function json(members: readonly MemberRecord[]): string {
  const list = members.map((member) => {
    const [pMin, pMax, , dMin, dMax, dCur] = member.vsn;
    const tags = Object.fromEntries([...member.tags].sort(([a], [b]) => (a < b ? -1 : 1)));
    const protocol = { max: dMax ?? pMax, min: dMin ?? pMin, version: dCur };
    return {
      name: member.name,
      addr: address(member),
      port: member.port,
      tags,
      status: member.status,
      protocol,
    };
  });
  return safeJson({ members: list }, 2);
}

function address(member: MemberRecord): string {
  return formatEndpoint({ host: ipText(member.addr) ?? '?', port: member.port });
}
