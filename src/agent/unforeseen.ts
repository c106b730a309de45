import { stackOf } from '../lib/errors.ts';
import type { Log } from './log.ts';

/** The log tells of one in this time, with its place in the code; the counter tells of all. */
const QUIET_MS = 1000;

/**
 * Keeps the process alive after an error that no part of it caught. What it
 * was about (a packet, a connection, a command) is given up: nothing runs that was not decided about and recorded before. To end
 * instead would let one packet, which gossip carries everywhere, end every agent of a cluster, and all that they run.
 */
export function surviveUnforeseen(log: Pick<Log, 'error'>, count: (name: string) => void): void {
  let toldAt = Number.NEGATIVE_INFINITY;
  const survive = (error: unknown): void => {
    count('unforeseen-error');
    const now = performance.now();
    if (now - toldAt < QUIET_MS) return;
    toldAt = now;
    const text = stackOf(error);
    log.error(`a bug in fanout itself, please report it (the agent goes on): ${text}`);
  };
  // Node brings rejections that nobody handles here too.
  process.on('uncaughtException', survive);
}
