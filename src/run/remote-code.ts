import { isFinal, type RunState, type Target } from './model.ts';

/** Codes for what is no exit code, as ssh, clush and timeout(1) have them. */
const NOT_RUN = 255;
const TIMED_OUT = 124;
const SIGNAL_BASE = 128;

/** The largest code of a run: the commands' own, 255 where none ran, 124 after a timeout, 128 + n after signal n. */
export function maxRemoteCode(state: RunState, signalNumber: (name: string) => number): number {
  let largest = 0;
  for (const target of state.targets.values()) largest = Math.max(largest, codeOf(target, signalNumber));
  return largest;
}

function codeOf(target: Target, signalNumber: (name: string) => number): number {
  if (!isFinal(target.state)) return NOT_RUN;
  if (target.state === 'timed-out') return TIMED_OUT;
  if (target.state !== 'exited') return target.state === 'allowed' ? 0 : NOT_RUN;
  if (target.signal !== null) return SIGNAL_BASE + signalNumber(target.signal);
  return target.code ?? NOT_RUN;
}
