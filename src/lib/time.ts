/**
 * Milliseconds: of a monotonic clock when it is a moment inside the protocol, of a length when it is named `...Ms`.
 * Wall-clock moments (signatures, audit) are always called `unixMs` or `unixSeconds`.
 */
export type Millis = number;

/** "Not waiting for anything": later than every moment. */
export const NEVER: Millis = Number.POSITIVE_INFINITY;

/** The earliest of some deadlines. */
export function earliest(...deadlines: readonly Millis[]): Millis {
  let first = NEVER;
  for (const deadline of deadlines) if (deadline < first) first = deadline;
  return first;
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * Milliseconds of a duration such as `500ms`, `10s`, `1m30s`, `2h`; undefined when the text is not one. A bare
 * number is refused: nobody remembers whether it meant seconds.
 */
export function parseDuration(text: string): Millis | undefined {
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) {
    total += Number(amount) * (UNIT_MS[unit as string] as number);
  }
  return Number.isSafeInteger(Math.round(total)) ? Math.round(total) : undefined;
}

/** A duration for people: `0.4s`, `12s`, `2m05s`. */
export function formatDuration(ms: Millis): string {
  if (ms < 950) return `${Math.round(ms)}ms`;
  if (ms < 9950) return `${(ms / 1000).toFixed(1)}s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${String(seconds % 60).padStart(2, '0')}s`;
  return `${Math.floor(seconds / 3600)}h${String(Math.floor((seconds % 3600) / 60)).padStart(2, '0')}m`;
}
