import type { AuditLog } from '../identity/audit.ts';
import { ReplayCache } from '../identity/replay-cache.ts';
import type { PolicyHolder } from './policy-holder.ts';

/**
 * The commands of before the start that could still be in time. One was issued at most a clock skew after its record,
 * and is accepted until its time to live and another skew are over.
 */
export function rememberedCommands(audit: AuditLog, policies: PolicyHolder, unixMs: number): ReplayCache {
  const replay = new ReplayCache();
  const policy = policies.current;
  if (policy === undefined) return replay;
  // What others have approved is valid for longer.
  const windowMs = (policy.maxTtlApprovedSeconds + 2 * policy.clockSkewSeconds) * 1000;
  for (const id of audit.recentRequestIds(unixMs - windowMs)) {
    // Full is safe: a full cache refuses every command until the first of these is over.
    if (replay.full) break;
    replay.remember(id, unixMs + windowMs);
  }
  return replay;
}
