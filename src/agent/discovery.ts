import { randomInt } from 'node:crypto';
import { DecodeError, FanoutError } from '../lib/errors.ts';
import { type Endpoint, formatEndpoint } from '../lib/net-address.ts';
import type { Millis } from '../lib/time.ts';
import { MdnsSockets } from '../net/mdns.ts';
import {
  type DnsMessage,
  type DnsRecord,
  decodeDns,
  dnsLabel,
  encodeAnswer,
  encodeQuestion,
  isSameName,
  TYPE,
} from '../net/mdns-codec.ts';
import type { DiscoveryConfig } from './config.ts';
import type { Log } from './log.ts';

/** As Serf: ask at the start and then so often. */
const ASK_EVERY_MS: Millis = 60_000;
/**
 * Serf listens for one second. A machine that is busy takes longer, and would be missed for a minute. Who has found nobody in
 * this time asks again, and then after twice that, as RFC 6762 has it (section 5.2): a switch may take seconds to learn
 * where a group of multicast listens.
 */
const LISTEN_MS: Millis = 5000;
/** As Serf: who was found is joined when so long nobody else was. */
const QUIET_MS: Millis = 100;
const TTL_SECONDS = 120;
/** Anybody on the link can answer: so many strangers are dialled for one question, and remembered in all. */
const FOUND_PER_ASK_MAX = 64;
const FOUND_MAX = 1024;
/** Answers in a second. A question costs whoever sends it less than the answer costs us. */
const ANSWERS_PER_SECOND = 20;

export interface DiscoveryParts {
  readonly config: DiscoveryConfig;
  readonly node: string;
  /** What the others should dial. */
  readonly own: Endpoint;
  readonly isMember: (at: Endpoint) => boolean;
  readonly join: (addresses: readonly string[]) => Promise<{ joined: number; failures: readonly string[] }>;
  readonly count: (name: string) => void;
  readonly log: Log;
}

/** Finds the members of a cluster by multicast DNS, as Serf's -discover, and is found by them. */
export class Discovery {
  private readonly parts: DiscoveryParts;
  private readonly service: string;
  private readonly records: readonly DnsRecord[];
  private readonly found = new Set<string>();
  private waiting: string[] = [];
  private sockets: MdnsSockets | undefined;
  private asking: { readonly id: number; left: number } | undefined;
  private answers = { second: 0, count: 0 };
  private timers: { ask?: NodeJS.Timeout; listen?: NodeJS.Timeout; quiet?: NodeJS.Timeout } = {};

  private constructor(parts: DiscoveryParts) {
    this.parts = parts;
    this.service = serviceName(parts.config.cluster);
    this.records = ownRecords(parts, this.service);
  }

  /** Throws FanoutError CONFIG where there is no multicast. */
  static async start(parts: DiscoveryParts): Promise<Discovery> {
    const discovery = new Discovery(parts);
    const { interface: name, ipv4, ipv6 } = parts.config;
    discovery.sockets = await MdnsSockets.open({
      interface: name,
      ipv4,
      ipv6,
      asked: (bytes, reply) => discovery.asked(bytes, reply),
      answered: (bytes) => discovery.answered(bytes),
      failed: (reason) => parts.log.warn(`discovery: cannot ask: ${reason}`),
    });
    discovery.ask(LISTEN_MS);
    return discovery;
  }

  async close(): Promise<void> {
    clearTimeout(this.timers.ask);
    clearTimeout(this.timers.listen);
    clearTimeout(this.timers.quiet);
    await this.sockets?.close();
  }

  /** `againMs`: when to ask again, if nobody is found by then. */
  private ask(againMs: Millis): void {
    this.asking = { id: randomInt(1, 2 ** 16), left: FOUND_PER_ASK_MAX };
    this.timers.ask = setTimeout(() => this.askAgain(againMs), againMs);
    clearTimeout(this.timers.listen);
    this.timers.listen = setTimeout(() => {
      this.asking = undefined;
    }, LISTEN_MS);
    this.sockets?.ask(encodeQuestion(this.asking.id, { name: this.service, type: TYPE.PTR }));
  }

  private askAgain(afterMs: Millis): void {
    if (this.found.size === 0) return this.ask(Math.min(2 * afterMs, ASK_EVERY_MS));
    this.timers.ask = setTimeout(() => this.ask(ASK_EVERY_MS), ASK_EVERY_MS - afterMs);
  }

  private asked(bytes: Uint8Array, reply: (bytes: Uint8Array) => void): void {
    const message = this.decode(bytes);
    if (message === undefined || message.isResponse) return;
    const isForUs = message.questions.some(
      ({ name, type }) => (type === TYPE.PTR || type === TYPE.ANY) && isSameName(name, this.service),
    );
    if (!isForUs) return;
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.answers.second) this.answers = { second, count: 0 };
    if (++this.answers.count > ANSWERS_PER_SECOND) return this.parts.count('mdns-flood');
    reply(encodeAnswer(message.id, this.records));
  }

  private answered(bytes: Uint8Array): void {
    const { asking } = this;
    if (asking === undefined) return;
    const message = this.decode(bytes);
    // Serf's older agents answer with id 0.
    if (message === undefined || !message.isResponse || ![0, asking.id].includes(message.id)) return;
    for (const at of endpointsIn(message, this.service)) {
      const text = formatEndpoint(at);
      if (text === formatEndpoint(this.parts.own) || this.found.has(text) || this.parts.isMember(at))
        continue;
      if (asking.left === 0 || this.found.size >= FOUND_MAX) return this.parts.count('mdns-too-many');
      asking.left--;
      this.found.add(text);
      this.waiting.push(text);
      clearTimeout(this.timers.quiet);
      this.timers.quiet = setTimeout(() => void this.join(), QUIET_MS);
    }
  }

  private async join(): Promise<void> {
    const { waiting, parts } = this;
    this.waiting = [];
    parts.log.info(`discovery: found ${waiting.join(', ')}`);
    const { joined, failures } = await parts.join(waiting);
    for (const failure of failures) parts.log.warn(`discovery: ${failure}`);
    // Whoever could not be reached may be there at the next question. Serf never tries again.
    if (joined < waiting.length) for (const text of waiting) this.found.delete(text);
  }

  private decode(bytes: Uint8Array): DnsMessage | undefined {
    try {
      return decodeDns(bytes);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.parts.count(error.reason);
      return undefined;
    }
  }
}

function serviceName(cluster: string): string {
  const label = dnsLabel(`_serf_${cluster}`);
  if (label !== undefined) return `${label}._tcp.local`;
  throw new FanoutError('CONFIG', `the name to discover by is too long: ${JSON.stringify(cluster)}`, {
    hint: 'At most 57 bytes fit into a name of DNS.',
  });
}

/** As Serf's agents announce themselves. Only the host is another: theirs is one for all agents of a machine. */
function ownRecords({ config, node, own }: DiscoveryParts, service: string): readonly DnsRecord[] {
  const label = dnsLabel(node) ?? `node-${randomInt(2 ** 47)}`;
  const [instance, host, ttlSeconds] = [`${label}.${service}`, `${label}.local`, TTL_SECONDS];
  return [
    { name: service, ttlSeconds, type: 'PTR', target: instance },
    { name: instance, ttlSeconds, type: 'SRV', port: own.port, target: host },
    { name: host, ttlSeconds, type: own.host.includes(':') ? 'AAAA' : 'A', host: own.host },
    { name: instance, ttlSeconds, type: 'TXT', texts: [`Serf '${config.cluster}' cluster`] },
  ];
}

/** The agents that one answer tells of: each with a port, an address and a text, all in this packet. */
function endpointsIn(message: DnsMessage, service: string): Endpoint[] {
  const { records } = message;
  return records.flatMap((pointer) => {
    if (pointer.type !== 'PTR' || !isSameName(pointer.name, service)) return [];
    const ofInstance = records.filter(({ name }) => isSameName(name, pointer.target));
    const place = ofInstance.find((record) => record.type === 'SRV');
    if (place?.type !== 'SRV' || place.port === 0 || !ofInstance.some(({ type }) => type === 'TXT'))
      return [];
    const address = records.find(
      (record) => (record.type === 'A' || record.type === 'AAAA') && isSameName(record.name, place.target),
    );
    return address !== undefined && 'host' in address ? [{ host: address.host, port: place.port }] : [];
  });
}
