import { formatSize } from '../lib/size.ts';
import { formatDuration } from '../lib/time.ts';

interface Overrun {
  /** Why a command ended, in the words of the end frame. */
  readonly cause: string;
  /** Bytes, or milliseconds of the processor. */
  readonly limit?: number;
}

/** What the command had too much of, or nothing. */
export function overrunReason({ cause, limit }: Overrun): string {
  if (cause === 'output-limit') return 'killed: it wrote more than the policy allows; the output is cut';
  if (cause === 'memory-limit') {
    return `killed: used ${limit === undefined ? 'too much' : `more than ${formatSize(limit)} of`} memory`;
  }
  if (cause === 'cpu-limit') {
    return `killed: used ${limit === undefined ? 'too much' : `more than ${formatDuration(limit)} of`} processor time`;
  }
  return '';
}
