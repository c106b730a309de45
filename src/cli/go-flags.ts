/**
 * Serf's flags as Go writes them, `-join=10.0.0.1` or `-join 10.0.0.1`, for the commands that Serf has too. They are
 * turned into ours before anything else reads them, so that old Dockerfiles, units and scripts work as they are.
 *
 * What is ambiguous: `-tag` could be our `-t` with `ag`. A word behind one dash that is the whole name of one of Serf's
 * flags of this command is that flag; everything else is left as it is. As in Go, flags end at the first argument of those
 * commands that take some. `fanout "command"`, which Serf does not have, keeps its short flags to itself.
 */

/** `value` takes one, `switch` none; `on` is a switch that is on unless it is told otherwise; a text is another name here. */
type GoFlag = 'value' | 'switch' | 'on' | { readonly value: string };

// Serf's is the key itself, ours a file that holds it.
const RPC = { 'rpc-addr': 'value', 'rpc-auth': { value: 'rpc-auth-key' } } as const;
const HELP = { help: 'switch', h: 'switch' } as const;

/** The flags of Serf's commands. */
const COMMANDS: Readonly<Record<string, Readonly<Record<string, GoFlag>>>> = {
  agent: {
    bind: 'value',
    iface: 'value',
    advertise: 'value',
    'config-file': 'value',
    'config-dir': 'value',
    discover: 'value',
    'mdns-iface': 'value',
    'mdns-disable-ipv4': 'switch',
    'mdns-disable-ipv6': 'switch',
    encrypt: 'value',
    'keyring-file': 'value',
    'event-handler': 'value',
    join: 'value',
    'log-level': 'value',
    node: 'value',
    profile: 'value',
    protocol: 'value',
    rejoin: 'switch',
    replay: 'switch',
    'retry-join': 'value',
    'retry-interval': 'value',
    'retry-max': 'value',
    'disable-compression': 'switch',
    role: 'value',
    'rpc-addr': 'value',
    snapshot: 'value',
    tag: 'value',
    'tags-file': 'value',
    syslog: 'switch',
    'broadcast-timeout': 'value',
  },
  members: {
    ...RPC,
    detailed: 'switch',
    format: 'value',
    // Serf's are expressions that must match the whole value; ours are patterns of another language.
    name: { value: 'name-expression' },
    role: { value: 'role-expression' },
    status: { value: 'status-expression' },
    tag: { value: 'tag-expression' },
  },
  query: {
    ...RPC,
    format: 'value',
    node: 'value',
    tag: 'value',
    timeout: 'value',
    'no-ack': 'switch',
    'relay-factor': 'value',
  },
  event: { ...RPC, coalesce: 'on' },
  join: { ...RPC, replay: 'switch' },
  leave: RPC,
  'force-leave': { ...RPC, prune: 'switch' },
  info: { ...RPC, format: 'value' },
  monitor: { ...RPC, 'log-level': 'value' },
  tags: { ...RPC, set: 'value', delete: 'value' },
  keys: { ...RPC, install: 'value', use: 'value', remove: 'value', list: 'switch' },
  reachability: { ...RPC, verbose: 'switch' },
  rtt: RPC,
  keygen: {},
  version: {},
};

/** The flags of one of Serf's commands, by name; undefined for what is no command of Serf's. */
export function serfFlagsOf(command: string): Readonly<Record<string, GoFlag>> | undefined {
  return Object.hasOwn(COMMANDS, command) ? COMMANDS[command] : undefined;
}

/** Those that take arguments beside their flags. */
const WITH_ARGUMENTS = new Set(['query', 'event', 'join', 'force-leave', 'rtt']);

/** What Go takes for a boolean (strconv.ParseBool). */
const TRUE = new Set(['1', 't', 'T', 'true', 'TRUE', 'True']);
const FALSE = new Set(['0', 'f', 'F', 'false', 'FALSE', 'False']);

/** The arguments of fanout with Serf's flags in our form. What cannot be one is left as it is, for whoever reads it next. */
export function normaliseGoFlags(argv: readonly string[]): string[] {
  const [command = '', ...words] = argv;
  const flags = serfFlagsOf(command);
  if (flags === undefined) return [...argv];
  const known = new Map<string, GoFlag>(Object.entries({ ...flags, ...HELP }));
  const out = [command];
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? '';
    const match = /^(--?)([a-z][a-z0-9-]*)(?:=(.*))?$/s.exec(word);
    if (match === null) {
      if (WITH_ARGUMENTS.has(command)) return [...out, ...words.slice(at)];
      out.push(word);
      continue;
    }
    const [, dashes = '', name = '', value] = match;
    const flag = known.get(name);
    if (flag === undefined) {
      // Ours, or nobody's. Agents have no flags of one letter: with two dashes the complaint can say what was meant.
      out.push(command === 'agent' && dashes === '-' ? `-${word}` : word);
      continue;
    }
    // With two dashes a flag is ours, where it means something else than Serf's.
    if (dashes === '--' && typeof flag === 'object') {
      out.push(word);
      continue;
    }
    const takes = takesValue(flag);
    if (!takes) out.push(...switched(name, flag, value, word));
    else if (value !== undefined) out.push(`--${nameOf(name, flag)}=${value}`);
    else {
      // The next word is its value, whatever that looks like.
      const next = words[++at];
      out.push(`--${nameOf(name, flag)}${next === undefined ? '' : `=${next}`}`);
    }
  }
  return out;
}

function takesValue(flag: GoFlag): boolean {
  return flag === 'value' || typeof flag === 'object';
}

function nameOf(name: string, flag: GoFlag): string {
  return typeof flag === 'object' ? flag.value : name;
}

function switched(name: string, flag: GoFlag, value: string | undefined, word: string): string[] {
  if (name === 'h') return ['--help'];
  if (value === undefined || TRUE.has(value)) return [`--${name}`];
  if (!FALSE.has(value)) return [word];
  return flag === 'on' ? [`--no-${name}`] : [];
}
