import { utf8 } from '../lib/bytes.ts';
import { safeJson } from '../lib/sanitise.ts';
import { exitCode, isFinal, type RunEvent, type RunState, type Target } from '../run/model.ts';
import { CharacterBoundary, jsonOutput } from './output-text.ts';
import type { OutputSink, Renderer, RunHead } from './renderers.ts';

/**
 * One JSON object a line, as things happen. `event` is one of start, ack, accepted, started, stdout, stderr, cancel,
 * halt, deadline, timeout, interrupt, then for each node how it ended (exit, or the name of its final state), and summary.
 * `atMs` counts from the start of the run.
 */
export class NdjsonRenderer implements Renderer {
  private readonly sink: OutputSink;
  private readonly head: RunHead;
  private readonly boundaries = new Map<string, CharacterBoundary>();
  private readonly told = new Set<string>();
  private hasBegun = false;

  constructor(sink: OutputSink, head: RunHead) {
    this.sink = sink;
    this.head = head;
  }

  event(state: RunState, event: RunEvent, data?: Uint8Array): void {
    this.begin();
    // Of a target that has ended, such as one that is not trusted, nothing more is told.
    if ('node' in event && this.told.has(event.node)) return;
    switch (event.kind) {
      case 'output':
        if (data !== undefined) this.output(event.node, event.stream, this.boundary(event).push(plain(data)));
        return;
      case 'acked':
        this.line({ event: 'ack', node: event.node });
        return;
      case 'accepted': {
        const { node, rule, program, sandbox, firstSeen, readOnly, limitMs } = event;
        this.line({ event: 'accepted', node, rule, program, sandbox, firstSeen, readOnly, limitMs });
        return;
      }
      case 'started':
      case 'cancel':
        this.line({ event: event.kind, node: event.node });
        break;
      case 'halt':
        this.line({ event: 'halt', reason: event.reason });
        break;
      case 'deadline':
        this.line({ event: 'deadline', timeoutMs: Math.round(event.timeoutMs) });
        return;
      case 'interrupt':
      case 'timeout':
        this.line({ event: event.kind });
        break;
    }
    if ('node' in event) this.tell(state, state.targets.get(event.node));
    else for (const target of state.targets.values()) this.tell(state, target);
  }

  end(state: RunState): void {
    this.begin();
    for (const target of state.targets.values()) this.tell(state, target);
    const states: Record<string, number> = {};
    for (const target of state.targets.values()) states[target.state] = (states[target.state] ?? 0) + 1;
    this.line({ event: 'summary', exit: exitCode(state), targets: state.targets.size, states });
  }

  private begin(): void {
    if (this.hasBegun) return;
    this.hasBegun = true;
    const { argv, targets, timeoutMs } = this.head;
    this.line({ event: 'start', argv, targets, timeoutMs });
  }

  /** Tells once how a target ended, after the last of its output. */
  private tell(state: RunState, target: Target | undefined): void {
    if (target === undefined || !isFinal(target.state) || this.told.has(target.name)) return;
    this.told.add(target.name);
    for (const stream of ['stdout', 'stderr'] as const) {
      const rest = this.boundaries.get(`${stream} ${target.name}`)?.end();
      if (rest !== undefined) this.output(target.name, stream, rest);
    }
    const event = target.state === 'exited' ? 'exit' : target.state;
    const atMs = Math.round((target.endedAt ?? state.startedAt) - state.startedAt);
    this.line({ event, ...targetFields(target), atMs });
  }

  private boundary(event: { node: string; stream: string }): CharacterBoundary {
    const key = `${event.stream} ${event.node}`;
    const known = this.boundaries.get(key) ?? new CharacterBoundary();
    this.boundaries.set(key, known);
    return known;
  }

  private output(node: string, stream: 'stdout' | 'stderr', bytes: Uint8Array): void {
    if (bytes.length > 0) this.line({ event: stream, node, ...jsonOutput(bytes) });
  }

  private line(object: object): void {
    this.sink.write('stdout', utf8(`${safeJson(object)}\n`));
  }
}

/** A plain view even of a Buffer, whose slice() would not copy what is kept for later. */
function plain(data: Uint8Array): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.length);
}

/** What the JSON formats say of a target that has ended; fields that say nothing are left out. */
export function targetFields(target: Target): object {
  const {
    name: node,
    rule,
    reason,
    hint,
    code,
    signal,
    cause,
    durationMs,
    stdoutBytes,
    stderrBytes,
    auditProblem,
  } = target;
  const ran = target.cause !== undefined;
  return {
    node,
    ...(rule === '' ? {} : { rule }),
    ...(reason === '' ? {} : { reason }),
    ...(hint === '' ? {} : { hint }),
    ...(ran ? { code, signal, cause, durationMs, stdoutBytes, stderrBytes } : {}),
    ...(auditProblem === '' ? {} : { auditProblem }),
    ...(target.late ? { late: true } : {}),
  };
}
