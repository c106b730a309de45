import type { PlanGroup } from '../../asker/plan.ts';
import type { Millis } from '../../lib/time.ts';
import type { DiffLine } from '../../run/diff.ts';
import type { Group } from '../../run/groups.ts';
import type { RunState } from '../../run/model.ts';
import type { Outcome } from '../../run/outcome.ts';
import type { RolloutPhase } from '../../run/rollout.ts';
import { LIST_START, type ListPosition } from './list.ts';
import { EMPTY_FIELD, type TextField } from './text-field.ts';

/** What the session shows, one at a time; Escape goes back to the one before. */
export type ScreenName =
  | 'targets'
  | 'command'
  | 'run'
  | 'groups'
  | 'diff'
  | 'pager'
  | 'search'
  | 'runs'
  | 'members'
  | 'monitor';

/** A member as the session knows it. `about` is what its agent said of itself, which nobody has proved. */
export interface MemberView {
  readonly name: string;
  readonly address: string;
  readonly status: 'none' | 'alive' | 'leaving' | 'left' | 'failed';
  readonly isSuspect: boolean;
  readonly rttMs: number | undefined;
  readonly tags: ReadonlyMap<string, string>;
  readonly about: MemberAbout | undefined;
}

export interface MemberAbout {
  readonly version: string;
  readonly environment: string;
  readonly policyHash: string;
}

/** One tag with one value, and how many living members have it. */
export interface TagRow {
  readonly name: string;
  readonly value: string;
  readonly count: number;
}

export interface SavedSelection {
  readonly name: string;
  readonly text: string;
}

export interface TargetsState {
  readonly field: TextField;
  readonly focus: 'text' | 'tags' | 'nodes';
  readonly tags: ListPosition;
  readonly nodes: ListPosition;
  readonly tagRows: readonly TagRow[];
  /** Why the text is no selection, '' when it is one. */
  readonly problem: string;
  /** The selection as nodes will read it: the last one that could be read. */
  readonly selector: string;
  /** Names of the living members that match, in natural order. */
  readonly matched: readonly string[];
  /** Of those that match but are not alive, or are suspect: what has to be said of them before a run. */
  readonly gone: readonly string[];
  readonly suspect: readonly string[];
  readonly saved: readonly SavedSelection[];
}

/** One kind of answer to "would you run this?", and who gave it. */
export type VerdictGroup = PlanGroup;

export type Verdict =
  | { readonly kind: 'none' }
  /** The text is no command, whoever is asked. */
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'waiting'; readonly at: Millis }
  | { readonly kind: 'asking'; readonly token: number }
  | { readonly kind: 'known'; readonly groups: readonly VerdictGroup[] }
  | { readonly kind: 'unknown'; readonly reason: string };

export const OPTION_NAMES = ['timeout', 'batch', 'pause', 'canary', 'errors', 'window'] as const;
export type OptionName = (typeof OPTION_NAMES)[number];

/** One command of before, as the history file keeps it. */
export interface HistoryEntry {
  readonly id: string;
  readonly unixMs: number;
  readonly command: string;
  readonly selector: string;
  readonly targets: number;
  readonly counts: Readonly<Partial<Record<Outcome, number>>>;
  readonly exit: number;
  readonly durationMs: number;
}

export interface CommandState {
  readonly field: TextField;
  readonly verdict: Verdict;
  readonly token: number;
  /** Which entry of the history the arrows have brought up; -1: what was typed. */
  readonly recalled: number;
  readonly typed: string;
  /** The option that is being edited; undefined: the command. */
  readonly option: OptionName | undefined;
  readonly options: Readonly<Record<OptionName, TextField>>;
  /** Names that a run is restricted to, such as those that failed before; undefined: whoever matches. */
  readonly only: { readonly names: readonly string[]; readonly why: string } | undefined;
}

/** What nodes have written, as the screens may read it. Lines are clean: nothing in them drives a terminal. */
export interface OutputSource {
  bytes(node: string): number;
  lineCount(node: string): number;
  lines(
    node: string,
    from: number,
    count: number,
  ): readonly { readonly stream: 'stdout' | 'stderr'; readonly text: string }[];
  lastLine(node: string): string;
  digest(node: string): string;
}

export const RUN_FILTERS = ['all', 'failed', 'denied', 'silent', 'running', 'ok'] as const;
export type RunFilter = (typeof RUN_FILTERS)[number];
export const RUN_SORTS = ['worst', 'name', 'time', 'exit', 'size'] as const;
type RunSort = (typeof RUN_SORTS)[number];

export interface RunView {
  readonly id: string;
  readonly command: string;
  readonly selector: string;
  /** Shared with the driver, which updates it in place: see `reduceRun`. */
  readonly run: RunState;
  readonly outputs: OutputSource;
  readonly isLive: boolean;
  readonly startedUnixMs: number;
  readonly phase: RolloutPhase | undefined;
  /** What could not be kept of the output, '' when all was. */
  readonly problem: string;
  readonly filter: RunFilter;
  readonly sort: RunSort;
  readonly hidesOk: boolean;
  /** Names in the order of the screen. It stands still while the person moves in it. */
  readonly order: readonly string[];
  readonly orderIsOld: boolean;
  readonly isFollowing: boolean;
  readonly list: ListPosition;
  readonly groups: readonly Group[];
  readonly groupList: ListPosition;
  /** Key of the group that the others are compared with; undefined: the rule decides. */
  readonly reference: string | undefined;
}

export interface PagerState {
  readonly node: string;
  readonly top: number;
  readonly left: number;
  readonly wraps: boolean;
  /** At the end, and staying there while more comes. */
  readonly follows: boolean;
  readonly query: string;
}

interface DiffState {
  /** Key of the group that is compared with the reference. */
  readonly group: string;
  readonly title: readonly [reference: string, other: string];
  readonly lines: readonly DiffLine[] | undefined;
  /** Why there is no comparison, '' when there is one or it is being made. */
  readonly problem: string;
  readonly top: number;
}

export interface SearchHit {
  readonly node: string;
  readonly count: number;
  /** The first line with a hit. */
  readonly line: number;
  readonly text: string;
}

interface SearchState {
  readonly query: string;
  readonly hits: readonly SearchHit[];
  readonly isDone: boolean;
  readonly problem: string;
  readonly list: ListPosition;
}

/** A run of before, as the list shows it. */
export interface RunSummary {
  readonly id: string;
  readonly unixMs: number;
  readonly command: string;
  readonly selector: string;
  readonly targets: number;
  readonly ok: number;
  readonly exit: number | undefined;
}

export interface MonitorLine {
  readonly unixMs: number;
  readonly kind: 'member' | 'event' | 'query' | 'log' | 'note';
  readonly text: string;
}

export const LOG_LEVELS = ['off', 'warn', 'info', 'debug'] as const;
export type LogLevelChoice = (typeof LOG_LEVELS)[number];

export interface MonitorState {
  readonly lines: readonly MonitorLine[];
  readonly level: LogLevelChoice;
  readonly isPaused: boolean;
  /** Lines above the newest one that the bottom of the screen shows. */
  readonly back: number;
}

export const SAVE_FORMATS = ['text', 'dir', 'json', 'ndjson', 'csv'] as const;
export type SaveFormat = (typeof SAVE_FORMATS)[number];

/** What lies over the screen and takes the keys. */
export type Overlay =
  | { readonly kind: 'help'; readonly list: ListPosition }
  | {
      readonly kind: 'confirm';
      readonly command: string;
      readonly count: number;
      readonly notReadOnly: number;
      readonly field: TextField;
    }
  | { readonly kind: 'quit' }
  | { readonly kind: 'stop-one'; readonly node: string }
  | { readonly kind: 'save'; readonly format: SaveFormat; readonly field: TextField }
  | { readonly kind: 'save-selection'; readonly field: TextField }
  | { readonly kind: 'history'; readonly field: TextField; readonly list: ListPosition }
  | { readonly kind: 'find'; readonly in: 'outputs' | 'pager'; readonly field: TextField }
  | { readonly kind: 'filter-members'; readonly field: TextField };

interface Notice {
  readonly text: string;
  readonly style: 'note' | 'warn' | 'bad' | 'good';
  readonly until: Millis;
}

export interface SessionState {
  readonly columns: number;
  readonly rows: number;
  /** Of the monotonic clock that runs are measured with. */
  readonly now: Millis;
  readonly unixMs: number;
  /** Minutes to add to UTC for the clock on the screen. */
  readonly zoneMinutes: number;
  /** Whether nodes are asked for their verdicts without a word. */
  readonly asksByItself: boolean;
  readonly link: 'connected' | 'lost';
  readonly linkReason: string;
  readonly environment: string;
  readonly agent: string;
  readonly members: readonly MemberView[];
  readonly membersList: ListPosition;
  readonly membersFilter: string;
  readonly programs: readonly { readonly program: string; readonly readOnly: boolean }[];
  readonly targets: TargetsState;
  readonly command: CommandState;
  readonly run: RunView | undefined;
  readonly pager: PagerState | undefined;
  readonly diff: DiffState | undefined;
  readonly search: SearchState | undefined;
  readonly runs: { readonly list: ListPosition; readonly rows: readonly RunSummary[] };
  readonly history: readonly HistoryEntry[];
  readonly monitor: MonitorState;
  /** The last is on the screen. */
  readonly screens: readonly ScreenName[];
  readonly overlay: Overlay | undefined;
  readonly notice: Notice | undefined;
  /** When Ctrl-C was pressed last: twice in two seconds ends the session. */
  readonly interruptedAt: Millis;
}

export function initialState(facts: {
  columns: number;
  rows: number;
  now: Millis;
  unixMs: number;
  zoneMinutes: number;
  selector: string;
  asksByItself: boolean;
}): SessionState {
  const { columns, rows, now, unixMs, zoneMinutes, selector, asksByItself } = facts;
  const field = { text: selector, cursor: selector.length };
  return {
    columns,
    rows,
    now,
    unixMs,
    zoneMinutes,
    asksByItself,
    link: 'connected',
    linkReason: '',
    environment: '',
    agent: '',
    members: [],
    membersList: LIST_START,
    membersFilter: '',
    programs: [],
    targets: {
      field,
      focus: 'text',
      tags: LIST_START,
      nodes: LIST_START,
      tagRows: [],
      problem: '',
      selector: '',
      matched: [],
      gone: [],
      suspect: [],
      saved: [],
    },
    command: {
      field: EMPTY_FIELD,
      verdict: { kind: 'none' },
      token: 0,
      recalled: -1,
      typed: '',
      option: undefined,
      options: {
        timeout: { text: '30s', cursor: 3 },
        batch: EMPTY_FIELD,
        pause: EMPTY_FIELD,
        canary: EMPTY_FIELD,
        errors: EMPTY_FIELD,
        window: EMPTY_FIELD,
      },
      only: undefined,
    },
    run: undefined,
    pager: undefined,
    diff: undefined,
    search: undefined,
    runs: { list: LIST_START, rows: [] },
    history: [],
    monitor: { lines: [], level: 'off', isPaused: false, back: 0 },
    screens: ['targets'],
    overlay: undefined,
    notice: undefined,
    interruptedAt: Number.NEGATIVE_INFINITY,
  };
}

export function currentScreen(state: SessionState): ScreenName {
  return state.screens.at(-1) ?? 'targets';
}
