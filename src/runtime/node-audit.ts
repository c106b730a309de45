import type { AuditFields, AuditHead, AuditLog } from '../identity/audit.ts';
import { messageOf } from '../lib/errors.ts';
import { RecordLimiter } from './record-limiter.ts';

/** What happens to a command that cannot be recorded: it is refused, or it runs all the same. */
export type OnAuditFailure = 'refuse' | 'run';

/** Whose refusals, and for which reason. */
type RefusalKind = { readonly operator: string; readonly code: string };

/** Queries that nobody signed: for which handler, and whether it was run. */
type UnsignedKind = { readonly handler: string; readonly outcome: 'run' | 'refused' };

/** A log that cannot be written is tried so often by what strangers send, and each time the people of the node are told. */
const RETRY_MS = 1000;

export interface NodeAuditOptions {
  readonly log: AuditLog;
  readonly onFailure: OnAuditFailure;
  readonly unixMs: () => number;
  /** Tells the people of this node. */
  readonly warn: (text: string) => void;
}

/** What a node writes down about commands, and what follows when it cannot. A broken log never brings the agent down. */
export class NodeAudit {
  private readonly options: NodeAuditOptions;
  private readonly refusals = new RecordLimiter<RefusalKind>();
  private readonly unsigned = new RecordLimiter<UnsignedKind>();
  /** When it could not be written; undefined while it can. */
  private failedAtMs: number | undefined;

  constructor(options: NodeAuditOptions) {
    this.options = options;
  }

  /** Records what is about to be done. False: it could not be recorded, and must not be done. */
  permit(fields: AuditFields): boolean {
    if (this.write(fields)) return true;
    if (this.options.onFailure === 'refuse') return false;
    this.options.warn('the command runs although it could not be recorded (--audit-on-failure run)');
    return true;
  }

  /** Records what was done. The head with that record in it; null when it could not be written. */
  note(fields: AuditFields): AuditHead | null {
    return this.write(fields) ? this.options.log.head : null;
  }

  /** Records that something was refused, unless there were too many of the same kind: those are counted. */
  refusal(kind: RefusalKind, fields: AuditFields): void {
    const leftOut = this.refusals.admit(kind, this.options.unixMs());
    if (leftOut === undefined) return;
    this.write(leftOut === 0 ? fields : { ...fields, leftOut });
  }

  /**
   * Records that something is about to be run which nobody signed, unless there were too many of the same kind: those are
   * counted, as long as the log can be written. Refused: it could not be recorded, and must not be run.
   */
  permitUnsigned(kind: UnsignedKind, fields: AuditFields): 'recorded' | 'counted' | 'refused' {
    const { onFailure, unixMs, warn } = this.options;
    const unrecorded = onFailure === 'refuse' ? 'refused' : 'counted';
    if (this.hasJustFailed()) return unrecorded;
    const leftOut = this.failedAtMs === undefined ? this.unsigned.admit(kind, unixMs()) : 0;
    if (leftOut === undefined) return 'counted';
    if (this.write(leftOut === 0 ? fields : { ...fields, leftOut })) return 'recorded';
    if (onFailure === 'run') {
      warn('the query is answered although it could not be recorded (--audit-on-failure run)');
    }
    return unrecorded;
  }

  /** Records that something was refused which nobody signed, as `refusal` does. */
  refusedUnsigned(kind: UnsignedKind, fields: AuditFields): void {
    if (this.hasJustFailed()) return;
    const leftOut = this.unsigned.admit(kind, this.options.unixMs());
    if (leftOut === undefined) return;
    this.write(leftOut === 0 ? fields : { ...fields, leftOut });
  }

  /** Writes down how many records were left out and not told yet. */
  close(): void {
    const owed = this.owed(true);
    if (owed.length > 0) this.append(owed);
  }

  private write(fields: AuditFields): boolean {
    return this.append([...this.owed(false), fields]);
  }

  private hasJustFailed(): boolean {
    const { failedAtMs } = this;
    // A clock that went back must not keep a log that is well again from being tried.
    return failedAtMs !== undefined && Math.abs(this.options.unixMs() - failedAtMs) < RETRY_MS;
  }

  private owed(all: boolean): AuditFields[] {
    const now = this.options.unixMs();
    const refusals = this.refusals.due(now, all);
    const unsigned = this.unsigned.due(now, all);
    return [
      ...refusals.map(({ kind, leftOut }) => ({ event: 'denied-more', ...kind, leftOut })),
      ...unsigned.map(({ kind, leftOut }) => ({ event: 'unsigned-query-more', ...kind, leftOut })),
    ];
  }

  private append(records: readonly AuditFields[]): boolean {
    try {
      this.options.log.append(...records);
      this.failedAtMs = undefined;
      return true;
    } catch (error) {
      this.failedAtMs = this.options.unixMs();
      this.options.warn(messageOf(error));
      return false;
    }
  }
}
