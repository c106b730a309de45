import type { OutputSink, Renderer } from '../../src/report/renderers.ts';
import { type RunEvent, type RunState, reduceRun, startRun } from '../../src/run/model.ts';

/** A sink that keeps what was written. */
export class MemorySink implements OutputSink {
  private readonly written = { stdout: [] as Buffer[], stderr: [] as Buffer[] };

  write(stream: 'stdout' | 'stderr', bytes: Uint8Array): void {
    this.written[stream].push(Buffer.from(bytes));
  }
  get stdout(): string {
    return Buffer.concat(this.written.stdout).toString();
  }
  get stderr(): string {
    return Buffer.concat(this.written.stderr).toString();
  }
}

/** Events of a run in short; output comes with its data. */
export type Step =
  | RunEvent
  | { readonly out: readonly [node: string, stream: 'stdout' | 'stderr', data: string | Uint8Array] };

/** Plays a run for a renderer, as the driver does: each event, with the state after it. */
export function play(renderer: Renderer, targets: readonly string[], steps: readonly Step[]): RunState {
  let state = startRun(targets, 30_000, 0);
  for (const [i, step] of steps.entries()) {
    const data = 'out' in step ? Buffer.from(step.out[2]) : undefined;
    const event: RunEvent =
      'out' in step
        ? { kind: 'output', node: step.out[0], stream: step.out[1], bytes: data?.length ?? 0 }
        : step;
    state = reduceRun(state, event, (i + 1) * 10);
    renderer.event(state, event, data);
    // The renderer may not keep what it was given.
    data?.fill(0x21);
  }
  renderer.end(state);
  return state;
}

export const acked = (node: string): RunEvent => ({ kind: 'acked', node });
export const started = (node: string): RunEvent => ({ kind: 'started', node });

export function accepted(node: string, firstSeen = false): RunEvent {
  const limits = { readOnly: true, limitMs: 30_000 };
  return {
    kind: 'accepted',
    node,
    rule: 'basics',
    program: '/bin/ps',
    sandbox: 'standard',
    firstSeen,
    ...limits,
  };
}

export function ended(node: string, facts: Partial<Extract<RunEvent, { kind: 'ended' }>> = {}): RunEvent {
  const counts = { durationMs: 5, stdoutBytes: 3, stderrBytes: 0 };
  return { kind: 'ended', node, code: 0, signal: null, cause: 'exit', ...counts, ...facts };
}

export function denied(node: string, rule: string, reason: string): RunEvent {
  return { kind: 'denied', node, code: 'deny', rule, reason };
}

export const untrusted = (node: string): RunEvent => ({
  kind: 'untrusted',
  node,
  reason: 'its key has changed',
});
