import * as v from 'valibot';
import { parseDuration } from '../../lib/time.ts';
import { didYouMean } from '../../policy/suggest.ts';
import { LOG_LEVELS } from '../log.ts';
import { FIXED, type IGNORED, type SettingKey, UNSUPPORTED } from './table.ts';

/**
 * The shape of an agent's configuration, of files and of flags alike. It is closed: a misspelt key must not be passed
 * over. The first line of a message is what is wrong; a second line, where there is one, is the hint.
 */

const WEEK_MS = 7 * 24 * 3_600_000;
/** Serf's least of intervals and timeouts. */
const SECOND_MS = 1000;
/** Above this a list is no list that a person has written. */
const ITEMS_MAX = 256;

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'a mapping' : `the ${typeof value} ${String(value)}`;
}

const text = v.pipe(
  v.string(({ input }) =>
    typeof input === 'object'
      ? `must be text, and is ${kindOf(input)}`
      : `must be text, and is ${kindOf(input)}\nPut it in quotes.`,
  ),
  v.maxLength(4096, 'is longer than 4096 characters'),
  v.check((input) => !input.includes('\0'), 'holds a NUL character'),
);
/** Serf's files say "" for what is not set. */
const setText = v.pipe(
  text,
  v.transform((input) => (input === '' ? undefined : input)),
);

const flag = v.boolean(
  ({ input }) => `must be true or false, and is ${kindOf(input)}\nWrite it without quotes.`,
);

const list = v.pipe(
  v.array(text, ({ input }) => `must be a list, and is ${kindOf(input)}\nPut it in [ ].`),
  v.maxLength(ITEMS_MAX, `has more than ${ITEMS_MAX} entries`),
);

const mapping = v.custom<Record<string, unknown>>(
  (input) => typeof input === 'object' && input !== null && !Array.isArray(input),
  ({ input }) => `must be a mapping, and is ${kindOf(input)}`,
);

function count(min: number, max: number) {
  const message = `must be a whole number from ${min} to ${max}`;
  return v.pipe(v.number(message), v.integer(message), v.minValue(min, message), v.maxValue(max, message));
}

function duration(least: number) {
  return v.pipe(
    setText,
    v.transform((input) => (input === undefined ? undefined : (parseDuration(input) ?? Number.NaN))),
    v.check(
      (ms) => ms === undefined || (ms >= least && ms <= WEEK_MS),
      `must be a duration from ${least / 1000}s to 168h\nWrite it like 500ms, 15s or 1m30s.`,
    ),
  );
}

/** One of some words, in any case. */
function word<const TValue extends string>(words: Readonly<Record<string, TValue>>, shown: string) {
  return v.pipe(
    setText,
    v.transform((input) => input?.toLowerCase()),
    v.check(
      (input) => input === undefined || Object.hasOwn(words, input),
      ({ input }) => `must be ${shown}, and is ${JSON.stringify(input)}`,
    ),
    v.transform((input): TValue | undefined => (input === undefined ? undefined : words[input])),
  );
}

const FACILITIES = Object.fromEntries(
  'kern user mail daemon auth syslog lpr news uucp cron authpriv ftp local0 local1 local2 local3 local4 local5 local6 local7'
    .split(' ')
    .map((name) => [name, name]),
);

/** A limit that is the same everywhere: the value itself may stand there. */
function fixed(bytes: number) {
  const hint = `It is ${bytes} in every agent here, as in Serf. Remove the key.`;
  return v.optional(v.literal(bytes, `must be ${bytes}\n${hint}`));
}

/** A mapping that knows all its keys. */
function closed<TEntries extends v.ObjectEntries>(entries: TEntries) {
  const schema = v.strictObject(entries, ({ expected, received }) => {
    if (expected !== 'never') return `the key ${expected} is missing`;
    const known = Object.keys(entries);
    const name = received.slice(1, -1);
    const meant = Object.hasOwn(UNSUPPORTED, name) ? UNSUPPORTED[name] : undefined;
    const all = 'All keys are in docs/agent.md; flags have other names: see "fanout help agent".';
    const few = `Known here: ${known.join(', ')}.`;
    const hint = meant ?? didYouMean(name, known) ?? (known.length > 8 ? all : few);
    return `unknown key "${name}"\n${hint}`;
  });
  return v.pipe(mapping, schema);
}

/** The keys of a file: those of `mdns` are inside it. */
type FileKey = Exclude<SettingKey, `mdns.${string}`> | 'mdns' | keyof typeof IGNORED | keyof typeof FIXED;

const entries = {
  node_name: v.optional(setText),
  tags: v.optional(v.pipe(mapping, v.record(v.string(), text))),
  role: v.optional(setText),
  tags_file: v.optional(setText),
  bind: v.optional(setText),
  interface: v.optional(setText),
  advertise: v.optional(setText),
  encrypt_key: v.optional(setText),
  encrypt_file: v.optional(setText),
  keyring_file: v.optional(setText),
  key_changes: v.optional(word({ any: 'any', operators: 'operators' }, 'any or operators')),
  engine: v.optional(word({ embedded: 'embedded', serf: 'serf' }, 'embedded or serf')),
  control_addr: v.optional(setText),
  rpc_addr: v.optional(setText),
  rpc_auth: v.optional(setText),
  protocol: v.optional(count(4, 5)),
  profile: v.optional(word({ lan: 'lan', wan: 'wan', local: 'local' }, 'lan, wan or local')),
  environment: v.optional(setText),
  policy: v.optional(setText),
  data_dir: v.optional(setText),
  audit_on_failure: v.optional(word({ refuse: 'refuse', run: 'run' }, 'refuse or run')),
  audit_syslog: v.optional(flag),
  start_join: v.optional(list),
  retry_join: v.optional(list),
  retry_interval: v.optional(duration(SECOND_MS)),
  retry_max_attempts: v.optional(count(0, 1_000_000)),
  discover: v.optional(setText),
  mdns: v.optional(
    closed({
      interface: v.optional(setText),
      disable_ipv4: v.optional(flag),
      disable_ipv6: v.optional(flag),
    }),
  ),
  snapshot_path: v.optional(setText),
  rejoin_after_leave: v.optional(flag),
  replay_on_join: v.optional(flag),
  event_handlers: v.optional(list),
  handler_timeout: v.optional(duration(1)),
  allow_unsigned_queries: v.optional(flag),
  allow_shell_handler: v.optional(flag),
  handlers: v.optional(setText),
  leave_on_terminate: v.optional(flag),
  skip_leave_on_interrupt: v.optional(flag),
  log_level: v.optional(word(LOG_LEVELS, 'trace, debug, info, warn or err')),
  log_format: v.optional(word({ text: 'text', json: 'json' }, 'text or json')),
  enable_syslog: v.optional(flag),
  syslog_facility: v.optional(word(FACILITIES, 'a facility such as DAEMON or LOCAL0')),
  enable_compression: v.optional(flag),
  broadcast_timeout: v.optional(duration(SECOND_MS)),
  reconnect_interval: v.optional(duration(SECOND_MS)),
  reconnect_timeout: v.optional(duration(SECOND_MS)),
  tombstone_timeout: v.optional(duration(SECOND_MS)),
  disable_coordinates: v.optional(flag),
  disable_name_resolution: v.optional(flag),
  validate_node_names: v.optional(flag),
  statsite_addr: v.optional(setText),
  statsd_addr: v.optional(setText),
  query_size_limit: fixed(FIXED.query_size_limit),
  query_response_size_limit: fixed(FIXED.query_response_size_limit),
  user_event_size_limit: fixed(FIXED.user_event_size_limit),
} satisfies Record<FileKey, v.GenericSchema>;

/** What a file, or the flags, say. Keys that are not mentioned, and texts that are empty, say nothing. */
export const settingsSchema = closed(entries);

export type Said = v.InferOutput<typeof settingsSchema>;

/** Whether a file may have this key at its top. */
export function isFileKey(key: string): boolean {
  return Object.hasOwn(entries, key);
}
