/** Addresses as the wire has them (4 or 16 bytes) and as sockets want them (text). */

/** Where a datagram or a stream goes: a textual IP address and a port. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** Bytes of a textual IPv4 or IPv6 address: 4 for IPv4, 16 for IPv6; undefined when it is neither. */
export function ipBytes(host: string): Uint8Array | undefined {
  const v4 = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(host);
  if (v4 !== null) {
    const parts = v4.slice(1).map(Number);
    return parts.every((part) => part <= 255) ? Uint8Array.from(parts) : undefined;
  }
  return host.includes(':') ? ipv6Bytes(host) : undefined;
}

function ipv6Bytes(host: string): Uint8Array | undefined {
  const halves = host.split('::');
  if (halves.length > 2) return undefined;
  const head = ipv6Groups(halves[0] as string);
  const tail = halves.length === 2 ? ipv6Groups(halves[1] as string) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...head, ...new Array<number>(missing).fill(0), ...tail];
  const bytes = new Uint8Array(16);
  for (const [i, group] of groups.entries()) {
    bytes[2 * i] = group >>> 8;
    bytes[2 * i + 1] = group;
  }
  return bytes;
}

function ipv6Groups(text: string): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const words = text.split(':');
  for (const [i, word] of words.entries()) {
    if (i === words.length - 1 && word.includes('.')) {
      const v4 = ipBytes(word);
      if (v4 === undefined) return undefined;
      groups.push(((v4[0] as number) << 8) | (v4[1] as number), ((v4[2] as number) << 8) | (v4[3] as number));
    } else if (/^[0-9a-fA-F]{1,4}$/.test(word)) {
      groups.push(Number.parseInt(word, 16));
    } else {
      return undefined;
    }
  }
  return groups;
}

const V4_IN_V6 = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/** Text of 4 or 16 address bytes (an IPv4 address in its 16 byte form is shown as IPv4); undefined for other lengths. */
export function ipText(bytes: Uint8Array): string | undefined {
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.length !== 16) return undefined;
  if (V4_IN_V6.every((byte, i) => bytes[i] === byte)) return bytes.subarray(12).join('.');
  const groups: string[] = [];
  for (let i = 0; i < 16; i += 2)
    groups.push((((bytes[i] as number) << 8) | (bytes[i + 1] as number)).toString(16));
  return groups.join(':').replace(/(^|:)0(:0)+(:|$)/, '::');
}

/** `host:port`, with brackets around an IPv6 host. */
export function formatEndpoint(endpoint: Endpoint): string {
  return `${endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host}:${endpoint.port}`;
}

/**
 * Splits `host`, `host:port`, `[v6]:port` or a bare IPv6 address; undefined when it is none of them. The host is not
 * resolved here. A port must be 0..65535.
 */
export function splitHostPort(text: string, defaultPort: number): Endpoint | undefined {
  const bracketed = /^\[([0-9a-fA-F:.]+)\](?::(\d{1,5}))?$/.exec(text);
  if (bracketed !== null) return withPort(bracketed[1] as string, bracketed[2], defaultPort);
  if (text.split(':').length > 2)
    return ipBytes(text) === undefined ? undefined : { host: text, port: defaultPort };
  const plain = /^([^\s:[\]/]+)(?::(\d{1,5}))?$/.exec(text);
  return plain === null ? undefined : withPort(plain[1] as string, plain[2], defaultPort);
}

function withPort(host: string, port: string | undefined, defaultPort: number): Endpoint | undefined {
  const number = port === undefined ? defaultPort : Number(port);
  return number <= 65535 ? { host, port: number } : undefined;
}
