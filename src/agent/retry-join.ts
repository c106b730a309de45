import type { RetryJoinConfig } from './config.ts';
import type { Log } from './log.ts';

export interface RetryJoinParts {
  readonly config: RetryJoinConfig;
  readonly join: (addresses: readonly string[]) => Promise<{ joined: number; failures: readonly string[] }>;
  readonly log: Log;
  /** All tries were in vain: the agent has to stop, as Serf's. */
  readonly gaveUp: () => void;
}

/** Joins in the background until one member could be reached, as Serf's -retry-join. Returns what ends it. */
export function startRetryJoin(parts: RetryJoinParts): () => void {
  const { config, log } = parts;
  let timer: NodeJS.Timeout | undefined;
  let isStopped = false;
  const attempt = async (count: number): Promise<void> => {
    const { joined, failures } = await parts.join(config.addresses);
    if (isStopped) return;
    if (joined > 0) return log.info(`joined through ${joined} member${joined === 1 ? '' : 's'}`);
    for (const failure of failures) log.warn(`join: ${failure}`);
    if (config.maxAttempts > 0 && count > config.maxAttempts) {
      log.error(`nobody could be joined in ${count} tries`);
      return parts.gaveUp();
    }
    log.warn(`nobody could be joined; the next try is in ${config.intervalMs / 1000}s`);
    timer = setTimeout(() => void attempt(count + 1), config.intervalMs);
  };
  if (config.addresses.length > 0) void attempt(1);
  return () => {
    isStopped = true;
    clearTimeout(timer);
  };
}
