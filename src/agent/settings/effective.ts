import { formatEndpoint } from '../../lib/net-address.ts';
import type { Millis } from '../../lib/time.ts';
import { LOCAL_PROFILE, WAN_PROFILE } from '../../memberlist/config.ts';
import { formatControlAddress } from '../../net/control-address.ts';
import type { AgentConfig } from '../config.ts';

const MASK = '(set, not shown)';

/** The settings in force in the words of a configuration file, defaults included and secrets masked. */
export function effectiveSettings(config: AgentConfig): Record<string, unknown> {
  const { timings, retryJoin, discovery, log, signals, handlers, serf } = config;
  return withoutNothing({
    node_name: config.node,
    tags: config.tagsFile === undefined ? Object.fromEntries(config.tags) : undefined,
    tags_file: config.tagsFile,
    bind: formatEndpoint(config.bind),
    advertise: config.advertise === undefined ? undefined : formatEndpoint(config.advertise),
    encrypt_key: config.encryptKey === undefined ? undefined : MASK,
    engine: config.attachTo === undefined ? 'embedded' : 'serf',
    control_addr: config.attachTo === undefined ? undefined : formatControlAddress(config.control),
    rpc_addr: formatControlAddress(config.attachTo ?? config.control),
    rpc_auth: serf.rpcAuth === undefined ? undefined : MASK,
    protocol: config.protocol,
    profile: profileName(config),
    environment: config.environment,
    policy: config.policyFile,
    data_dir: config.dataDir,
    start_join: config.join,
    retry_join: retryJoin.addresses,
    retry_interval: duration(retryJoin.intervalMs),
    retry_max_attempts: retryJoin.maxAttempts,
    discover: discovery?.cluster,
    mdns:
      discovery === undefined
        ? undefined
        : withoutNothing({
            interface: discovery.interface,
            disable_ipv4: !discovery.ipv4,
            disable_ipv6: !discovery.ipv6,
          }),
    event_handlers: handlers.texts,
    handler_timeout: duration(handlers.timeoutMs),
    allow_unsigned_queries: handlers.allowUnsignedQueries,
    handlers: handlers.folder,
    keyring_file: serf.keyringFile,
    key_changes: serf.keyChanges,
    snapshot_path: serf.snapshotFile,
    rejoin_after_leave: serf.rejoinAfterLeave,
    replay_on_join: serf.replayOnJoin,
    leave_on_terminate: signals.leaveOnTerminate,
    skip_leave_on_interrupt: signals.skipLeaveOnInterrupt,
    log_level: log.level === 'error' ? 'err' : log.level,
    log_format: log.format,
    enable_syslog: log.syslogFacility !== undefined,
    syslog_facility: log.syslogFacility,
    enable_compression: config.compression,
    broadcast_timeout: duration(timings.broadcastTimeoutMs),
    reconnect_interval: duration(timings.reconnectIntervalMs),
    reconnect_timeout: duration(timings.reconnectTimeoutMs),
    tombstone_timeout: duration(timings.tombstoneTimeoutMs),
  });
}

function withoutNothing(settings: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
}

function profileName({ profile }: AgentConfig): string {
  if (profile === WAN_PROFILE) return 'wan';
  return profile === LOCAL_PROFILE ? 'local' : 'lan';
}

/** As the configuration takes it, exactly. */
function duration(ms: Millis): string {
  if (ms % 3_600_000 === 0) return `${ms / 3_600_000}h`;
  return ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`;
}
