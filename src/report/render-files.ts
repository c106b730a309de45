import { utf8 } from '../lib/bytes.ts';
import { isFinal, type RunEvent, type RunState } from '../run/model.ts';
import { outcomeOf } from '../run/outcome.ts';
import type { TextRenderer } from './render-text.ts';
import type { Renderer } from './renderers.ts';
import { FileNames } from './safe-file-name.ts';

/** Writes to a file by its name within the folder of a stream; the first time makes the file. */
export type FileWriter = (name: string, bytes: Uint8Array) => void;

/** One file per node, as pssh: `DIR/NODE` for a stream, and `NODE.rc` with the exit code beside stdout. */
export class FilesRenderer implements Renderer {
  private readonly text: TextRenderer;
  private readonly writers: {
    readonly stdout: FileWriter | undefined;
    readonly stderr: FileWriter | undefined;
  };
  private readonly names = new FileNames();

  /** A stream without a writer is told as plain text is. */
  constructor(text: TextRenderer, writers: FilesRenderer['writers']) {
    this.text = text;
    this.writers = writers;
  }

  event(state: RunState, event: RunEvent, data?: Uint8Array): void {
    const write = event.kind === 'output' ? this.writers[event.stream] : undefined;
    if (event.kind !== 'output' || write === undefined) return this.text.event(state, event, data);
    const target = state.targets.get(event.node);
    if (data === undefined || target === undefined || isFinal(target.state)) return;
    write(this.names.of(event.node), data);
  }

  end(state: RunState): void {
    for (const target of state.targets.values()) {
      const name = this.names.of(target.name);
      // Whoever wrote nothing has an empty file, so that a loop over the files sees every node.
      if (target.cause !== undefined)
        for (const write of Object.values(this.writers)) write?.(name, new Uint8Array(0));
      const result = target.code === null ? (target.signal ?? outcomeOf(target)) : String(target.code);
      this.writers.stdout?.(`${name}.rc`, utf8(`${result}\n`));
    }
    this.text.end(state);
  }
}
