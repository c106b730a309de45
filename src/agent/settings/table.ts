/**
 * Every setting of an agent, once: its key in a configuration file, its flag, and what it means. The flags of `fanout
 * agent`, the check that the schema knows every key, and the tables of docs/agent.md are made of this.
 */

/** How a flag gives the value: `switch` takes none, `off` switches something off, `list` and `map` may repeat. */
type SettingKind = 'text' | 'count' | 'switch' | 'off' | 'list' | 'map';

export interface Setting {
  readonly kind: SettingKind;
  /** As commander takes it; absent: in a file only. */
  readonly flag?: string;
  readonly about: string;
  /** What holds when nobody says otherwise, for people. */
  readonly default?: string;
  /** Whether Serf's agent has this key. */
  readonly isSerf?: true;
  /** Whether SIGHUP puts a new value into force. */
  readonly reloads?: true;
  /** Never shown, nor taken from a file that others can read without a warning. */
  readonly isSecret?: true;
}

const serf = { isSerf: true } as const;

const SETTINGS = {
  node_name: {
    ...serf,
    kind: 'text',
    flag: '--node <name>',
    about: 'the name of this node, unique in the cluster',
    default: 'the host name',
  },
  tags: {
    ...serf,
    kind: 'map',
    flag: '--tag <name=value>',
    about: 'a tag of this node (repeat)',
    reloads: true,
  },
  role: {
    ...serf,
    kind: 'text',
    flag: '--role <role>',
    about: 'the tag "role" (older way to write it)',
    reloads: true,
  },
  tags_file: {
    ...serf,
    kind: 'text',
    flag: '--tags-file <file>',
    about: 'keep tags in this file (0600) when they are changed, and start with them; excludes other tags',
  },
  bind: {
    ...serf,
    kind: 'text',
    flag: '--bind <host:port>',
    about: 'the address to gossip on',
    default: '0.0.0.0:7946',
  },
  interface: {
    ...serf,
    kind: 'text',
    flag: '--iface <name>',
    about: 'the network interface to gossip on, and to discover on; with --bind: it must have that address',
  },
  advertise: {
    ...serf,
    kind: 'text',
    flag: '--advertise <host:port>',
    about: 'the address that the others should use, if it is another one',
  },
  encrypt_key: {
    ...serf,
    kind: 'text',
    flag: '--encrypt <key>',
    about: 'the cluster key, base64 of 16, 24 or 32 bytes (see "fanout keygen")',
    isSecret: true,
  },
  encrypt_file: {
    kind: 'text',
    flag: '--encrypt-file <file>',
    about: 'a file (0600) that holds the cluster key, so that it shows in no process list',
  },
  keyring_file: {
    ...serf,
    kind: 'text',
    flag: '--keyring-file <file>',
    about: 'a file (0600) of all cluster keys in use, the first one primary; excludes --encrypt',
  },
  key_changes: {
    kind: 'text',
    flag: '--key-changes <who>',
    about:
      'who may change the cluster keys here: any (member), or operators whom the policy allows fanout-keys',
    default: 'operators with a policy, any without one',
  },
  engine: {
    kind: 'text',
    flag: '--engine <engine>',
    about: 'who does the gossip: embedded (this agent), or serf (a real Serf agent, at --rpc-addr)',
    default: 'embedded',
  },
  control_addr: {
    kind: 'text',
    flag: '--control-addr <address>',
    about: 'with --engine serf: where operators talk to this agent',
    default: 'as --rpc-addr otherwise',
  },
  rpc_addr: {
    ...serf,
    kind: 'text',
    flag: '--rpc-addr <address>',
    about:
      'where operators talk to this agent: HOST:PORT or the path of a unix socket; with --engine serf: where the Serf agent listens (127.0.0.1:7373)',
    default: 'a unix socket of the user: /run/fanout/agent.sock for root',
  },
  rpc_auth: {
    ...serf,
    kind: 'text',
    about: 'what a client has to show before the agent listens to it',
    isSecret: true,
  },
  protocol: {
    ...serf,
    kind: 'count',
    flag: '--protocol <n>',
    about: "Serf's protocol: 4 or 5",
    default: '5',
  },
  profile: {
    ...serf,
    kind: 'text',
    flag: '--profile <profile>',
    about: 'timing of the gossip: lan, wan or local',
    default: 'lan',
  },
  environment: { kind: 'text', flag: '--env <name>', about: "the environment; must be the policy's" },
  policy: {
    kind: 'text',
    flag: '--policy <file>',
    about: 'what this node allows, read again at SIGHUP; without one it runs nothing',
  },
  data_dir: {
    kind: 'text',
    flag: '--data-dir <dir>',
    about: 'where the node key and the audit log are kept',
    default: '/var/lib/fanout/NODE for root, else ~/.local/state/fanout/NODE',
  },
  audit_on_failure: {
    kind: 'text',
    flag: '--audit-on-failure <what>',
    about: 'what happens to a command that cannot be recorded: refuse or run',
    default: 'refuse',
  },
  audit_syslog: {
    kind: 'switch',
    flag: '--audit-syslog',
    about: 'copy each audit record to the system log (/dev/log), through logger(1)',
  },
  start_join: {
    ...serf,
    kind: 'list',
    flag: '--join <host:port>',
    about:
      'a member to join through (repeat; also FANOUT_JOIN=a,b); the agent stops when none can be reached',
  },
  retry_join: {
    ...serf,
    kind: 'list',
    flag: '--retry-join <host:port>',
    about: 'a member to join through (repeat), tried again until it can be reached',
  },
  retry_interval: {
    ...serf,
    kind: 'text',
    flag: '--retry-interval <duration>',
    about: 'how long to wait between two tries',
    default: '30s',
  },
  retry_max_attempts: {
    ...serf,
    kind: 'count',
    flag: '--retry-max <n>',
    about: 'stop after so many tries that followed the first; 0: never',
    default: '0',
  },
  discover: {
    ...serf,
    kind: 'text',
    flag: '--discover <cluster>',
    about: 'find the members of the cluster of this name by multicast DNS, and be found',
  },
  'mdns.interface': {
    ...serf,
    kind: 'text',
    flag: '--mdns-iface <name>',
    about: 'the network interface to discover on',
    default: 'as --iface',
  },
  'mdns.disable_ipv4': {
    ...serf,
    kind: 'switch',
    flag: '--mdns-disable-ipv4',
    about: 'discover by IPv6 alone',
  },
  'mdns.disable_ipv6': {
    ...serf,
    kind: 'switch',
    flag: '--mdns-disable-ipv6',
    about: 'discover by IPv4 alone',
  },
  snapshot_path: {
    ...serf,
    kind: 'text',
    flag: '--snapshot <file>',
    about: 'keep what is known of the cluster in this file, and join again with it after a restart',
  },
  rejoin_after_leave: {
    ...serf,
    kind: 'switch',
    flag: '--rejoin',
    about: 'join again by the snapshot also after a leave',
  },
  replay_on_join: {
    ...serf,
    kind: 'switch',
    flag: '--replay',
    about: 'take user events of before the join',
  },
  event_handlers: {
    ...serf,
    kind: 'list',
    flag: '--event-handler <[filter=]script>',
    about:
      'a shell line for events, as Serf (repeat): member-join,member-leave=..., user:deploy=..., query:load=uptime',
    reloads: true,
  },
  handler_timeout: {
    kind: 'text',
    flag: '--handler-timeout <duration>',
    about: 'kill a script, and what it started, after this time',
    default: '5m',
  },
  allow_unsigned_queries: {
    kind: 'switch',
    flag: '--allow-unsigned-queries',
    about: "without a policy: answer anybody's queries, as Serf does",
  },
  allow_shell_handler: {
    kind: 'switch',
    flag: '--allow-shell-handler',
    about: 'take a script that is a shell, which makes everybody root here',
  },
  handlers: {
    kind: 'text',
    flag: '--handlers <dir>',
    about: 'handlers with manifests, for signed commands (see "fanout handlers")',
  },
  leave_on_terminate: {
    ...serf,
    kind: 'switch',
    flag: '--leave-on-terminate',
    about: 'SIGTERM leaves the cluster, as SIGINT does',
    reloads: true,
  },
  skip_leave_on_interrupt: {
    ...serf,
    kind: 'switch',
    flag: '--skip-leave-on-interrupt',
    about: 'SIGINT stops at once, without leaving the cluster',
    reloads: true,
  },
  log_level: {
    ...serf,
    kind: 'text',
    flag: '--log-level <level>',
    about: 'how much to say: trace, debug, info, warn or err',
    default: 'info',
    reloads: true,
  },
  log_format: {
    kind: 'text',
    flag: '--log-format <format>',
    about: 'how to say it: text (as Serf) or json, an object a line',
    default: 'text',
  },
  enable_syslog: { ...serf, kind: 'switch', flag: '--syslog', about: 'say it to the system log as well' },
  syslog_facility: {
    ...serf,
    kind: 'text',
    flag: '--syslog-facility <name>',
    about: 'as what the system log knows it',
    default: 'LOCAL0',
  },
  enable_compression: {
    ...serf,
    kind: 'off',
    flag: '--disable-compression',
    about: 'do not compress what is told to the others (in a file: enable_compression: false)',
  },
  broadcast_timeout: {
    ...serf,
    kind: 'text',
    flag: '--broadcast-timeout <duration>',
    about: 'how long a leave waits for what it has to tell to be told',
    default: '5s',
  },
  reconnect_interval: {
    ...serf,
    kind: 'text',
    about: 'how often a failed member is tried to be reached again',
    default: '30s',
  },
  reconnect_timeout: {
    ...serf,
    kind: 'text',
    about: 'how long a failed member is kept',
    default: '24h',
  },
  tombstone_timeout: {
    ...serf,
    kind: 'text',
    about: 'how long a member that has left is kept',
    default: '24h',
  },
  disable_coordinates: { ...serf, kind: 'switch', about: 'without network coordinates' },
  disable_name_resolution: {
    ...serf,
    kind: 'switch',
    about: 'no vote about who has to go when two members have one name',
  },
  validate_node_names: {
    ...serf,
    kind: 'switch',
    about: 'the name of this node must be of letters, digits, dots and dashes',
  },
} as const satisfies Readonly<Record<string, Setting>>;

export type SettingKey = keyof typeof SETTINGS;

/** The settings with their keys, in the order of the manual. */
export function settingRows(): readonly (Setting & { readonly key: SettingKey })[] {
  const rows: (Setting & { readonly key: SettingKey })[] = [];
  for (const key of Object.keys(SETTINGS)) {
    if (isSettingKey(key)) rows.push({ key, ...SETTINGS[key] });
  }
  return rows;
}

function isSettingKey(key: string): key is SettingKey {
  return Object.hasOwn(SETTINGS, key);
}

/** Keys of Serf that are taken, because real files have them, and do nothing here; each with what to do instead. */
export const IGNORED = {
  statsite_addr: 'figures are not sent anywhere. "fanout info --format json" has them',
  statsd_addr: 'figures are not sent anywhere. "fanout info --format json" has them',
} as const;

/** Limits of Serf that are the same for everybody here, in bytes. */
export const FIXED = {
  query_size_limit: 1024,
  query_response_size_limit: 1024,
  user_event_size_limit: 512,
} as const;

/** Keys that are none here, but that somebody may mean; each with the way out. */
export const UNSUPPORTED: Readonly<Record<string, string>> = {
  msgpack_use_new_time_format:
    'Remove it: nothing that fanout sends has a time, so both kinds of agents understand it.',
  node: 'Write node_name.',
  name: 'Write node_name.',
  join: 'Write start_join (stops when nobody can be reached), or retry_join.',
  tag: 'Write tags: { name: value }.',
  encrypt: 'Write encrypt_key, or encrypt_file with the path of a file that holds it.',
  iface: 'Write interface.',
  syslog: 'Write enable_syslog.',
  snapshot: 'Write snapshot_path.',
  replay: 'Write replay_on_join.',
  rejoin: 'Write rejoin_after_leave.',
  event_handler: 'Write event_handlers: [ ... ].',
  retry_max: 'Write retry_max_attempts.',
  env: 'Write environment.',
  disable_compression: 'Write enable_compression: false.',
  config_file: 'A configuration file cannot name others: give them all with --config-file or --config-dir.',
};
