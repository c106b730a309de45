import type { Abilities } from './ground.ts';
import { findGroups } from './group-home.ts';
import { sweepGroups } from './job-group.ts';
import { probeLimits } from './limit-probe.ts';
import { probeSandboxes } from './sandbox-probe.ts';

/**
 * Finds out what this machine can give to commands, by trying it: sandboxes, control groups and the limits that they keep.
 * Takes some 100 ms; the caller keeps the answer. `hidePaths` as in CommandSpec.
 */
export async function probeAbilities(hidePaths: readonly string[]): Promise<Abilities> {
  const groups = findGroups();
  sweepGroups(groups.home);
  const sandboxes = await probeSandboxes(hidePaths);
  const limits = await probeLimits(groups, sandboxes);
  const { memory, ...others } = groups.home;
  const holdsMemory = limits.some(({ limit, available }) => limit === 'memory' && available);
  // What was found not to hold is as good as missing.
  const groupHome = holdsMemory && memory !== undefined ? groups.home : others;
  return { sandboxes, limits, groupHome };
}
