import type { RunEvent, RunState } from '../run/model.ts';
import { JsonRenderer } from './render-json.ts';
import { NdjsonRenderer } from './render-ndjson.ts';
import { TextRenderer } from './render-text.ts';

/** Where a renderer writes: this process's own output, or a test's memory. */
export interface OutputSink {
  write(stream: 'stdout' | 'stderr', bytes: Uint8Array): void;
}

/** What is known of a run before it begins. */
export interface RunHead {
  readonly argv: readonly string[];
  readonly targets: readonly string[];
  readonly timeoutMs: number;
}

/** A view of a run. All of them are fed the same states and events, so they cannot disagree. */
export interface Renderer {
  /** `data` comes with output events. */
  event(state: RunState, event: RunEvent, data?: Uint8Array): void;
  end(state: RunState): void;
}

/** How the streams look: whether they are terminals, and whether those show colours. */
export interface Terminals {
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly colours: boolean;
}

export function createRenderer(
  format: 'text' | 'ndjson' | 'json',
  sink: OutputSink,
  head: RunHead,
  terminals: Terminals,
): Renderer {
  if (format === 'ndjson') return new NdjsonRenderer(sink, head);
  if (format === 'json') return new JsonRenderer(sink, head);
  return new TextRenderer(sink, terminals);
}
