import { formatEndpoint, ipText } from '../lib/net-address.ts';
import type { EventRecord } from '../rpc/views.ts';

/** Payload that is shown in a line about an event. */
const PAYLOAD_CHARACTERS_MAX = 200;

/** An event of the cluster in one line. What members wrote in it is not cleaned. */
export function eventText(event: EventRecord): { kind: 'member' | 'event' | 'query'; text: string } {
  if ('members' in event) {
    const who = event.members.map(({ name, addr, port, tags }) => {
      const list = [...tags].map(([tag, value]) => `${tag}=${value}`).join(',');
      return `${name} ${formatEndpoint({ host: ipText(addr) ?? '?', port })}${list === '' ? '' : ` ${list}`}`;
    });
    return { kind: 'member', text: `${event.event}: ${who.join('; ')}` };
  }
  const payload = new TextDecoder().decode(event.payload).slice(0, PAYLOAD_CHARACTERS_MAX);
  const text = `${event.event} ${event.name}${payload === '' ? '' : `: ${payload}`}`;
  return { kind: event.event === 'user' ? 'event' : 'query', text };
}
