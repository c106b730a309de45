import { concatBytes, utf8 } from '../lib/bytes.ts';
import { exitCode, type RunEvent, type RunState } from '../run/model.ts';
import { jsonOutput } from './output-text.ts';
import { targetFields } from './render-ndjson.ts';
import type { OutputSink, Renderer, RunHead } from './renderers.ts';

interface Held {
  readonly stdout: Uint8Array[];
  readonly stderr: Uint8Array[];
}

/** One JSON object at the end. Holds all output in memory until then: for very much of it, NDJSON is the format. */
export class JsonRenderer implements Renderer {
  private readonly sink: OutputSink;
  private readonly head: RunHead;
  private readonly held = new Map<string, Held>();

  constructor(sink: OutputSink, head: RunHead) {
    this.sink = sink;
    this.head = head;
  }

  event(_state: RunState, event: RunEvent, data?: Uint8Array): void {
    if (event.kind !== 'output' || data === undefined) return;
    const held = this.held.get(event.node) ?? { stdout: [], stderr: [] };
    this.held.set(event.node, held);
    // A copy: the data is a view of a buffer that is used again.
    held[event.stream].push(data.slice());
  }

  end(state: RunState): void {
    const { argv, timeoutMs } = this.head;
    const head = JSON.stringify({ argv, timeoutMs, exit: exitCode(state) }).slice(0, -1);
    this.sink.write('stdout', utf8(`${head},"nodes":[`));
    let separator = '\n';
    for (const target of state.targets.values()) {
      const held = this.held.get(target.name);
      const stdout = jsonOutput(concatBytes(...(held?.stdout ?? [])));
      const stderr = jsonOutput(concatBytes(...(held?.stderr ?? [])));
      const node = { state: target.state, ...targetFields(target), stdout, stderr };
      this.sink.write('stdout', utf8(`${separator}${JSON.stringify(node)}`));
      separator = ',\n';
    }
    this.sink.write('stdout', utf8('\n]}\n'));
  }
}
