/** What differs from Serf, by command, flag, key and event; what is not here works the same. */
export interface Note {
  readonly verdict: 'better' | 'left out';
  readonly text: string;
}

const better = (text: string): Note => ({ verdict: 'better', text });
const leftOut = (text: string): Note => ({ verdict: 'left out', text });

export const COMMAND_NOTES: Readonly<Record<string, Note>> = {
  agent: better(
    'unknown settings are named with the nearest known one, --check-config and --check say what would be',
  ),
  keys: better(
    'names the members that failed or said nothing; signed by an operator where a policy is in force',
  ),
  members: better('also by fanout’s selections (--tag role=web*, --node web[01-20])'),
  monitor: better('an event is one line, or one object with --format ndjson'),
  query: better('names, tags and answers of members cannot steer the terminal'),
  info: better(
    'also what the machine can limit, handlers, and what was dropped and why; it has no goroutines',
  ),
};

export const FLAG_NOTES: Readonly<Record<string, Note>> = {
  'agent -encrypt': better(
    'taken out of the list of processes; --encrypt-file keeps it out of it from the start',
  ),
  'agent -event-handler': better(
    'scripts run side by side, with limits; queries are answered where the policy says so',
  ),
  'agent -join': better('also FANOUT_JOIN=a,b; of a name with several addresses all are tried'),
  'agent -syslog': better('also --syslog-facility, and --log-format json'),
  'agent -tags-file': better('SIGHUP does not empty it'),
  'agent -keyring-file': better('refused when others can read it'),
};

export const KEY_NOTES: Readonly<Record<string, Note>> = {
  encrypt_key: better(
    'a file that others can read is warned of; encrypt_file names one that holds the key alone',
  ),
  event_handlers: better('side by side, with limits; queries where the policy says so'),
  query_response_size_limit: leftOut(
    '1024 bytes, for everybody; longer answers come by fanout’s own streams',
  ),
  query_size_limit: leftOut('1024 bytes, for everybody; longer commands are fetched'),
  user_event_size_limit: leftOut('512 bytes, for everybody'),
  statsd_addr: leftOut('figures are not sent anywhere; "fanout info --format json" has them'),
  statsite_addr: leftOut('figures are not sent anywhere; "fanout info --format json" has them'),
  tags_file: better('SIGHUP does not empty it'),
};

export const EVENT_NOTES: Readonly<Record<string, Note>> = {
  query: better('answered where the policy names it; a signed question learns why not'),
};
