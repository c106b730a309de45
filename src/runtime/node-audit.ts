import type { AuditFields, AuditHead, AuditLog } from '../identity/audit.ts';
import { type RefusalKind, RefusalLimiter } from './refusal-limiter.ts';

/** What happens to a command that cannot be recorded: it is refused, or it runs all the same. */
export type OnAuditFailure = 'refuse' | 'run';

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
  private readonly refusals = new RefusalLimiter();

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

  /** Writes down how many refusals were left out and not told yet. */
  close(): void {
    const owed = this.owed(true);
    if (owed.length > 0) this.append(owed);
  }

  private write(fields: AuditFields): boolean {
    return this.append([...this.owed(false), fields]);
  }

  private owed(all: boolean): AuditFields[] {
    return this.refusals
      .due(this.options.unixMs(), all)
      .map(({ kind, leftOut }) => ({ event: 'denied-more', ...kind, leftOut }));
  }

  private append(records: readonly AuditFields[]): boolean {
    try {
      this.options.log.append(...records);
      return true;
    } catch (error) {
      this.options.warn(error instanceof Error ? error.message : String(error));
      return false;
    }
  }
}
