import { availableParallelism, cpus, hostname } from 'node:os';
import { messageOf } from '../lib/errors.ts';
import type { Endpoint } from '../lib/net-address.ts';
import { formatEndpoint } from '../lib/net-address.ts';
import { VERSION } from '../lib/version.ts';
import { endpointOf } from '../memberlist/node-table.ts';
import { resolveEndpoints } from '../net/resolve.ts';
import type { SerfEvent } from '../serf/events.ts';
import type { KeyGuard } from '../serf/key-queries.ts';
import type { SerfConfig } from '../serf/serf-config.ts';
import { encodeTags } from '../serf/tags.ts';
import type { AgentConfig } from './config.ts';
import type { Controlled, SerfSession } from './control.ts';
import { EmbeddedSession } from './embedded-session.ts';
import { Host, type HostGround, openGround } from './host.ts';
import { KeyKeeper } from './key-keeper.ts';
import type { Log, LogWatch } from './log.ts';
import { NameConflict } from './name-conflict.ts';
import { PeerKeys } from './peer-keys.ts';
import { rejoin } from './rejoin.ts';
import { serfConfig } from './serf-config.ts';
import { SerfDriver } from './serf-driver.ts';
import { SnapshotFile } from './snapshot-file.ts';
import { writeTagsFile } from './tags-file.ts';

/** An agent with the Serf core in it: a member of the cluster, a fanout agent, and the hub for the operators of its machine. */
export class Agent implements Controlled {
  readonly config: AgentConfig;
  readonly log: Log;
  readonly logWatch: LogWatch;
  readonly driver: SerfDriver;
  readonly host: Host;
  readonly keys: KeyKeeper;
  private readonly peerKeys: PeerKeys;
  /** Resolves when the agent has left the cluster. */
  readonly gone: Promise<void>;
  private readonly snapshot: SnapshotFile | undefined;
  private readonly nameConflict = new NameConflict(this);
  private readonly listeners = new Set<(event: SerfEvent) => void>();
  private readonly closers: (() => Promise<void>)[] = [];
  private stopped = false;
  private markGone: () => void = () => {};

  private constructor(parts: {
    ground: HostGround;
    logWatch: LogWatch;
    driver: SerfDriver;
    snapshot: SnapshotFile | undefined;
    peerKeys: PeerKeys;
  }) {
    const { ground, logWatch, driver, snapshot, peerKeys } = parts;
    const { config, log } = ground;
    for (const member of driver.serf.members.all()) snapshot?.alive(member);
    this.config = config;
    this.log = log;
    this.logWatch = logWatch;
    this.driver = driver;
    this.snapshot = snapshot;
    this.peerKeys = peerKeys;
    this.gone = new Promise((resolve) => {
      this.markGone = resolve;
    });
    this.host = new Host(ground, driver);
    const { gate, records, policies } = this.host;
    this.keys = new KeyKeeper({ settings: config.serf, gate, policy: () => policies.current, records, log });
  }

  /** Starts everything but the control socket. Throws FanoutError when something that was asked for cannot be had. */
  static async start(config: AgentConfig, log: Log, logWatch: LogWatch): Promise<Agent> {
    const ground = await openGround(config, log);
    try {
      let agent: Agent | undefined;
      const snapshot = openSnapshot(config, log, () => agent?.driver.serf.memberTime ?? 0);
      const keyGuard: KeyGuard = {
        permit: (change) => (agent === undefined ? 'this agent is starting' : agent.keys.permit(change)),
        changed: (keyring) => agent?.keys.changed(keyring),
      };
      const { nodeKey } = ground;
      const { dataDir } = config;
      const peerKeys = new PeerKeys({ nodeKey, dataDir, log, now: () => performance.now() });
      const own = { keyGuard, proofs: peerKeys };
      const restored = snapshot === undefined ? {} : { restored: snapshot.content };
      const configure = (port: number): SerfConfig => ({ ...serfConfig(config, port), ...own, ...restored });
      // That we have joined ourselves is news for a handler too.
      const early: SerfEvent[] = [];
      const driver = await SerfDriver.start(config.bind, configure, {
        event: (event) => (agent === undefined ? early.push(event) : agent.event(event)),
        fanoutStream: (body, socket, rest) => agent?.host.stream(body, socket, rest),
      });
      agent = new Agent({ ground, logWatch, driver, snapshot, peerKeys });
      for (const event of early) agent.event(event);
      if (snapshot !== undefined) void rejoin(agent, snapshot.content.alive);
      return agent;
    } catch (error) {
      await ground.copy?.close();
      throw error;
    }
  }

  get gossip(): { readonly at: Endpoint; readonly isEncrypted: boolean } {
    const { serf, transport } = this.driver;
    return { at: { host: this.config.bind.host, port: transport.port }, isEncrypted: serf.isEncrypted };
  }

  openSession(): SerfSession {
    return new EmbeddedSession(this);
  }

  /** Joins the cluster through the given addresses; tells how many could be reached. */
  async join(
    addresses: readonly string[],
    replays = this.config.serf.replayOnJoin,
  ): Promise<{ joined: number; failures: string[] }> {
    const failures: string[] = [];
    let joined = 0;
    for (const text of addresses) {
      try {
        for (const to of await resolveEndpoints(text, this.driver.transport.port)) {
          const failure = await this.joinOne(to, replays);
          if (failure === undefined) joined++;
          else failures.push(failure);
        }
      } catch (error) {
        failures.push(messageOf(error));
      }
    }
    return { joined, failures };
  }

  onEvent(listener: (event: SerfEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  get isStopped(): boolean {
    return this.stopped;
  }

  /** Leaves gracefully; `gone` resolves when the others know. */
  leave(): void {
    this.snapshot?.leave();
    this.driver.act((serf, now) => serf.leave(now));
  }

  /** Replaces the tags of this node, in the tags file too. Throws FanoutError, and changes nothing then. */
  changeTags(tags: ReadonlyMap<string, string>): void {
    encodeTags(tags);
    const { tagsFile } = this.config;
    if (tagsFile !== undefined) writeTagsFile(tagsFile, tags);
    this.driver.act((serf, now) => serf.setTags(now, tags));
  }

  /** What else has to end with the agent. */
  onStop(closer: () => Promise<void>): void {
    if (this.stopped) void closer();
    else this.closers.push(closer);
  }

  /** Stops at once: kills what runs, closes all sockets. */
  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.all(this.closers.map((close) => close()));
    await this.host.stop();
    await this.driver.close();
    this.snapshot?.close();
    await this.host.close();
  }

  /** What `info` shows, as Serf's stats: sections of texts. */
  stats(): Record<string, Record<string, string>> {
    const { serf } = this.driver;
    return {
      agent: { name: this.config.node, version: VERSION },
      event_handlers: this.host.handlers.stats(),
      counters: Object.fromEntries(
        serf.memberlist.counters.entries().map(([name, count]) => [name, String(count)]),
      ),
      runtime: {
        arch: process.arch,
        cpu_count: String(cpus().length),
        host: hostname(),
        max_procs: String(availableParallelism()),
        os: process.platform,
        version: process.version,
        memory_bytes: String(process.memoryUsage.rss()),
        udp_receive_buffer: String(this.driver.transport.receiveBufferBytes),
      },
      limits: this.host.limits(),
      serf: serf.stats(),
      tags: Object.fromEntries(serf.localTags),
    };
  }

  private joinOne(to: Endpoint, replays: boolean): Promise<string | undefined> {
    return new Promise((resolve) => {
      this.driver.act((serf, now) => serf.join(now, to, resolve, { replays }));
    });
  }

  private event(event: SerfEvent): void {
    this.snapshot?.event(event);
    if (this.host.event(event)) return;
    this.report(event);
    for (const listener of this.listeners) listener(event);
  }

  private report(event: SerfEvent): void {
    if (event.kind === 'left') this.markGone();
    if (event.kind === 'member') {
      if (event.event !== 'member-update') this.peerKeys.changed(event.member.name);
      this.log.info(`${event.event}: ${event.member.name} ${formatEndpoint(endpointOf(event.member))}`);
    }
    if (event.kind === 'unproven-name') this.peerKeys.refused(event.name, event.at);
    if (event.kind === 'conflict') this.nameConflict.settle(event, () => this.markGone());
  }
}

function openSnapshot(config: AgentConfig, log: Log, memberClock: () => number): SnapshotFile | undefined {
  const { snapshotFile, rejoinAfterLeave: rejoins } = config.serf;
  return snapshotFile === undefined
    ? undefined
    : SnapshotFile.open(snapshotFile, { rejoins, log, memberClock });
}
