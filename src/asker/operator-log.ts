import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { type AuditFields, AuditLog } from '../identity/audit.ts';
import { KnownHeads, type NodeHead } from '../identity/known-heads.ts';
import { quote } from '../identity/owned-file.ts';
import { withProcessLock } from '../identity/process-lock.ts';
import { FanoutError, messageOf } from '../lib/errors.ts';
import { statePath } from './paths.ts';

/** The operator's own audit log. */
export function operatorLogPath(): string {
  return statePath('audit.log');
}

/**
 * Adds records to the operator's log, all or none, and keeps the heads that nodes have shown. Other processes of the
 * operator take turns. Throws FanoutError CONFIG when it cannot be written.
 */
export async function addToOperatorLog(
  records: readonly AuditFields[],
  shown?: { readonly environment: string; readonly heads: ReadonlyMap<string, NodeHead> },
): Promise<void> {
  const path = operatorLogPath();
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    await withOperatorLog(() => {
      const log = AuditLog.open(path, { unixMs: () => Date.now() });
      try {
        log.append(...records);
      } finally {
        void log.closeSoon();
      }
      if (shown !== undefined && shown.heads.size > 0) {
        loadKnownHeads().remember(shown.environment, shown.heads);
      }
    });
  } catch (error) {
    const why = messageOf(error);
    const hint = error instanceof FanoutError ? error.hint : undefined;
    throw new FanoutError('CONFIG', why, {
      hint: hint ?? `Look at: ls -ld ${quote(dirname(path))}; df -h ${quote(dirname(path))}`,
      cause: error,
    });
  }
}

/** Runs something while no other process of this operator writes its log or the heads of nodes. */
export function withOperatorLog<T>(work: () => T): Promise<T> {
  return withProcessLock(statePath('audit.lock'), work);
}

/** Where the logs of nodes stood when they answered this operator last. Throws FanoutError INTEGRITY. */
export function loadKnownHeads(): KnownHeads {
  return KnownHeads.load(statePath('node_heads'));
}
