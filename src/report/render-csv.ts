import { utf8, utf8Text } from '../lib/bytes.ts';
import { Sanitiser } from '../lib/sanitise.ts';
import { isFinal, type RunEvent, type RunState, type Target } from '../run/model.ts';
import { outcomeOf } from '../run/outcome.ts';
import { HeldOutput } from './held-output.ts';
import type { OutputSink, Renderer } from './renderers.ts';

const COLUMNS = [
  'node',
  'outcome',
  'exit',
  'signal',
  'rule',
  'reason',
  'duration_ms',
  'stdout_bytes',
  'stderr_bytes',
  'encoding',
  'stdout',
  'stderr',
] as const;

/**
 * One row per node (RFC 4180), at the end. Output that is not UTF-8 comes as base64, and `encoding` says so. A text that a
 * spreadsheet would take for a formula gets an apostrophe in front.
 */
export class CsvRenderer implements Renderer {
  private readonly sink: OutputSink;
  private readonly isTerminal: boolean;
  private readonly held = new HeldOutput();

  /** On a terminal every cell is clean; in a file or a pipe it is what the nodes wrote. */
  constructor(sink: OutputSink, isTerminal: boolean) {
    this.sink = sink;
    this.isTerminal = isTerminal;
  }

  event(state: RunState, event: RunEvent, data?: Uint8Array): void {
    if (event.kind !== 'output' || data === undefined) return;
    const target = state.targets.get(event.node);
    if (target !== undefined && !isFinal(target.state)) this.held.push(event.node, event.stream, data);
  }

  end(state: RunState): void {
    this.row(COLUMNS);
    for (const target of state.targets.values()) {
      this.row(this.cells(target));
      this.held.forget(target.name);
    }
  }

  private cells(target: Target): string[] {
    const { name, code, signal, rule, reason, durationMs, stdoutBytes, stderrBytes } = target;
    const [stdout, stderr] = [this.held.bytes(name, 'stdout'), this.held.bytes(name, 'stderr')];
    const texts = [utf8Text(stdout), utf8Text(stderr)];
    const isText = !texts.includes(undefined);
    const output = isText
      ? texts.map((text) => text ?? '')
      : [stdout, stderr].map((bytes) => Buffer.from(bytes).toString('base64'));
    return [
      name,
      outcomeOf(target),
      code === null ? '' : String(code),
      signal ?? '',
      rule,
      reason,
      durationMs === undefined ? '' : String(Math.round(durationMs)),
      String(stdoutBytes),
      String(stderrBytes),
      isText ? 'text' : 'base64',
      ...output,
    ];
  }

  private row(cells: readonly string[]): void {
    this.sink.write(
      'stdout',
      utf8(`${cells.map((text) => cell(this.isTerminal ? clean(text) : text)).join(',')}\r\n`),
    );
  }
}

function clean(text: string): string {
  const sanitiser = new Sanitiser(false);
  return sanitiser.push(text) + sanitiser.end();
}

function cell(text: string): string {
  const harmless = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}
