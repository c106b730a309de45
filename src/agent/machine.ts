import type { Millis } from '../lib/time.ts';
import { probeAbilities } from '../runtime/abilities-probe.ts';
import type { Abilities } from '../runtime/ground.ts';
import type { Log } from './log.ts';

/** A machine is changed without a word to its agents: a package goes, a sysctl is set. */
const PROBE_EVERY_MS: Millis = 3_600_000;

const NOTHING: Abilities = { sandboxes: [], limits: [], groupHome: {} };

/**
 * What this machine can give to commands: found out at the start, at every reload of the policy, and every hour. An agent
 * that runs nothing does not ask.
 */
export class MachineWatch {
  private readonly hidePaths: readonly string[];
  private readonly log: Log;
  private readonly timer: NodeJS.Timeout;
  private found: Abilities;
  private isProbing = false;

  private readonly isAsked: boolean;

  private constructor(hidePaths: readonly string[], log: Log, found: Abilities | undefined) {
    this.hidePaths = hidePaths;
    this.log = log;
    this.isAsked = found !== undefined;
    this.found = found ?? NOTHING;
    this.timer = setInterval(() => void this.refresh(), PROBE_EVERY_MS);
    this.timer.unref();
  }

  /** `isAsked` is false for an agent without a policy. */
  static async start(hidePaths: readonly string[], log: Log, isAsked: boolean): Promise<MachineWatch> {
    return new MachineWatch(hidePaths, log, isAsked ? await probeAbilities(hidePaths) : undefined);
  }

  get abilities(): Abilities {
    return this.found;
  }

  /** Looks again. What has changed is written to the log. */
  async refresh(): Promise<void> {
    if (this.isProbing || !this.isAsked) return;
    this.isProbing = true;
    try {
      const before = new Set(factsOf(this.found));
      this.found = await probeAbilities(this.hidePaths);
      for (const fact of factsOf(this.found)) if (!before.has(fact)) this.log.warn(`this machine: ${fact}`);
    } catch (error) {
      this.log.error(`what this machine can do could not be found out anew: ${String(error)}`);
    } finally {
      this.isProbing = false;
    }
  }

  stop(): void {
    clearInterval(this.timer);
  }
}

/** One sentence for each sandbox and limit. */
function factsOf({ sandboxes, limits }: Abilities): string[] {
  return [
    ...sandboxes.map(({ profile, ...one }) => `sandbox "${profile}" ${stateOf(one)}`),
    ...limits.map(({ limit, ...one }) => `limit of ${limit} ${stateOf(one)}`),
  ];
}

function stateOf({ available, reason, fix }: { available: boolean; reason: string; fix: string }): string {
  if (available) return reason === '' ? 'can be had' : `can be had: ${reason}`;
  return `cannot be had: ${reason}${fix === '' ? '' : `. ${fix}`}`;
}

/** The limits for `fanout info`, by name. */
export function limitFacts({ limits }: Abilities): Record<string, string> {
  return Object.fromEntries(limits.map(({ limit, ...one }) => [limit, stateOf(one)]));
}
