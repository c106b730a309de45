import type { Millis } from '../../lib/time.ts';
import type { DiffLine } from '../../run/diff.ts';
import type { RunState } from '../../run/model.ts';
import type { RolloutPhase, RolloutPlan } from '../../run/rollout.ts';
import type { KeyEvent } from '../terminal/keys.ts';
import type {
  HistoryEntry,
  LogLevelChoice,
  MemberAbout,
  MemberView,
  MonitorLine,
  OutputSource,
  RunSummary,
  SavedSelection,
  SaveFormat,
  SearchHit,
  SessionState,
  VerdictGroup,
} from './state.ts';

/** What happens to the session: a key, the clock, news from the agent, results of effects. */
export type Message =
  | { readonly kind: 'key'; readonly key: KeyEvent }
  | { readonly kind: 'tick'; readonly now: Millis; readonly unixMs: number }
  | { readonly kind: 'resize'; readonly columns: number; readonly rows: number }
  | { readonly kind: 'agent'; readonly node: string; readonly environment: string }
  | { readonly kind: 'link'; readonly link: 'connected' | 'lost'; readonly reason: string }
  | { readonly kind: 'members'; readonly members: readonly MemberView[] }
  | { readonly kind: 'about'; readonly node: string; readonly about: MemberAbout }
  | {
      readonly kind: 'programs';
      readonly programs: readonly { readonly program: string; readonly readOnly: boolean }[];
    }
  | { readonly kind: 'saved-selections'; readonly saved: readonly SavedSelection[] }
  | { readonly kind: 'history'; readonly entries: readonly HistoryEntry[] }
  /** A run has ended, and with it the history has changed. */
  | { readonly kind: 'history-changed' }
  | { readonly kind: 'runs'; readonly runs: readonly RunSummary[] }
  | { readonly kind: 'verdict'; readonly token: number; readonly groups: readonly VerdictGroup[] }
  | { readonly kind: 'verdict-failed'; readonly token: number; readonly reason: string }
  /** A run began, or one of before was opened. */
  | {
      readonly kind: 'run-opened';
      readonly id: string;
      readonly command: string;
      readonly selector: string;
      readonly run: RunState;
      readonly outputs: OutputSource;
      readonly isLive: boolean;
      readonly startedUnixMs: number;
    }
  | {
      readonly kind: 'run-changed';
      readonly id: string;
      readonly run: RunState;
      readonly phase: RolloutPhase | undefined;
      readonly problem: string;
    }
  | { readonly kind: 'run-failed'; readonly reason: string }
  | { readonly kind: 'confirm'; readonly count: number; readonly notReadOnly: number }
  | {
      readonly kind: 'diff';
      readonly group: string;
      readonly lines: readonly DiffLine[];
      readonly problem: string;
    }
  | {
      readonly kind: 'search';
      readonly query: string;
      readonly hits: readonly SearchHit[];
      readonly isDone: boolean;
      readonly problem: string;
    }
  | { readonly kind: 'monitor'; readonly lines: readonly MonitorLine[] }
  | { readonly kind: 'said'; readonly text: string; readonly style: 'good' | 'bad' | 'note' };

/** What the session asks of the world; carried out by `session.ts`, answered by messages. */
export type Effect =
  | {
      readonly kind: 'start-run';
      readonly command: string;
      readonly argv: readonly string[];
      readonly selector: string;
      readonly targets: readonly string[];
      readonly timeoutMs: Millis;
      readonly rollout: RolloutPlan | undefined;
    }
  | { readonly kind: 'answer-confirm'; readonly yes: boolean }
  | { readonly kind: 'interrupt-run' }
  | { readonly kind: 'cancel-node'; readonly node: string }
  | { readonly kind: 'move-deadline'; readonly timeoutMs: Millis }
  | {
      readonly kind: 'ask-verdict';
      readonly token: number;
      readonly argv: readonly string[];
      readonly selector: string;
      readonly targets: readonly string[];
      readonly timeoutMs: Millis;
    }
  | { readonly kind: 'drop-verdict' }
  | { readonly kind: 'load-runs' }
  | { readonly kind: 'load-history' }
  | { readonly kind: 'open-run'; readonly id: string }
  | { readonly kind: 'save-run'; readonly id: string; readonly format: SaveFormat; readonly path: string }
  | { readonly kind: 'save-selection'; readonly name: string; readonly text: string }
  | { readonly kind: 'diff'; readonly group: string; readonly reference: string; readonly node: string }
  | { readonly kind: 'search'; readonly query: string }
  | { readonly kind: 'stop-search' }
  | { readonly kind: 'open-pager'; readonly node: string }
  | { readonly kind: 'monitor-level'; readonly level: LogLevelChoice }
  | { readonly kind: 'ask-about' }
  | { readonly kind: 'redraw' }
  | { readonly kind: 'suspend' }
  | { readonly kind: 'quit' };

/** The state after a message, and what is to be done. */
export interface Step {
  readonly state: SessionState;
  readonly effects: readonly Effect[];
}

export type Action = (state: SessionState) => Step;

export function stay(state: SessionState, ...effects: Effect[]): Step {
  return { state, effects };
}

/** How long a remark stays on the screen. */
const NOTICE_MS = 5000;

export function notice(
  state: SessionState,
  text: string,
  style: 'note' | 'warn' | 'bad' | 'good' = 'note',
): SessionState {
  return { ...state, notice: { text, style, until: state.now + NOTICE_MS } };
}
