import { utf8 } from '../lib/bytes.ts';
import { foldNames } from '../lib/node-set.ts';
import { sanitiseText } from '../lib/sanitise.ts';
import { formatDuration } from '../lib/time.ts';
import {
  FINAL_STATES,
  type FinalState,
  isFinal,
  type RunEvent,
  type RunState,
  type Target,
} from '../run/model.ts';
import { LineOutput, LineWriter } from './line-writer.ts';
import type { OutputSink, Renderer, Terminals } from './renderers.ts';

/** Columns of names in the summary for one outcome. The lines above it have told of each one. */
const NAMES_COLUMNS_MAX = 160;

type Streams = Readonly<Record<'stdout' | 'stderr', LineWriter>>;

export interface TextOptions {
  /** The node's name in front of each line. */
  readonly labels: boolean;
  /** Say nothing of our own unless something went wrong. */
  readonly quiet: boolean;
}

/** `node: line` for what the commands write, and a line of our own for each target that did not simply return 0. */
export class TextRenderer implements Renderer {
  private readonly terminals: Terminals;
  private readonly options: TextOptions;
  private readonly streams = new Map<string, Streams>();
  private readonly told = new Set<string>();
  private readonly outputs: Readonly<Record<'stdout' | 'stderr', LineOutput>>;

  constructor(sink: OutputSink, terminals: Terminals, options: TextOptions = { labels: true, quiet: false }) {
    this.terminals = terminals;
    this.options = options;
    const output = (stream: 'stdout' | 'stderr'): LineOutput =>
      new LineOutput((bytes) => sink.write(stream, bytes));
    this.outputs = { stdout: output('stdout'), stderr: output('stderr') };
  }

  event(state: RunState, event: RunEvent, data?: Uint8Array): void {
    if (event.kind === 'output' && data !== undefined) {
      // What comes from a target that has ended, such as one that is not trusted, is not shown.
      const target = state.targets.get(event.node);
      if (target !== undefined && !isFinal(target.state)) this.writers(event.node)[event.stream].push(data);
      return;
    }
    if (event.kind === 'accepted' && event.firstSeen && !this.options.quiet) {
      this.note(
        `${sanitiseText(event.node)}: its key was seen for the first time and is remembered from now on`,
      );
    }
    if ('node' in event) this.tell(state.targets.get(event.node));
    else for (const target of state.targets.values()) this.tell(target);
  }

  end(state: RunState): void {
    for (const target of state.targets.values()) this.tell(target);
    const lines = summaryLines(state);
    // Quiet: when all went well there is nothing to say.
    if (this.options.quiet && lines.length === 1) return;
    for (const line of lines) this.note(line);
  }

  private writers(node: string): Streams {
    const known = this.streams.get(node);
    if (known !== undefined) return known;
    const writer = (stream: 'stdout' | 'stderr'): LineWriter => {
      const mode = !this.terminals[stream] ? 'raw' : this.terminals.colours ? 'colour' : 'plain';
      return new LineWriter({
        label: this.options.labels ? `${node}: ` : '',
        mode,
        output: this.outputs[stream],
      });
    };
    const streams = { stdout: writer('stdout'), stderr: writer('stderr') };
    this.streams.set(node, streams);
    return streams;
  }

  /** Says once how a target ended, after the last of its output. */
  private tell(target: Target | undefined): void {
    if (target === undefined || !isFinal(target.state) || this.told.has(target.name)) return;
    this.told.add(target.name);
    const streams = this.streams.get(target.name);
    streams?.stdout.end();
    streams?.stderr.end();
    const outcome = outcomeOf(target);
    if (outcome !== undefined) this.note(`${sanitiseText(target.name)} ${outcome}`);
    const { auditProblem } = target;
    if (auditProblem !== '') this.note(`node ${sanitiseText(target.name)}: ${sanitiseText(auditProblem)}`);
    if (target.hint !== '') this.note(`  ${sanitiseText(target.hint)}`);
  }

  private note(text: string): void {
    this.outputs.stderr.put(undefined, utf8(`fanout: ${text}\n`), false);
  }
}

/** How a target ended, in words; undefined when it simply returned 0. */
function outcomeOf(target: Target): string | undefined {
  const reason = target.reason === target.auditProblem ? '' : sanitiseText(target.reason);
  const because = reason === '' ? '' : `: ${reason}`;
  switch (target.state) {
    case 'exited':
      if (target.signal !== null) return `died of ${sanitiseText(target.signal)}${because}`;
      return target.code === 0 && reason === '' ? undefined : `returned ${target.code}${because}`;
    case 'allowed':
      return `allowed by rule "${sanitiseText(target.rule)}"`;
    case 'denied':
      return target.rule === ''
        ? `denied${because}`
        : `denied by rule "${sanitiseText(target.rule)}"${because}`;
    case 'failed':
      return `could not start it${because}`;
    case 'untrusted':
      return `NOT TRUSTED${because}`;
    default:
      return `${target.state.replace('-', ' ')}${because}`;
  }
}

const LABELS: Readonly<Record<FinalState, string>> = {
  exited: 'returned something else',
  allowed: 'allowed',
  denied: 'denied',
  failed: 'could not start it',
  'timed-out': 'timed out',
  cancelled: 'cancelled',
  lost: 'lost',
  unreachable: 'unreachable',
  untrusted: 'not trusted',
};

/** How many ended how, with the names of those that did not return 0. */
function summaryLines(state: RunState): string[] {
  const groups = new Map<FinalState, string[]>();
  let fine = 0;
  for (const target of state.targets.values()) {
    if (!isFinal(target.state)) continue;
    if (outcomeOf(target) === undefined) fine++;
    else groups.set(target.state, [...(groups.get(target.state) ?? []), target.name]);
  }
  const total = state.targets.size;
  const lines = [`${fine} of ${total} ran it and returned 0 (${formatDuration(elapsed(state))})`];
  if (state.halted !== '') lines.push(`  HALTED: ${sanitiseText(state.halted)}`);
  for (const outcome of FINAL_STATES) {
    const names = groups.get(outcome);
    if (names !== undefined) lines.push(`  ${names.length} ${LABELS[outcome]}: ${listed(names)}`);
  }
  return lines;
}

function listed(names: readonly string[]): string {
  const folded = sanitiseText(foldNames(names));
  return folded.length > NAMES_COLUMNS_MAX ? `${folded.slice(0, NAMES_COLUMNS_MAX)}...` : folded;
}

function elapsed(state: RunState): number {
  let last = state.startedAt;
  for (const { endedAt } of state.targets.values()) last = Math.max(last, endedAt ?? 0);
  return last - state.startedAt;
}
