import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import type { Socket } from 'node:net';
import { hostname } from 'node:os';
import { join as joinPath } from 'node:path';
import { AuditLog } from '../identity/audit.ts';
import { loadOrCreateNodeKey, type NodeKey } from '../identity/node-key.ts';
import { DecodeError, FanoutError } from '../lib/errors.ts';
import { type Endpoint, formatEndpoint } from '../lib/net-address.ts';
import { VERSION } from '../lib/version.ts';
import { endpointOf } from '../memberlist/node-table.ts';
import { resolveEndpoints } from '../net/resolve.ts';
import type { SandboxAvailability } from '../runtime/command-spec.ts';
import { Gate } from '../runtime/gate.ts';
import { type LoadedHandler, loadHandlers } from '../runtime/handler-folder.ts';
import { NodeAudit } from '../runtime/node-audit.ts';
import { Suspects } from '../runtime/suspects.ts';
import { SyslogCopy } from '../runtime/syslog-copy.ts';
import type { SerfEvent } from '../serf/events.ts';
import type { KeyGuard } from '../serf/key-queries.ts';
import { FANOUT_QUERY } from '../serf/query-book.ts';
import type { SerfConfig } from '../serf/serf-config.ts';
import { encodeTags } from '../serf/tags.ts';
import { ABOUT_QUERY, answerAbout } from './about.ts';
import { CoalescedEvents } from './coalesced-events.ts';
import type { AgentConfig } from './config.ts';
import { EnvelopeShelf } from './envelope-carrier.ts';
import { decodePurpose } from './fanout-stream.ts';
import { Handlers } from './handlers.ts';
import { KeyKeeper } from './key-keeper.ts';
import type { Log, LogWatch } from './log.ts';
import { limitFacts, MachineWatch } from './machine.ts';
import { NameConflict } from './name-conflict.ts';
import { PolicyHolder } from './policy-holder.ts';
import { rejoin } from './rejoin.ts';
import { rememberedCommands } from './remembered-commands.ts';
import { Responder } from './responder.ts';
import { Runs } from './runs.ts';
import { serfConfig } from './serf-config.ts';
import { SerfDriver } from './serf-driver.ts';
import { SnapshotFile } from './snapshot-file.ts';
import { writeTagsFile } from './tags-file.ts';

/** Requests that are named when an agent died. */
const RUNNING_TOLD_MAX = 100;

/** One agent: a Serf member with a query-handler runtime, and the hub for the operators on its machine. */
export class Agent {
  readonly config: AgentConfig;
  readonly log: Log;
  readonly logWatch: LogWatch;
  readonly driver: SerfDriver;
  readonly runs: Runs;
  readonly policies: PolicyHolder;
  readonly nodeKey: NodeKey;
  readonly keys: KeyKeeper;
  readonly handlers: Handlers;
  /** What handlers and Serf's own tools hear of. */
  readonly coalesced: CoalescedEvents;
  private readonly machine: MachineWatch;
  private readonly suspects: Suspects;
  /** Resolves when the agent has left the cluster. */
  readonly gone: Promise<void>;
  private readonly responder: Responder;
  private readonly shelf: EnvelopeShelf;
  private readonly audit: AuditLog;
  private readonly snapshot: SnapshotFile | undefined;
  private readonly nameConflict = new NameConflict(this);
  private readonly listeners = new Set<(event: SerfEvent) => void>();
  private readonly copy: SyslogCopy | undefined;
  private readonly records: NodeAudit;
  private readonly closers: (() => Promise<void>)[] = [];
  private stopped = false;
  private markGone: () => void = () => {};

  private constructor(parts: {
    config: AgentConfig;
    log: Log;
    logWatch: LogWatch;
    driver: SerfDriver;
    policies: PolicyHolder;
    nodeKey: NodeKey;
    audit: AuditLog;
    copy: SyslogCopy | undefined;
    machine: MachineWatch;
    suspects: Suspects;
    loaded: ReadonlyMap<string, LoadedHandler>;
    snapshot: SnapshotFile | undefined;
  }) {
    const { config, log, logWatch, driver, policies, nodeKey, audit, copy, machine, suspects } = parts;
    const { snapshot } = parts;
    this.snapshot = snapshot;
    for (const member of driver.serf.members.all()) snapshot?.alive(member);
    this.config = config;
    this.log = log;
    this.logWatch = logWatch;
    this.driver = driver;
    this.policies = policies;
    this.nodeKey = nodeKey;
    this.audit = audit;
    this.copy = copy;
    this.machine = machine;
    this.suspects = suspects;
    this.gone = new Promise((resolve) => {
      this.markGone = resolve;
    });
    const unixMs = (): number => Date.now();
    const { auditOnFailure: onFailure } = config;
    this.records = new NodeAudit({ log: audit, onFailure, unixMs, warn: (text) => log.warn(text) });
    this.tellLastEnd();
    const replay = rememberedCommands(audit, policies, unixMs());
    const gate = new Gate({
      nodeName: config.node,
      policy: () => policies.current,
      tags: () => driver.serf.localTags,
      replay,
      unixMs,
      lastRecordUnixMs: () => audit.lastUnixMs,
    });
    this.keys = new KeyKeeper({
      settings: config.serf,
      gate,
      policy: () => policies.current,
      records: this.records,
      log,
    });
    this.shelf = new EnvelopeShelf();
    this.runs = new Runs(driver, this.shelf);
    this.handlers = new Handlers({ ...parts, abilities: () => machine.abilities, records: this.records });
    this.coalesced = new CoalescedEvents(driver);
    this.coalesced.on((event) => this.handlers.event(event));
    this.responder = new Responder({
      driver,
      gate,
      abilities: () => machine.abilities,
      suspectSince: (rule, argv) => suspects.since(rule, argv),
      hidePaths: [config.dataDir],
      offers: (admission) => this.handlers.offers(admission),
      context: {
        nodeName: config.node,
        nodeKey,
        audit: this.records,
        unixMs,
        randomBytes: (length) => randomBytes(length),
      },
      log,
    });
  }

  /** Starts everything but the control socket. Throws FanoutError when something that was asked for cannot be had. */
  static async start(config: AgentConfig, log: Log, logWatch: LogWatch): Promise<Agent> {
    const policies = new PolicyHolder(config.policyFile, config.environment);
    const { folder } = config.handlers;
    const loaded = folder === undefined ? new Map() : loadHandlers(folder);
    mkdirSync(config.dataDir, { recursive: true, mode: 0o700 });
    const nodeKey = loadOrCreateNodeKey(config.dataDir);
    const copy = config.auditSyslog ? SyslogCopy.start({ warn: (text) => log.warn(text) }) : undefined;
    try {
      const audit = AuditLog.open(joinPath(config.dataDir, 'audit.jsonl'), {
        unixMs: () => Date.now(),
        copy: (line) => copy?.send(line),
      });
      const machine = await MachineWatch.start([config.dataDir], log);
      const { dataDir, forgive } = config;
      const suspects = Suspects.open({ dataDir, audit, unixMs: () => Date.now(), forgive });
      let agent: Agent | undefined;
      const snapshot = openSnapshot(config, log, () => agent?.driver.serf.memberTime ?? 0);
      const keyGuard: KeyGuard = {
        permit: (change) => (agent === undefined ? 'this agent is starting' : agent.keys.permit(change)),
        changed: (keyring) => agent?.keys.changed(keyring),
      };
      const local = { keyGuard, ...(snapshot === undefined ? {} : { restored: snapshot.content }) };
      const configure = (port: number): SerfConfig => ({ ...serfConfig(config, port), ...local });
      // That we have joined ourselves is news for a handler too.
      const early: SerfEvent[] = [];
      const driver = await SerfDriver.start(config.bind, configure, {
        event: (event) => (agent === undefined ? early.push(event) : agent.event(event)),
        fanoutStream: (body, socket, rest) => agent?.fanoutStream(body, socket, rest),
      });
      agent = new Agent({
        config,
        log,
        logWatch,
        driver,
        policies,
        nodeKey,
        audit,
        copy,
        machine,
        suspects,
        loaded,
        snapshot,
      });
      for (const event of early) agent.event(event);
      if (snapshot !== undefined) void rejoin(agent, snapshot.content.alive);
      return agent;
    } catch (error) {
      await copy?.close();
      throw error;
    }
  }

  /** What this machine can do, as it was last found out. */
  get sandboxes(): readonly SandboxAvailability[] {
    return this.machine.abilities.sandboxes;
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
        failures.push(error instanceof Error ? error.message : String(error));
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

  /**
   * Reads the policy and the handlers again, and looks again at what the machine can do. What is bad is reported, and the
   * old stays in force.
   */
  reloadPolicy(): void {
    this.handlers.reload();
    void this.machine.refresh();
    try {
      this.policies.reload();
      this.log.info(`policy reloaded: ${this.policies.current?.hash.slice(0, 12) ?? 'none'}`);
    } catch (error) {
      if (!(error instanceof FanoutError)) throw error;
      this.log.error(`the policy was not reloaded, the old one stays in force: ${error.message}`);
    }
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
    this.machine.stop();
    this.runs.endAll();
    this.coalesced.stop();
    await this.handlers.stop();
    await this.responder.stop();
    await this.driver.close();
    this.snapshot?.close();
    this.records.close();
    this.audit.close();
    const problem = this.suspects.close();
    if (problem !== '') this.log.warn(problem);
    await this.copy?.close();
  }

  /** What `info` shows, as Serf's stats: sections of texts. */
  stats(): Record<string, Record<string, string>> {
    const { serf } = this.driver;
    return {
      agent: { name: this.config.node, version: VERSION },
      event_handlers: this.handlers.stats(),
      counters: Object.fromEntries(
        serf.memberlist.counters.entries().map(([name, count]) => [name, String(count)]),
      ),
      runtime: {
        arch: process.arch,
        host: hostname(),
        os: process.platform,
        version: process.version,
        memory_bytes: String(process.memoryUsage.rss()),
        udp_receive_buffer: String(this.driver.transport.receiveBufferBytes),
      },
      limits: limitFacts(this.machine.abilities),
      serf: serf.stats(),
      tags: Object.fromEntries(serf.localTags),
    };
  }

  /** How the agent before this one ended, where somebody should know. */
  private tellLastEnd(): void {
    const { lastEnd, size } = this.suspects;
    const { running, wasClean, problem } = lastEnd;
    if (problem !== '') this.log.warn(`should this agent die, nobody will know what of: ${problem}`);
    if (!wasClean) this.records.note({ event: 'agent-died', running: running.slice(0, RUNNING_TOLD_MAX) });
    if (running.length > 0) {
      this.log.warn(
        `the agent before this one died while it ran: ${running.slice(0, RUNNING_TOLD_MAX).join(', ')}`,
      );
    }
    if (size > 0)
      this.log.warn(`commands are refused because an agent died while it ran them (${size}): --forgive`);
  }

  private joinOne(to: Endpoint, replays: boolean): Promise<string | undefined> {
    return new Promise((resolve) => {
      this.driver.act((serf, now) => serf.join(now, to, resolve, { replays }));
    });
  }

  private event(event: SerfEvent): void {
    this.snapshot?.event(event);
    this.runs.event(event);
    if (event.kind === 'query' && event.query.name === FANOUT_QUERY) {
      void this.responder.query(event.query, event.from);
      return;
    }
    // It is between agents, and no operator's to answer.
    if (event.kind === 'query' && event.query.name === ABOUT_QUERY) return answerAbout(this, event.query);
    this.report(event);
    this.coalesced.event(event);
    for (const listener of this.listeners) listener(event);
  }

  private report(event: SerfEvent): void {
    if (event.kind === 'left') this.markGone();
    if (event.kind === 'member') {
      this.log.info(`${event.event}: ${event.member.name} ${formatEndpoint(endpointOf(event.member))}`);
    }
    if (event.kind === 'conflict') this.nameConflict.settle(event, () => this.markGone());
  }

  private fanoutStream(body: Uint8Array, socket: Socket, rest: Uint8Array): void {
    try {
      const purpose = decodePurpose(body);
      if (purpose.op === 'answer') this.runs.answer(purpose.run, purpose.node, socket, rest);
      else if (purpose.op === 'collect') this.responder.collect(purpose.run, socket, rest);
      else this.shelf.serve(purpose.hash, socket);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.driver.serf.memberlist.counters.count(`fanout-stream-${error.reason}`);
      socket.destroy();
    }
  }
}

function openSnapshot(config: AgentConfig, log: Log, memberClock: () => number): SnapshotFile | undefined {
  const { snapshotFile, rejoinAfterLeave: rejoins } = config.serf;
  return snapshotFile === undefined
    ? undefined
    : SnapshotFile.open(snapshotFile, { rejoins, log, memberClock });
}
