import * as v from 'valibot';
import { type CheckedRecord, walkAuditChain } from '../identity/audit-verify.ts';

const text = v.string();
const count = v.number();
const words = v.array(text);
const headSchema = v.object({ seq: count, hash: text });
/** What the asker's log says of a run, and of one node in it. Other fields are of no interest here. */
const runSchema = v.object({ event: v.picklist(['run', 'plan']), id: text, key: text, argv: words });
const targetSchema = v.object({
  event: v.literal('target'),
  id: text,
  node: text,
  state: text,
  code: v.optional(v.nullable(count)),
  signal: v.optional(v.nullable(text)),
  cause: v.optional(text),
  stdoutBytes: count,
  stderrBytes: count,
  output: v.optional(text),
  head: v.optional(headSchema),
});
/** What a node's log says of a command. */
const commandSchema = v.object({
  event: v.picklist(['start', 'end', 'denied', 'failed']),
  id: text,
  key: text,
  argv: words,
});
const endSchema = v.object({
  event: v.literal('end'),
  code: v.nullable(count),
  signal: v.nullable(text),
  cause: text,
  stdoutBytes: count,
  stderrBytes: count,
  output: text,
});

type Target = v.InferOutput<typeof targetSchema>;

interface AskerRun {
  readonly argv: string;
  readonly targets: Map<string, Target>;
}

/** Everything that is compared of an asker's log. */
export interface AskerLog {
  readonly runs: ReadonlyMap<string, AskerRun>;
  /** The keys that signed them: runs of others are not this log's business. */
  readonly keys: ReadonlySet<string>;
  /** The time of the first record that is kept, when earlier ones were dropped. */
  readonly sinceUnixMs: number;
  /** Why the chain does not hold, '' when it does. */
  readonly problem: string;
}

/** What the comparison of one node's log with the asker's has found. */
export interface CrossReport {
  readonly node: string;
  /** Runs that both logs have, and tell alike. */
  readonly agreeing: number;
  /** Commands in the node's log that other keys have signed. */
  readonly others: number;
  readonly differences: readonly string[];
  /** What cannot be compared, and says nothing against anybody. */
  readonly notes: readonly string[];
}

interface NodeCommand {
  readonly key: string;
  readonly argv: string;
  readonly unixMs: number;
  readonly events: Set<string>;
  end: v.InferOutput<typeof endSchema> | undefined;
}

/** Reads the log of an asker. Throws FanoutError INTEGRITY when a file cannot be read. */
export function readAskerLog(path: string): AskerLog {
  const runs = new Map<string, AskerRun>();
  const keys = new Set<string>();
  let sinceUnixMs = 0;
  const problem = readLog(path, (record) => {
    if (record.line === 1 && record.seq > 1) sinceUnixMs ||= record.unixMs;
    const run = v.safeParse(runSchema, record.fields);
    if (run.success) {
      const { id, key, argv } = run.output;
      keys.add(key);
      runs.set(id, { argv: JSON.stringify(argv), targets: new Map() });
    }
    const target = v.safeParse(targetSchema, record.fields);
    if (target.success) runs.get(target.output.id)?.targets.set(target.output.node, target.output);
  });
  return { runs, keys, sinceUnixMs, problem };
}

/**
 * Compares a node's log with the asker's, run by run. `name` is the node's; without it the one that its records give.
 * Throws FanoutError INTEGRITY when a file cannot be read.
 */
export function crossCheck(asker: AskerLog, path: string, name?: string): CrossReport {
  const log = readNodeLog(path);
  const node = name ?? log.name;
  const differences = log.problem === '' ? [] : [log.problem];
  const notes: string[] = [];
  const report = (id: string, what: string): void => void differences.push(`run ${id.slice(0, 8)}: ${what}`);
  let agreeing = 0;
  let others = 0;
  for (const [id, command] of log.commands) {
    const run = asker.runs.get(id);
    if (run === undefined) {
      if (!asker.keys.has(command.key)) others++;
      else if (command.unixMs < asker.sinceUnixMs) notes.push(`run ${id.slice(0, 8)} is older than your log`);
      else report(id, `only the node has it, signed with your key: ${command.argv}`);
      continue;
    }
    const found = compareCommand(command, run, run.targets.get(node));
    for (const what of found) report(id, what);
    if (found.length === 0) agreeing++;
  }
  for (const [id, { targets }] of asker.runs) {
    const target = targets.get(node);
    if (target === undefined) continue;
    if (target.output !== undefined && !log.commands.has(id)) {
      if (target.head !== undefined && target.head.seq < log.firstSeq) {
        notes.push(`run ${id.slice(0, 8)} is older than what the node has kept`);
      } else report(id, 'only your log has it: the node had ended it under its signature');
    }
    const { head } = target;
    if (head === undefined || head.seq < log.firstSeq) continue;
    const hash = log.hashes.get(head.seq);
    if (hash === undefined) report(id, `the node's log ends before record ${head.seq}, which it had then`);
    else if (hash !== head.hash) report(id, `record ${head.seq} of the node's log is not what it was then`);
  }
  return { node, agreeing, others, differences, notes };
}

/** What two logs say differently of one command. */
function compareCommand(command: NodeCommand, run: AskerRun, target: Target | undefined): string[] {
  const found: string[] = [];
  const differ = (what: string, yours: unknown, nodes: unknown): void => {
    if (yours !== nodes) found.push(`${what}: you have ${shown(yours)}, the node has ${shown(nodes)}`);
  };
  differ('command', run.argv, command.argv);
  if (target === undefined) return found;
  const { end, events } = command;
  if (target.state === 'denied' && events.has('start')) found.push('you have "denied", the node has run it');
  // Without the signed end the asker knew no more than that it had lost sight of the command.
  if (target.output === undefined) return found;
  if (!events.has('start'))
    found.push('it ended under the signature of the node, which has no record of its start');
  if (end === undefined)
    return [...found, 'it ended under the signature of the node, which has no record of that'];
  differ('exit code', target.code ?? null, end.code);
  differ('signal', target.signal ?? null, end.signal);
  differ('cause', target.cause, end.cause);
  differ('bytes of stdout', target.stdoutBytes, end.stdoutBytes);
  differ('bytes of stderr', target.stderrBytes, end.stderrBytes);
  differ('hash of the output', target.output, end.output);
  return found;
}

function shown(value: unknown): string {
  return value === undefined || value === null ? 'none' : String(value);
}

function readNodeLog(path: string): {
  readonly name: string;
  readonly commands: ReadonlyMap<string, NodeCommand>;
  readonly hashes: ReadonlyMap<number, string>;
  readonly firstSeq: number;
  readonly problem: string;
} {
  const commands = new Map<string, NodeCommand>();
  const hashes = new Map<number, string>();
  let name = '';
  let firstSeq = 0;
  const problem = readLog(path, ({ fields, seq, hash, unixMs }) => {
    hashes.set(seq, hash);
    firstSeq ||= seq;
    if (name === '' && typeof fields.node === 'string') name = fields.node;
    const parsed = v.safeParse(commandSchema, fields);
    if (!parsed.success) return;
    const { id, key, event, argv } = parsed.output;
    const known = commands.get(id) ?? {
      key,
      argv: JSON.stringify(argv),
      unixMs,
      events: new Set(),
      end: undefined,
    };
    known.events.add(event);
    const end = v.safeParse(endSchema, fields);
    if (end.success) known.end = end.output;
    commands.set(id, known);
  });
  return { name, commands, hashes, firstSeq, problem };
}

/** Reads a log as far as its chain holds; says where it does not. */
function readLog(path: string, take: (record: CheckedRecord) => void): string {
  const walk = walkAuditChain(path);
  for (;;) {
    const { done, value } = walk.next();
    if (done !== true) take(value);
    else if (!value.ok) return `${value.file}:${value.line}: ${value.reason}`;
    else return value.tornBytes === 0 ? '' : `${path}: its last line is torn`;
  }
}
