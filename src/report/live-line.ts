import { utf8 } from '../lib/bytes.ts';
import { textWidth } from '../lib/text-width.ts';
import { formatDuration, type Millis } from '../lib/time.ts';
import type { RunState } from '../run/model.ts';
import { countOutcomes, type Outcome } from '../run/outcome.ts';
import type { RolloutPhase } from '../run/rollout.ts';
import type { OutputSink } from './renderers.ts';

/** A run that is over sooner shows no line at all. */
const SHOWN_AFTER_MS: Millis = 300;
const ERASE = '\r\u001b[K';

const SHOWN: readonly Outcome[] = ['running', 'held', 'failed', 'not-started', 'denied', 'timed-out', 'lost'];

/** How a run stands, on one line that fits the terminal; '' while it is too early to say anything. */
export function liveText(
  state: RunState,
  phase: RolloutPhase | undefined,
  now: Millis,
  columns: number,
): string {
  const elapsed = now - state.startedAt;
  if (elapsed < SHOWN_AFTER_MS || state.phase === 'ended') return '';
  const counts = countOutcomes(state);
  const parts = [`${state.targets.size - state.open}/${state.targets.size} done`];
  for (const outcome of SHOWN) if (counts[outcome] > 0) parts.push(`${counts[outcome]} ${outcome}`);
  const where = phaseText(phase, now);
  if (where !== '') parts.push(where);
  parts.push(
    state.phase === 'stopping'
      ? 'stopping'
      : `${formatDuration(elapsed)} of ${formatDuration(state.timeoutMs)}`,
  );
  let text = parts.join('  ');
  while (textWidth(text) >= columns && parts.length > 1) {
    parts.splice(-2, 1);
    text = parts.join('  ');
  }
  return text.slice(0, Math.max(0, columns - 1));
}

/** Where a rolling run stands. */
export function phaseText(phase: RolloutPhase | undefined, now: Millis): string {
  if (phase === undefined || phase.kind === 'done') return '';
  if (phase.kind === 'gathering') return 'hearing all before the first starts';
  const which = phase.isCanary
    ? 'canary'
    : phase.batches === 0
      ? ''
      : `batch ${phase.batch} of ${phase.batches}`;
  if (phase.kind !== 'sleeping') return which;
  return `${which} in ${formatDuration(Math.max(0, phase.until - now))}`.trim();
}

/** An output with a line at its end that is redrawn: taken away before anything is written, and brought back by `show`. */
export class LiveSink implements OutputSink {
  private readonly sink: OutputSink;
  private shown = '';

  constructor(sink: OutputSink) {
    this.sink = sink;
  }

  write(stream: 'stdout' | 'stderr', bytes: Uint8Array): void {
    this.show('');
    this.sink.write(stream, bytes);
  }

  /** Shows this text as the line; '' takes it away. */
  show(text: string): void {
    if (text === this.shown) return;
    this.shown = text;
    this.sink.write('stderr', utf8(ERASE + text));
  }
}
