import { currentScreen, type SessionState } from './state.ts';

/** Below this the screens say so in one line instead of showing half of everything. */
const COLUMNS_MIN = 40;
const ROWS_MIN = 10;

/** Lines that a screen has beside its list: titles, rules, heads, the key line. */
const OVERHEAD: Readonly<Record<string, number>> = {
  targets: 7,
  diff: 4,
  pager: 3,
  search: 5,
  runs: 4,
  members: 6,
  monitor: 3,
};
const RUN_OVERHEAD = 7;
/** The run screen shows the output of the selected node below the list when there is room for both. */
const RUN_PANE_FROM_ROWS = 18;

/** Rows of the list of groups; the rest shows the answer of the selected one. */
function groupsHeight(state: SessionState): number {
  return Math.max(1, Math.floor((state.rows - 6) / 2));
}

export function isTooSmall(state: SessionState): boolean {
  return state.columns < COLUMNS_MIN || state.rows < ROWS_MIN;
}

/** Lines of the selected node's output on the run screen; 0 when there is no room. */
export function runPaneHeight(state: SessionState): number {
  return state.rows < RUN_PANE_FROM_ROWS ? 0 : Math.floor((state.rows - RUN_OVERHEAD) / 3);
}

/** Rows of the list, or lines of the text, that the current screen shows. */
export function bodyHeight(state: SessionState): number {
  if (state.overlay?.kind === 'help') return Math.max(1, state.rows - 4);
  if (state.overlay?.kind === 'history') return Math.max(1, state.rows - 6);
  const screen = currentScreen(state);
  if (screen === 'groups') return groupsHeight(state);
  if (screen === 'run') {
    const pane = runPaneHeight(state);
    // Without the pane its rule is not there either.
    return Math.max(1, state.rows - RUN_OVERHEAD - pane + (pane === 0 ? 1 : 0));
  }
  return Math.max(1, state.rows - (OVERHEAD[screen] ?? 4));
}
