import type { Agent } from '../agent/agent.ts';
import type { LiveSettings } from '../agent/reload.ts';

/** As Serf: a leave that takes longer than this ends in a plain stop. */
const LEAVE_TIMEOUT_MS = 5000;

/**
 * Runs until a signal or the agent's own departure; returns the exit code, as Serf's agent does: 0 after a leave that
 * the others have heard of, else 1. SIGINT leaves, unless told not to; SIGTERM only when told to; a second signal stops
 * at once.
 */
export function untilTold(running: Agent, live: LiveSettings, onHangup: () => void): Promise<number> {
  return new Promise((resolve) => {
    let leaving = false;
    const leave = (): void => {
      if (leaving) return resolve(1);
      leaving = true;
      running.log.info('leaving the cluster; the same signal again stops at once');
      running.leave();
      setTimeout(
        () => resolve(1),
        Math.max(LEAVE_TIMEOUT_MS, running.config.timings.broadcastTimeoutMs),
      ).unref();
    };
    void running.gone.then(() => resolve(0));
    process.on('SIGHUP', onHangup);
    process.on('SIGTERM', () => (live.signals.leaveOnTerminate ? leave() : resolve(1)));
    process.on('SIGINT', () => (live.signals.skipLeaveOnInterrupt ? resolve(1) : leave()));
  });
}

/** Runs until the first signal that stops; for an agent that has no cluster to leave. */
export function untilSignal(onHangup: () => void): Promise<void> {
  return new Promise((resolve) => {
    process.on('SIGHUP', onHangup);
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => resolve());
  });
}
