import type { SessionState } from '../model/state.ts';
import type { KeyEvent } from './keys.ts';

/** What a display hears. */
export interface DisplayHandlers {
  readonly keys: (events: readonly KeyEvent[]) => void;
  /** A whole line was typed, where lines are what is typed. */
  readonly line: (text: string) => void;
  readonly resized: () => void;
  /** The terminal is ours again after a suspension: what it shows is unknown. */
  readonly returned: () => void;
  /** The terminal is gone, or somebody has asked the process to end. */
  readonly ended: () => void;
}

/** Where a session is shown and typed: a live screen, or lines for whoever hears them. */
export interface Display {
  readonly columns: number;
  readonly rows: number;
  /** Whether it still has to take what was shown: then nothing more is shown for the moment. */
  readonly isBehind: boolean;
  enter(): void;
  show(state: SessionState): void;
  /** What the terminal shows is unknown: the next time everything is shown. */
  forget(): void;
  /** Ctrl-Z: gives the terminal back to the shell until `fg`. */
  suspend(): void;
  /** Lets another program have the terminal, such as a pager. */
  handOver(use: () => Promise<void>): Promise<void>;
  /** Ends the use of the terminal for good, and puts it back as it was. */
  close(): void;
}
