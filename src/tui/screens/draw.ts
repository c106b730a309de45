import { countOutcomes } from '../../run/outcome.ts';
import { isTooSmall } from '../model/layout.ts';
import { currentScreen, type ScreenName, type SessionState } from '../model/state.ts';
import { ascii, type Frame, fitted } from '../view/line.ts';
import { drawCommand } from './command.ts';
import { drawDiff, drawGroups } from './groups.ts';
import { drawMembers, drawMonitor, drawRuns, drawSearch } from './lists.ts';
import { drawHelp, drawHistory, drawPrompt } from './overlays.ts';
import { drawPager } from './pager.ts';
import { filled, span } from './parts.ts';
import { drawRun } from './run.ts';
import { drawTargets } from './targets.ts';

const SCREENS: Readonly<Record<ScreenName, (state: SessionState) => Frame>> = {
  targets: drawTargets,
  command: drawCommand,
  run: drawRun,
  groups: drawGroups,
  diff: drawDiff,
  pager: drawPager,
  search: drawSearch,
  runs: drawRuns,
  members: drawMembers,
  monitor: drawMonitor,
};

/** The screen of a state: exactly as many lines as it has rows. A function of the state and of the outputs it refers to. */
export function draw(state: SessionState, options: { readonly ascii: boolean }): Frame {
  const frame = isTooSmall(state) ? tooSmall(state) : whole(state);
  const lines = filled(frame.lines, state.rows).map((line) => fitted(line, state.columns));
  return { ...frame, lines: options.ascii ? lines.map(ascii) : lines };
}

function whole(state: SessionState): Frame {
  const { overlay } = state;
  if (overlay?.kind === 'help') return drawHelp(state, overlay);
  if (overlay?.kind === 'history') return drawHistory(state, overlay);
  const frame = SCREENS[currentScreen(state)](state);
  return overlay === undefined ? frame : drawPrompt(frame, state, overlay);
}

/** One honest line where there is no room for a screen; everything goes on behind it. */
function tooSmall(state: SessionState): Frame {
  const { run } = state;
  if (run === undefined) return { lines: [[span(`too small: ${state.targets.matched.length} matched`)]] };
  const { ok } = countOutcomes(run.run);
  const { size } = run.run.targets;
  const done = size - run.run.open;
  return { lines: [[span(`too small: ${done}/${size} done, ${ok} ok, ${done - ok} not`)]] };
}
