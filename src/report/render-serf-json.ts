import { utf8 } from '../lib/bytes.ts';
import { naturalOrder } from '../lib/natural-order.ts';
import { safeJson } from '../lib/sanitise.ts';
import { isFinal, type RunEvent, type RunState } from '../run/model.ts';
import { HeldOutput } from './held-output.ts';
import type { OutputSink, Renderer } from './renderers.ts';

/** What `serf query -format json` prints, for scripts that read it: who acknowledged, and what each wrote to stdout. */
export class SerfJsonRenderer implements Renderer {
  private readonly sink: OutputSink;
  private readonly held = new HeldOutput();
  private readonly acks = new Set<string>();

  constructor(sink: OutputSink) {
    this.sink = sink;
  }

  event(state: RunState, event: RunEvent, data?: Uint8Array): void {
    // Whoever answered has the command, whether or not its ack was lost on the way.
    if (event.kind === 'acked' || event.kind === 'accepted' || event.kind === 'denied')
      this.acks.add(event.node);
    if (event.kind !== 'output' || event.stream !== 'stdout' || data === undefined) return;
    const target = state.targets.get(event.node);
    if (target !== undefined && !isFinal(target.state)) this.held.push(event.node, 'stdout', data);
  }

  end(state: RunState): void {
    const responses: Record<string, string> = {};
    for (const { name, cause } of state.targets.values()) {
      if (cause !== undefined) responses[name] = new TextDecoder().decode(this.held.bytes(name, 'stdout'));
    }
    const acks = [...this.acks].sort(naturalOrder);
    this.sink.write('stdout', utf8(`${safeJson({ Acks: acks, Responses: responses }, 2)}\n`));
  }
}
