import { agentAddress, connectAgent } from '../asker/connect.ts';
import type { SelectionFlags } from '../asker/select.ts';
import { naturalOrder } from '../lib/natural-order.ts';
import { formatEndpoint, ipText } from '../lib/net-address.ts';
import { safeJson, sanitiseText } from '../lib/sanitise.ts';
import type { MemberRecord } from '../rpc/members.ts';
import { formatTable } from './table.ts';

export interface MembersOptions extends SelectionFlags {
  readonly from?: string;
  readonly status?: string;
  readonly format: 'text' | 'json';
  readonly rpcAddr?: string;
}

/** `fanout members`: lists the members that the agent knows, in Serf's formats. */
export async function members(options: MembersOptions): Promise<number> {
  const matches = await matcherOf(options);
  const client = await connectAgent(agentAddress(options.rpcAddr));
  const all = await client.members();
  client.close();
  const shown = all
    .filter((member) => options.status === undefined || member.status === options.status)
    .filter(matches)
    .sort((a, b) => naturalOrder(a.name, b.name));
  process.stdout.write(`${options.format === 'json' ? json(shown) : text(shown)}\n`);
  return 0;
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

function text(members: readonly MemberRecord[]): string {
  return formatTable(
    members.map((member) => {
      const tags = [...member.tags]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, value]) => `${name}=${value}`);
      return [member.name, address(member), member.status, tags.join(',')].map(sanitiseText);
    }),
  );
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
