import * as v from 'valibot';
import { type CheckedRecord, walkAuditChain } from '../identity/audit-verify.ts';

const text = v.string();
const count = v.number();
const words = v.array(text);
const headSchema = v.object({ seq: count, hash: text });
/** What the asker's log says of a run, and of one node in it. Other fields are of no interest here. */
const runSchema = v.object({ event: v.picklist(['run', 'plan']), id: text, key: text, argv: words });
const runEndSchema = v.object({ event: v.literal('run-end'), id: text });
const targetSchema = v.object({
  event: v.literal('target'),
  id: text,
  node: text,
  state: text,
  rule: v.optional(text),
  nodeKey: v.optional(text),
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
  rule: v.optional(text),
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

/** A node writes down so many refusals of one kind, and counts the others: of those it need not have a record. */
const REFUSALS_RECORDED = 20;

type Target = v.InferOutput<typeof targetSchema> & { readonly unixMs: number };

interface AskerRun {
  readonly argv: string;
  /** The nodes were only asked what they would do. How each answered is not listed then. */
  readonly isPlan: boolean;
  readonly targets: Map<string, Target>;
  /** It was written down to its end, so that every node that took part has its line. */
  isWhole: boolean;
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
  /** The rule that decided, by event. */
  readonly rules: Map<string, string>;
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
      const { id, key, argv, event } = run.output;
      keys.add(key);
      const isPlan = event === 'plan';
      runs.set(id, { argv: JSON.stringify(argv), isPlan, targets: new Map(), isWhole: false });
    }
    const target = v.safeParse(targetSchema, record.fields);
    if (target.success) {
      const { id, node } = target.output;
      runs.get(id)?.targets.set(node, { ...target.output, unixMs: record.unixMs });
    }
    const end = v.safeParse(runEndSchema, record.fields);
    const ended = end.success ? runs.get(end.output.id) : undefined;
    if (ended !== undefined) ended.isWhole = true;
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
  const isOtherKey = otherKeys(asker, log, node);
  for (const [id, { targets }] of asker.runs) {
    const target = targets.get(node);
    if (target === undefined) continue;
    if (isOtherKey(target)) {
      notes.push(`run ${id.slice(0, 8)} was under another key of the node, whose log is another one`);
      continue;
    }
    const missing = log.commands.has(id) ? undefined : missingOf(target, log);
    if (missing === 'old') notes.push(`run ${id.slice(0, 8)} is older than what the node has kept`);
    else if (missing === 'counted')
      notes.push(`run ${id.slice(0, 8)} is one of many refusals: it was counted`);
    else if (missing !== undefined) report(id, missing);
    const { head } = target;
    if (head === undefined || head.seq < log.firstSeq) continue;
    const hash = log.hashes.get(head.seq);
    if (hash === undefined) report(id, `the node's log ends before record ${head.seq}, which it had then`);
    else if (hash !== head.hash) report(id, `record ${head.seq} of the node's log is not what it was then`);
  }
  return { node, agreeing, others, differences, notes };
}

/**
 * Tells which targets ended under a key of the node that wrote another log: a machine that was set up anew has a new key.
 * That is believed only where the log has a run of this asker under one key and none under the other, both of which the
 * asker has taken: so a node cannot excuse with it that records are gone.
 */
function otherKeys(asker: AskerLog, log: NodeLog, node: string): (target: Target) => boolean {
  const here = new Set<string>();
  for (const [id, { targets }] of asker.runs) {
    const key = targets.get(node)?.nodeKey;
    if (key !== undefined && log.commands.has(id)) here.add(key);
  }
  return ({ nodeKey }) => here.size > 0 && nodeKey !== undefined && !here.has(nodeKey);
}

/** What it means that the node has no record of a run; undefined when it need not have any. */
function missingOf({ output, head, state, unixMs }: Target, log: NodeLog): string | undefined {
  if (output !== undefined) {
    if (head !== undefined && head.seq < log.firstSeq) return 'old';
    return 'only your log has it: the node had ended it under its signature';
  }
  if (state !== 'denied') return undefined;
  if (log.firstSeq > 1 && unixMs < log.firstUnixMs) return 'old';
  if (log.refusals >= REFUSALS_RECORDED) return 'counted';
  return 'only your log has it: the node had refused it';
}

/** What two logs say differently of one command. */
function compareCommand(command: NodeCommand, run: AskerRun, target: Target | undefined): string[] {
  const found: string[] = [];
  const differ = (what: string, yours: unknown, nodes: unknown): void => {
    if (yours !== nodes) found.push(`${what}: you have ${shown(yours)}, the node has ${shown(nodes)}`);
  };
  differ('command', run.argv, command.argv);
  const { end, events, rules } = command;
  const hasStarted = events.has('start');
  if (target === undefined) {
    if (hasStarted && run.isPlan) found.push('you had only asked about it, the node has run it');
    else if (hasStarted && run.isWhole)
      found.push('only the node has it: your log does not say how it ended');
    return found;
  }
  const { state, output } = target;
  // Without the signed end the asker knew no more than that it had lost sight of the command.
  if (output === undefined) {
    found.push(...verdictsOf(state, command));
    if (state === 'denied' && events.has('denied'))
      differ('rule', target.rule ?? '', rules.get('denied') ?? '');
    return found;
  }
  if (!hasStarted) found.push('it ended under the signature of the node, which has no record of its start');
  else if (target.rule !== undefined) differ('rule', target.rule, rules.get('start'));
  if (end === undefined)
    return [...found, 'it ended under the signature of the node, which has no record of that'];
  differ('exit code', target.code ?? null, end.code);
  differ('signal', target.signal ?? null, end.signal);
  differ('cause', target.cause, end.cause);
  differ('bytes of stdout', target.stdoutBytes, end.stdoutBytes);
  differ('bytes of stderr', target.stderrBytes, end.stderrBytes);
  differ('hash of the output', output, end.output);
  return found;
}

/** What cannot be true of a command that ended without a signature, as far as the asker knows. */
function verdictsOf(state: string, { events, end }: NodeCommand): string[] {
  const hasStarted = events.has('start');
  const yours = `you have "${state}", the node`;
  // Nothing starts without the asker's word, which goes to nobody who was refused or never answered.
  if (hasStarted && (state === 'denied' || state === 'unreachable')) return [`${yours} has run it`];
  if (state === 'failed' && end !== undefined) return [`${yours} has run it to its end`];
  if (state === 'denied' && !events.has('denied')) return [`${yours} has "failed"`];
  if (state === 'failed' && !hasStarted && !events.has('failed')) return [`${yours} has "denied"`];
  return [];
}

function shown(value: unknown): string {
  return value === undefined || value === null || value === '' ? 'none' : String(value);
}

interface NodeLog {
  readonly name: string;
  readonly commands: ReadonlyMap<string, NodeCommand>;
  readonly hashes: ReadonlyMap<number, string>;
  readonly firstSeq: number;
  readonly firstUnixMs: number;
  /** Refusals that have a record. */
  readonly refusals: number;
  readonly problem: string;
}

function readNodeLog(path: string): NodeLog {
  const commands = new Map<string, NodeCommand>();
  const hashes = new Map<number, string>();
  let name = '';
  let firstSeq = 0;
  let firstUnixMs = 0;
  let refusals = 0;
  const problem = readLog(path, ({ fields, seq, hash, unixMs }) => {
    hashes.set(seq, hash);
    firstSeq ||= seq;
    firstUnixMs ||= unixMs;
    if (name === '' && typeof fields.node === 'string') name = fields.node;
    const parsed = v.safeParse(commandSchema, fields);
    if (!parsed.success) return;
    const { id, key, event, argv, rule } = parsed.output;
    if (event === 'denied') refusals++;
    const known = commands.get(id) ?? {
      key,
      argv: JSON.stringify(argv),
      unixMs,
      events: new Set(),
      rules: new Map(),
      end: undefined,
    };
    known.events.add(event);
    if (rule !== undefined && !known.rules.has(event)) known.rules.set(event, rule);
    const end = v.safeParse(endSchema, fields);
    if (end.success) known.end = end.output;
    commands.set(id, known);
  });
  return { name, commands, hashes, firstSeq, firstUnixMs, refusals, problem };
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
