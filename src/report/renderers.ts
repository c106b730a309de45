import type { RunEvent, RunState } from '../run/model.ts';
import { CsvRenderer } from './render-csv.ts';
import { FilesRenderer, type FileWriter } from './render-files.ts';
import { GatheredRenderer, type GatherOptions } from './render-gathered.ts';
import { JsonRenderer } from './render-json.ts';
import { NdjsonRenderer } from './render-ndjson.ts';
import { SerfJsonRenderer } from './render-serf-json.ts';
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

/** How the answers are to be shown. */
export interface OutputOptions {
  readonly format: 'text' | 'ndjson' | 'json' | 'csv' | 'serf-json';
  /** Identical answers together; undefined: as they come. Text only, like what follows. */
  readonly gather?: GatherOptions | undefined;
  /** Answers go to files instead. */
  readonly files?:
    | { readonly stdout: FileWriter | undefined; readonly stderr: FileWriter | undefined }
    | undefined;
  /** The node's name in front of each line. */
  readonly labels?: boolean;
  /** Say nothing of our own unless something went wrong. */
  readonly quiet?: boolean;
}

export function createRenderer(
  options: OutputOptions,
  sink: OutputSink,
  head: RunHead,
  terminals: Terminals,
): Renderer {
  switch (options.format) {
    case 'ndjson':
      return new NdjsonRenderer(sink, head);
    case 'json':
      return new JsonRenderer(sink, head);
    case 'csv':
      return new CsvRenderer(sink, terminals.stdout);
    case 'serf-json':
      return new SerfJsonRenderer(sink);
    case 'text': {
      const { gather, files, labels = true, quiet = false } = options;
      const text = new TextRenderer(sink, terminals, { labels, quiet });
      if (files !== undefined) return new FilesRenderer(text, files);
      return gather === undefined ? text : new GatheredRenderer(sink, text, terminals, gather);
    }
  }
}
