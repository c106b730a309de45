import { readSecretFile } from '../../identity/secret-file.ts';
import { utf8Text } from '../../lib/bytes.ts';
import { FanoutError } from '../../lib/errors.ts';
import type { Millis } from '../../lib/time.ts';
import { LAN_PROFILE, LOCAL_PROFILE, type Profile, WAN_PROFILE } from '../../memberlist/config.ts';
import { parseClusterKey } from '../../memberlist/keyring.ts';
import {
  type ControlAddress,
  defaultControlAddress,
  parseControlAddress,
} from '../../net/control-address.ts';
import { SERF_PROTOCOL, SERF_TIMINGS } from '../../serf/serf-config.ts';
import { encodeTags } from '../../serf/tags.ts';
import type { AgentConfig, DiscoveryConfig } from '../config.ts';
import { readTagsFile } from '../tags-file.ts';
import { resolveAdvertise, resolveBind, resolveTold } from './addresses.ts';
import { handlerSettings } from './handlers.ts';
import type { Said } from './schema.ts';
import { serfSettings } from './serf.ts';

const BIND = '0.0.0.0:7946';
/** The Serf agent beside us has that port. */
const ATTACHED_BIND = '0.0.0.0:7947';
/** Where Serf's agents listen for their command line. */
const SERF_RPC = '127.0.0.1:7373';
/** What only whoever gossips can do. */
const GOSSIP_KEYS = [
  'start_join',
  'retry_join',
  'discover',
  'snapshot_path',
  'tags_file',
  'profile',
  'protocol',
  'key_changes',
] as const;
const RETRY_INTERVAL_MS: Millis = 30_000;
/** Serf's own choice. */
const SYSLOG_FACILITY = 'local0';
/** Serf's rule for names (validate_node_names). */
const STRICT_NAME = /^[A-Za-z0-9.-]{1,128}$/;
const PROFILES: Readonly<Record<'lan' | 'wan' | 'local', Profile>> = {
  lan: LAN_PROFILE,
  wan: WAN_PROFILE,
  local: LOCAL_PROFILE,
};

/** What holds when nobody says otherwise, and depends on the machine. */
export interface MachineDefaults {
  readonly hostName: string;
  readonly dataDir: (node: string) => string;
  /** Asked for at this start alone, so it is no setting. */
  readonly forgive: boolean;
}

/** Makes everything an agent needs of what was said. Looks names up and reads key and tags files. Throws FanoutError. */
export async function resolveConfig(said: Said, machine: MachineDefaults): Promise<AgentConfig> {
  const node = nodeName(said, machine.hostName);
  const isAttached = said.engine === 'serf';
  const bind = await resolveBind(said.bind ?? (isAttached ? ATTACHED_BIND : BIND), said.interface);
  return {
    node,
    bind,
    advertise: isAttached
      ? await resolveTold(said.advertise, bind)
      : await resolveAdvertise(said.advertise, bind),
    ...addressesOf(said),
    encryptKey: clusterKey(said),
    tags: startTags(said),
    tagsFile: said.tags_file,
    protocol: said.protocol ?? SERF_PROTOCOL,
    profile: PROFILES[said.profile ?? 'lan'],
    compression: said.enable_compression ?? true,
    timings: {
      reconnectIntervalMs: said.reconnect_interval ?? SERF_TIMINGS.reconnectIntervalMs,
      reconnectTimeoutMs: said.reconnect_timeout ?? SERF_TIMINGS.reconnectTimeoutMs,
      tombstoneTimeoutMs: said.tombstone_timeout ?? SERF_TIMINGS.tombstoneTimeoutMs,
      broadcastTimeoutMs: said.broadcast_timeout ?? SERF_TIMINGS.broadcastTimeoutMs,
    },
    environment: said.environment,
    policyFile: said.policy,
    dataDir: said.data_dir ?? machine.dataDir(node),
    auditOnFailure: said.audit_on_failure ?? 'refuse',
    auditSyslog: said.audit_syslog ?? false,
    join: said.start_join ?? [],
    retryJoin: {
      addresses: said.retry_join ?? [],
      intervalMs: said.retry_interval ?? RETRY_INTERVAL_MS,
      maxAttempts: said.retry_max_attempts ?? 0,
    },
    discovery: discovery(said),
    log: {
      level: said.log_level ?? 'info',
      format: said.log_format ?? 'text',
      syslogFacility: said.enable_syslog === true ? (said.syslog_facility ?? SYSLOG_FACILITY) : undefined,
    },
    signals: {
      leaveOnTerminate: said.leave_on_terminate ?? false,
      skipLeaveOnInterrupt: said.skip_leave_on_interrupt ?? false,
    },
    forgive: machine.forgive,
    handlers: handlerSettings(said),
    serf: serfSettings(said),
  };
}

/** Where operators find the agent and, where there is one, where the agent finds the Serf agent. */
function addressesOf(said: Said): Pick<AgentConfig, 'control' | 'attachTo'> {
  const own = (text: string | undefined): ControlAddress =>
    text === undefined ? defaultControlAddress() : parseControlAddress(text);
  if (said.engine === 'serf') {
    return { control: own(said.control_addr), attachTo: serfAddress(said) };
  }
  if (said.control_addr === undefined) return { control: own(said.rpc_addr), attachTo: undefined };
  throw new FanoutError('CONFIG', 'control_addr (--control-addr) is for engine: serf alone', {
    hint: 'Write rpc_addr (--rpc-addr).',
  });
}

/** Where the Serf agent beside us listens. Throws FanoutError, also when it was told here what is to be told to that one. */
export function serfAddress(said: Said): ControlAddress {
  refuseGossip(said);
  return parseControlAddress(said.rpc_addr ?? SERF_RPC);
}

/** An empty list says nothing. */
function isSaid(value: unknown): boolean {
  return Array.isArray(value) ? value.length > 0 : value !== undefined;
}

function refuseGossip(said: Said): void {
  const key = GOSSIP_KEYS.find((name) => isSaid(said[name]));
  if (key === undefined) return;
  throw new FanoutError('CONFIG', `${key} is not for engine: serf, where the Serf agent does the gossip`, {
    hint: 'Tell it to the Serf agent, and leave it out here.',
  });
}

function nodeName(said: Said, hostName: string): string {
  const node = said.node_name ?? hostName;
  if (said.validate_node_names !== true || STRICT_NAME.test(node)) return node;
  throw new FanoutError(
    'CONFIG',
    `the name of this node, ${JSON.stringify(node)}, is not of letters, digits, dots and dashes`,
    {
      hint: 'Give it another with --node, or leave validate_node_names out.',
    },
  );
}

function clusterKey(said: Said): string | undefined {
  const { encrypt_key: told, encrypt_file: file } = said;
  if (told !== undefined && file !== undefined)
    throw excluded('encrypt_key (--encrypt)', 'encrypt_file (--encrypt-file)');
  if (said.keyring_file !== undefined && (told ?? file) !== undefined) {
    throw excluded('keyring_file (--keyring-file)', 'a cluster key of its own (--encrypt, --encrypt-file)');
  }
  const key = file === undefined ? told : (utf8Text(readSecretFile(file))?.trim() ?? '');
  // Here rather than when the sockets are open: it is a part of the configuration.
  if (key !== undefined) parseClusterKey(key);
  return key;
}

/** Tags as they were said; `role` is one of them. Throws FanoutError CONFIG when they are too long. */
export function saidTags(said: Said): Map<string, string> {
  const tags = new Map(Object.entries(said.tags ?? {}));
  if (said.role !== undefined) tags.set('role', said.role);
  encodeTags(tags);
  return tags;
}

function startTags(said: Said): ReadonlyMap<string, string> {
  const tags = saidTags(said);
  if (said.tags_file === undefined) return tags;
  if (tags.size > 0) throw excluded('tags_file (--tags-file)', 'tags (--tag, --role)');
  const kept = readTagsFile(said.tags_file);
  encodeTags(kept);
  return kept;
}

function discovery(said: Said): DiscoveryConfig | undefined {
  const { discover: cluster, mdns = {} } = said;
  if (cluster === undefined) return undefined;
  const { disable_ipv4: noV4 = false, disable_ipv6: noV6 = false } = mdns;
  if (noV4 && noV6) throw excluded('mdns.disable_ipv4', 'mdns.disable_ipv6');
  return { cluster, interface: mdns.interface ?? said.interface, ipv4: !noV4, ipv6: !noV6 };
}

function excluded(a: string, b: string): FanoutError {
  return new FanoutError('CONFIG', `${a} and ${b} exclude each other`, { hint: 'Leave one of them out.' });
}
