import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join as joinPath } from 'node:path';
import { AuditLog } from '../identity/audit.ts';
import { loadOrCreateNodeKey, type NodeKey } from '../identity/node-key.ts';
import { EMPTY } from '../lib/bytes.ts';
import { DecodeError, FanoutError } from '../lib/errors.ts';
import type { SandboxAvailability } from '../runtime/command-spec.ts';
import { Gate } from '../runtime/gate.ts';
import type { Abilities } from '../runtime/ground.ts';
import { type LoadedHandler, loadHandlers } from '../runtime/handler-folder.ts';
import { NodeAudit } from '../runtime/node-audit.ts';
import { killOrphans, ownerOf } from '../runtime/orphans.ts';
import { Suspects } from '../runtime/suspects.ts';
import { SyslogCopy } from '../runtime/syslog-copy.ts';
import type { SerfEvent } from '../serf/events.ts';
import { FANOUT_QUERY } from '../serf/query-book.ts';
import { ABOUT_QUERY, answerAbout } from './about.ts';
import { CoalescedEvents } from './coalesced-events.ts';
import type { AgentConfig } from './config.ts';
import type { Engine } from './engine.ts';
import { EnvelopeShelf } from './envelope-carrier.ts';
import { decodePurpose } from './fanout-stream.ts';
import { Handlers } from './handlers.ts';
import type { Log } from './log.ts';
import { limitFacts, MachineWatch } from './machine.ts';
import { PolicyHolder } from './policy-holder.ts';
import { rememberedCommands } from './remembered-commands.ts';
import { Responder } from './responder.ts';
import { Runs } from './runs.ts';

/** Requests that are named when an agent died. */
const RUNNING_TOLD_MAX = 100;

/** What has to be there before an agent shows itself to a cluster. */
export interface HostGround {
  readonly config: AgentConfig;
  readonly log: Log;
  readonly policies: PolicyHolder;
  readonly nodeKey: NodeKey;
  /** This agent, in the markers of its commands. */
  readonly owner: string;
  readonly audit: AuditLog;
  readonly copy: SyslogCopy | undefined;
  readonly machine: MachineWatch;
  readonly suspects: Suspects;
  readonly loaded: ReadonlyMap<string, LoadedHandler>;
}

/** Reads and opens everything on this machine that an agent needs. Throws FanoutError, and leaves nothing open then. */
export async function openGround(config: AgentConfig, log: Log): Promise<HostGround> {
  const policies = new PolicyHolder(config.policyFile, config.environment);
  const { folder } = config.handlers;
  const loaded = folder === undefined ? new Map() : loadHandlers(folder);
  mkdirSync(config.dataDir, { recursive: true, mode: 0o700 });
  const nodeKey = loadOrCreateNodeKey(config.dataDir);
  const orphans = killOrphans(nodeKey.identity);
  if (orphans > 0)
    log.warn(
      `an agent before this one died, and its commands had left processes, which are killed: ${orphans}`,
    );
  const owner = ownerOf(nodeKey.identity);
  const copy = config.auditSyslog ? SyslogCopy.start({ warn: (text) => log.warn(text) }) : undefined;
  try {
    const audit = AuditLog.open(joinPath(config.dataDir, 'audit.jsonl'), {
      unixMs: () => Date.now(),
      copy: (line) => copy?.send(line),
    });
    const machine = await MachineWatch.start([config.dataDir], log, config.policyFile !== undefined);
    const { dataDir, forgive } = config;
    const suspects = Suspects.open({ dataDir, audit, unixMs: () => Date.now(), forgive });
    return { config, log, policies, nodeKey, owner, audit, copy, machine, suspects, loaded };
  } catch (error) {
    await copy?.close();
    throw error;
  }
}

/** What makes a member of a cluster a fanout agent: it sends signed commands, and carries out those its policy allows. */
export class Host {
  readonly config: AgentConfig;
  readonly log: Log;
  readonly engine: Engine;
  readonly policies: PolicyHolder;
  readonly nodeKey: NodeKey;
  readonly gate: Gate;
  readonly records: NodeAudit;
  readonly runs: Runs;
  readonly handlers: Handlers;
  /** What handlers and Serf's own tools hear of. */
  readonly coalesced: CoalescedEvents;
  private readonly ground: HostGround;
  private readonly responder: Responder;
  private readonly shelf = new EnvelopeShelf();

  constructor(ground: HostGround, engine: Engine) {
    const { config, log, policies, nodeKey, owner, audit, machine, suspects } = ground;
    this.ground = ground;
    this.config = config;
    this.log = log;
    this.engine = engine;
    this.policies = policies;
    this.nodeKey = nodeKey;
    const unixMs = (): number => Date.now();
    const { auditOnFailure: onFailure } = config;
    this.records = new NodeAudit({ log: audit, onFailure, unixMs, warn: (text) => log.warn(text) });
    this.tellLastEnd();
    this.gate = new Gate({
      nodeName: config.node,
      policy: () => policies.current,
      tags: () => engine.localTags,
      replay: rememberedCommands(audit, policies, unixMs()),
      unixMs,
      lastRecordUnixMs: () => audit.lastUnixMs,
    });
    this.runs = new Runs(engine, config.node, this.shelf);
    const abilities = (): Abilities => machine.abilities;
    this.handlers = new Handlers({ ...ground, engine, abilities, records: this.records });
    this.coalesced = new CoalescedEvents(engine);
    this.coalesced.on((event) => this.handlers.event(event));
    this.responder = new Responder({
      engine,
      gate: this.gate,
      abilities,
      suspectSince: (rule, argv) => suspects.since(rule, argv),
      hidePaths: [config.dataDir],
      offers: (admission) => this.handlers.offers(admission),
      context: {
        nodeName: config.node,
        nodeKey,
        owner,
        audit: this.records,
        unixMs,
        randomBytes: (length) => randomBytes(length),
      },
      log,
    });
  }

  /** What this machine can do, as it was last found out. */
  get sandboxes(): readonly SandboxAvailability[] {
    return this.ground.machine.abilities.sandboxes;
  }

  /** Takes an event; true when it was between agents and is nobody else's to hear of. */
  event(event: SerfEvent): boolean {
    this.runs.event(event);
    if (event.kind === 'query' && event.query.name === FANOUT_QUERY) {
      void this.responder.query(event.query.payload ?? EMPTY, event.from);
      return true;
    }
    if (event.kind === 'query' && event.query.name === ABOUT_QUERY) {
      answerAbout(this, event.query);
      return true;
    }
    this.coalesced.event(event);
    return false;
  }

  /** A peer opened one of fanout's own streams. */
  stream(body: Uint8Array, socket: Socket, rest: Uint8Array): void {
    try {
      const purpose = decodePurpose(body);
      if (purpose.op === 'answer') this.runs.answer(purpose.run, purpose.node, socket, rest);
      else if (purpose.op === 'collect') this.responder.collect(purpose.run, socket, rest);
      else this.shelf.serve(purpose.hash, socket);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.engine.count(`fanout-stream-${error.reason}`);
      socket.destroy();
    }
  }

  /**
   * Reads the policy and the handlers again, and looks again at what the machine can do. What is bad is reported, and the
   * old stays in force.
   */
  reload(): void {
    this.handlers.reload();
    void this.ground.machine.refresh();
    try {
      this.policies.reload();
      this.log.info(`policy reloaded: ${this.policies.current?.hash.slice(0, 12) ?? 'none'}`);
    } catch (error) {
      if (!(error instanceof FanoutError)) throw error;
      this.log.error(`the policy was not reloaded, the old one stays in force: ${error.message}`);
    }
  }

  /** The limits of commands that this machine can enforce, for `info`. */
  limits(): Record<string, string> {
    return limitFacts(this.ground.machine.abilities);
  }

  /** Kills what runs. What it says on the way still needs the engine. */
  async stop(): Promise<void> {
    this.ground.machine.stop();
    this.runs.endAll();
    this.coalesced.stop();
    await this.handlers.stop();
    await this.responder.stop();
  }

  /** Closes the records, when nothing runs and nothing comes in any more. */
  async close(): Promise<void> {
    const { audit, suspects, copy } = this.ground;
    this.records.close();
    audit.close();
    const problem = suspects.close();
    if (problem !== '') this.log.warn(problem);
    await copy?.close();
  }

  /** How the agent before this one ended, where somebody should know. */
  private tellLastEnd(): void {
    const { lastEnd, size } = this.ground.suspects;
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
}
