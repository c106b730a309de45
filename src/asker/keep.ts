import { FanoutError, messageOf } from '../lib/errors.ts';
import type { Millis } from '../lib/time.ts';
import { exitCode, type RunEvent, type RunState } from '../run/model.ts';
import { countOutcomes } from '../run/outcome.ts';
import { addHistory } from './history.ts';
import { Recorder } from './recording.ts';
import type { RunHeadRecord } from './recording-format.ts';
import { pruneRuns, runsFolder } from './run-record.ts';

/** What is written down of a run, and that it was made. A disk that does not take it never stands in the way of the run. */
export class Keeper {
  readonly recorder: Recorder | undefined;
  private readonly head: RunHeadRecord;
  private readonly command: string;
  private trouble = '';

  /** `command` is what the history shows, so that it can be run again. */
  constructor(
    head: RunHeadRecord,
    command: string,
    options: { readonly maxBytes?: number; readonly isIndexed: boolean },
  ) {
    this.head = head;
    this.command = command;
    try {
      pruneRuns(head.unixMs);
      this.recorder = Recorder.create(runsFolder(), head, options);
    } catch (error) {
      this.trouble = `this run is not recorded: ${messageOf(error)}`;
    }
  }

  /** What could not be kept, '' when all was. */
  get problem(): string {
    return this.trouble === '' ? (this.recorder?.problem ?? '') : this.trouble;
  }

  event(atMs: Millis, event: RunEvent, data?: Uint8Array): void {
    this.recorder?.event(atMs, event, data);
  }

  /** The run is over, `atMs` after its start. */
  end(state: RunState, atMs: Millis): void {
    this.recorder?.close(state, atMs);
    const { id, unixMs, selector } = this.head;
    try {
      addHistory({
        id,
        unixMs,
        command: this.command,
        selector,
        targets: state.targets.size,
        counts: countOutcomes(state),
        exit: exitCode(state),
        durationMs: Math.round(atMs),
      });
    } catch (error) {
      if (error instanceof FanoutError) throw error;
      this.trouble = `the history cannot be written: ${messageOf(error)}`;
    }
  }
}
