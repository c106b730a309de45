import { type Effect, notice, type Step, stay } from './messages.ts';
import { currentScreen, type ScreenName, type SessionState } from './state.ts';

/** How long a second Ctrl-C counts as one with the first. */
const TWICE_MS = 2000;

/** Shows a screen; one that is open already comes to the front, so that going back never goes round in circles. */
export function show(state: SessionState, screen: ScreenName): SessionState {
  const at = state.screens.indexOf(screen);
  const screens = at < 0 ? [...state.screens, screen] : state.screens.slice(0, at + 1);
  return { ...state, screens };
}

/** As `show`, but keeps what is open below: for screens that can be looked at from everywhere. */
function visit(state: SessionState, screen: ScreenName): SessionState {
  return { ...state, screens: [...state.screens.filter((open) => open !== screen), screen] };
}

export function isRunning(state: SessionState): boolean {
  return state.run?.isLive === true && state.run.run.phase !== 'ended';
}

function leave(state: SessionState): Step {
  if (isRunning(state)) return stay({ ...state, overlay: { kind: 'quit' } });
  return stay(state, { kind: 'quit' });
}

function back(state: SessionState): Step {
  if (state.screens.length > 1) {
    const screens = state.screens.slice(0, -1);
    const effects: Effect[] = currentScreen(state) === 'search' ? [{ kind: 'stop-search' }] : [];
    return stay({ ...state, screens }, ...effects);
  }
  return leave(state);
}

/** Once stops what runs, twice ends the session. */
function interrupt(state: SessionState): Step {
  if (state.now - state.interruptedAt <= TWICE_MS) return stay(state, { kind: 'quit' });
  const next = { ...state, interruptedAt: state.now };
  if (isRunning(state)) {
    return stay(notice(next, 'stopping: Ctrl-C again leaves at once', 'warn'), { kind: 'interrupt-run' });
  }
  return stay(notice(next, 'nothing runs: Ctrl-C again leaves'));
}

export const GO_ACTIONS = {
  'go.back': back,
  'go.targets': (state: SessionState): Step => stay(show(state, 'targets')),
  'go.members': (state: SessionState): Step => stay(visit(state, 'members')),
  'go.runs': (state: SessionState): Step => stay(visit(state, 'runs'), { kind: 'load-runs' }),
  'go.monitor': (state: SessionState): Step => stay(visit(state, 'monitor')),
  'go.run': (state: SessionState): Step => stay(visit(state, 'run')),
  'go.interrupt': interrupt,
  'go.suspend': (state: SessionState): Step => stay(state, { kind: 'suspend' }),
  'go.redraw': (state: SessionState): Step => stay(state, { kind: 'redraw' }),
};
