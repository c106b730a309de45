import type { Endpoint } from '../lib/net-address.ts';
import { endpointOf } from '../memberlist/node-table.ts';
import type { Member } from '../serf/member.ts';
import { STREAM_PORT_TAG } from './engine.ts';

const PORT = /^[1-9]\d{0,4}$/;

/** Where a member takes fanout's streams. A tag that is no port counts for nothing. */
export function streamEndpointOf(member: Pick<Member, 'addr' | 'port' | 'tags'>): Endpoint {
  const own = endpointOf(member);
  const told = member.tags.get(STREAM_PORT_TAG) ?? '';
  const port = PORT.test(told) ? Number(told) : 0;
  return port > 0 && port < 65_536 ? { host: own.host, port } : own;
}
