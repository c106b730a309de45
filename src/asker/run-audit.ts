import type { AuditFields, AuditHead } from '../identity/audit.ts';
import { type KnownHeads, lostSince, type NodeHead } from '../identity/known-heads.ts';
import type { NodeFrame } from '../identity/sealed.ts';
import { toHex } from '../lib/bytes.ts';
import { FanoutError } from '../lib/errors.ts';
import type { Millis } from '../lib/time.ts';
import { exitCode, isFinal, type RunEvent, type RunState, type Target } from '../run/model.ts';
import { countOutcomes } from '../run/outcome.ts';
import { addToOperatorLog, loadKnownHeads } from './operator-log.ts';
import type { Settings } from './settings.ts';

/** Names in the first record and in each that follows, as JSON: a line holds 256 KiB, and the first the command as well. */
const FIRST_NAMES_CHARACTERS_MAX = 8 * 1024;
const NAMES_CHARACTERS_MAX = 32 * 1024;
/** How targets ended reaches the disk so often while a run goes on. */
const FLUSH_MS: Millis = 1000;

/** What is known of a run before it is sent. */
export interface RunFacts {
  /** 32 hex digits. */
  readonly id: string;
  readonly argv: readonly string[];
  readonly selector: string;
  readonly targets: readonly string[];
  readonly cluster: string;
  readonly environment: string;
  /** Fingerprint of the operator's key. */
  readonly key: string;
  /** The agent through which it goes. */
  readonly agent: string;
  readonly timeoutMs: Millis;
  /** The nodes are only asked what they would do. */
  readonly plan: boolean;
}

type End = Extract<NodeFrame, { kind: 'end' }>;

/** One run in the operator's audit log: what was signed, before it is sent, and then how each target ended. */
export class RunAudit {
  private readonly facts: RunFacts;
  /** As they were before anything was sent: what runs now comes after them in every honest log. */
  private readonly before: KnownHeads | undefined;
  private readonly ends = new Map<string, { output: string; key: string; head: AuditHead | null }>();
  private readonly shown = new Map<string, NodeHead>();
  private readonly told = new Map<string, Target['state']>();
  private pending: AuditFields[] = [];
  private timer: NodeJS.Timeout | undefined;
  private writing: Promise<void> = Promise.resolve();
  private trouble = '';

  private constructor(facts: RunFacts, before: KnownHeads | undefined) {
    this.facts = facts;
    this.before = before;
  }

  /** Records what is about to be sent. Throws FanoutError CONFIG when it cannot, unless the operator only wants to be warned. */
  static async begin(facts: RunFacts, onFailure: Settings['audit']['onFailure']): Promise<RunAudit> {
    try {
      const before = loadKnownHeads();
      await addToOperatorLog(beginning(facts));
      return new RunAudit(facts, before);
    } catch (error) {
      if (!(error instanceof FanoutError)) throw error;
      if (onFailure === 'refuse') throw notRecorded(error);
      const audit = new RunAudit(facts, undefined);
      audit.failed(error);
      return audit;
    }
  }

  /** What could not be recorded, '' when all was. */
  get problem(): string {
    return this.trouble;
  }

  /**
   * A node has ended, under the signature of the key with this fingerprint. What is wrong with its audit log, '' when
   * nothing is known to be.
   */
  ended(node: string, key: string, { outputHash, auditHead: head }: End): string {
    this.ends.set(node, { output: toHex(outputHash), key, head });
    if (head !== null) this.shown.set(node, { key, head });
    return lostSince(this.before?.get(this.facts.environment, node, key), head);
  }

  /** Something has happened in the run; `state` is after it. */
  event(state: RunState, event: RunEvent): void {
    if (!('node' in event) || event.kind === 'output' || event.kind === 'acked') return;
    this.tell(state.targets.get(event.node));
  }

  /** It was refused by the agent, and reached nobody. */
  async notSent(reason: string): Promise<void> {
    this.pending.push({ event: 'not-sent', id: this.facts.id, reason });
    await this.flush();
  }

  /** The run is over. Resolves when that is written down. */
  async end(state: RunState, durationMs: Millis): Promise<void> {
    for (const target of state.targets.values()) this.tell(target);
    const { interrupted, halted } = state;
    const counts = Object.entries(countOutcomes(state)).filter(([, count]) => count > 0);
    this.pending.push({
      event: 'run-end',
      id: this.facts.id,
      exit: exitCode(state),
      counts: Object.fromEntries(counts),
      ...(interrupted ? { interrupted } : {}),
      ...(halted === '' ? {} : { halted }),
      durationMs: Math.round(durationMs),
    });
    await this.flush();
  }

  private tell(target: Target | undefined): void {
    // Questions are asked at every pause of a person who types: their answers are counted, not listed.
    if (target === undefined || this.facts.plan || !isFinal(target.state)) return;
    if (this.told.get(target.name) === target.state) return;
    this.told.set(target.name, target.state);
    this.pending.push(this.recordOf(target));
    this.timer ??= setTimeout(() => void this.flush(), FLUSH_MS);
  }

  private recordOf(target: Target): AuditFields {
    const { name: node, state, rule, reason, code, signal, cause, auditProblem } = target;
    const { stdoutBytes, stderrBytes } = target;
    const end = this.ends.get(node);
    return {
      event: 'target',
      id: this.facts.id,
      node,
      state,
      ...(rule === '' ? {} : { rule }),
      ...(reason === '' ? {} : { reason }),
      ...(cause === undefined ? {} : { code, signal, cause }),
      stdoutBytes,
      stderrBytes,
      ...(end === undefined ? {} : { output: end.output, nodeKey: end.key }),
      ...(end === undefined || end.head === null ? {} : { head: { ...end.head } }),
      ...(auditProblem === '' ? {} : { auditProblem }),
    };
  }

  private flush(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    const records = this.pending;
    const heads = new Map(this.shown);
    this.pending = [];
    this.shown.clear();
    if (records.length === 0) return this.writing;
    const { environment } = this.facts;
    this.writing = this.writing.then(async () => {
      try {
        await addToOperatorLog(records, { environment, heads });
      } catch (error) {
        if (!(error instanceof FanoutError)) throw error;
        this.failed(error);
      }
    });
    return this.writing;
  }

  private failed(error: FanoutError): void {
    this.trouble = `this run is not in your audit log: ${error.message}`;
  }
}

/** The record of a run before it is sent, and the names that have no room in it. */
function beginning(facts: RunFacts): AuditFields[] {
  const { id, argv, selector, targets, cluster, environment, key, agent, timeoutMs, plan } = facts;
  const [first = [], ...rest] = inPieces(targets);
  const what = { argv: [...argv], selector, count: targets.length, targets: first };
  return [
    { event: plan ? 'plan' : 'run', id, key, cluster, environment, agent, timeoutMs, ...what },
    ...rest.map((names) => ({ event: 'targets', id, targets: names })),
  ];
}

/** Names of members are theirs to choose: each can be long, and six times as long as JSON. */
function inPieces(names: readonly string[]): string[][] {
  const pieces: string[][] = [[]];
  let left = FIRST_NAMES_CHARACTERS_MAX;
  for (const name of names) {
    const { length } = JSON.stringify(name);
    if (length > left) {
      pieces.push([]);
      left = NAMES_CHARACTERS_MAX;
    }
    pieces.at(-1)?.push(name);
    left -= length + 1;
  }
  return pieces;
}

function notRecorded(error: FanoutError): FanoutError {
  return new FanoutError('CONFIG', `nothing was sent, because it could not be recorded: ${error.message}`, {
    hint: `${error.hint ?? ''} To run all the same: "audit: { onFailure: warn }" in ~/.config/fanout/config.yaml.`.trim(),
    cause: error,
  });
}
