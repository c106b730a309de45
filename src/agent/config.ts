import type { Endpoint } from '../lib/net-address.ts';
import type { Millis } from '../lib/time.ts';
import type { Profile } from '../memberlist/config.ts';
import type { ControlAddress } from '../net/control-address.ts';
import type { HandlerLine } from '../runtime/handler-line.ts';
import type { OnAuditFailure } from '../runtime/node-audit.ts';
import type { SerfTimings } from '../serf/serf-config.ts';
import type { LogFormat, LogLevel } from './log.ts';
import type { SerfSettings } from './serf-settings.ts';

/** Everything an agent needs to know to start. `settings/resolve.ts` makes one from files and flags. */
export interface AgentConfig {
  readonly node: string;
  /** What to bind; port 0 picks a free one. */
  readonly bind: Endpoint;
  /** What to tell the others, when it differs from the bound address. */
  readonly advertise: Endpoint | undefined;
  readonly control: ControlAddress;
  /** The RPC address of the real Serf agent that does the gossip; absent: the embedded core does. */
  readonly attachTo: ControlAddress | undefined;
  /** Base64 of the cluster key; absent: gossip in clear. */
  readonly encryptKey: string | undefined;
  /** Those of the tags file included. */
  readonly tags: ReadonlyMap<string, string>;
  /** Where changed tags are kept. */
  readonly tagsFile: string | undefined;
  /** Serf's protocol, 4 or 5. */
  readonly protocol: number;
  readonly profile: Profile;
  readonly compression: boolean;
  readonly timings: SerfTimings;
  /** Absent with a policy: the policy's. */
  readonly environment: string | undefined;
  /** Absent: this agent is a member that runs nothing. */
  readonly policyFile: string | undefined;
  readonly dataDir: string;
  /** What happens to a command that cannot be recorded. */
  readonly auditOnFailure: OnAuditFailure;
  /** Whether the system log gets a copy of each audit record. */
  readonly auditSyslog: boolean;
  /** Joined through at the start, or the agent stops. */
  readonly join: readonly string[];
  /** Whether commands may run again that ran when an agent died. */
  readonly forgive: boolean;
  readonly handlers: HandlerSettings;
  readonly retryJoin: RetryJoinConfig;
  readonly discovery: DiscoveryConfig | undefined;
  readonly log: LogConfig;
  readonly signals: SignalConfig;
  readonly serf: SerfSettings;
}

export interface RetryJoinConfig {
  readonly addresses: readonly string[];
  readonly intervalMs: Millis;
  /** Tries after the first one; 0: without end. */
  readonly maxAttempts: number;
}

/** Multicast DNS. */
export interface DiscoveryConfig {
  readonly cluster: string;
  /** Absent: the system's choice. */
  readonly interface: string | undefined;
  readonly ipv4: boolean;
  readonly ipv6: boolean;
}

interface LogConfig {
  readonly level: LogLevel;
  readonly format: LogFormat;
  /** Absent: not to the system log. */
  readonly syslogFacility: string | undefined;
}

export interface SignalConfig {
  readonly leaveOnTerminate: boolean;
  readonly skipLeaveOnInterrupt: boolean;
}

/** What an agent runs for events and queries, and for signed commands that name a handler. */
export interface HandlerSettings {
  /** Of `--event-handler`, as they were written. */
  readonly texts: readonly string[];
  readonly lines: readonly HandlerLine[];
  /** What is to be said about them at the start. */
  readonly warnings: readonly string[];
  /** A folder of handlers with manifests. */
  readonly folder: string | undefined;
  /** How long one script may take. */
  readonly timeoutMs: Millis;
  /** Without a policy: answer everybody's queries, as Serf does. */
  readonly allowUnsignedQueries: boolean;
}
