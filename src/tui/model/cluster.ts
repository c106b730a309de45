import { FanoutError } from '../../lib/errors.ts';
import { exactText, matchesSelector } from '../../policy/selector.ts';
import { parseSelector } from '../../policy/selector-parser.ts';
import { bringCommand } from './command.ts';
import { show } from './go.ts';
import { bodyHeight } from './layout.ts';
import { type Message, notice, type Step, stay } from './messages.ts';
import { openPager } from './pager.ts';
import { LOG_LEVELS, type MemberView, type MonitorState, type SessionState } from './state.ts';
import { setTargetsText } from './targets.ts';
import { fieldOf } from './text-field.ts';

/** Lines of the monitor that are kept. */
const MONITOR_LINES_MAX = 2000;

/** The members that the filter of the members screen lets through; one that cannot be read lets all through. */
export function shownMembers(state: SessionState): readonly MemberView[] {
  if (state.membersFilter === '') return state.members;
  try {
    const selector = parseSelector(state.membersFilter, {
      saved: (name) => state.targets.saved.find((selection) => selection.name === name)?.text,
    });
    return state.members.filter((member) => matchesSelector(selector, member));
  } catch (error) {
    if (!(error instanceof FanoutError)) throw error;
    return state.members;
  }
}

/** What an agent said of itself. */
export function aboutReceived(state: SessionState, said: Extract<Message, { kind: 'about' }>): SessionState {
  const members = state.members.map((member) =>
    member.name === said.node ? { ...member, about: said.about } : member,
  );
  return { ...state, members };
}

export const MEMBERS_ACTIONS = {
  'members.filter': (state: SessionState): Step =>
    stay({ ...state, overlay: { kind: 'filter-members', field: fieldOf(state.membersFilter) } }),
  'members.take': (state: SessionState): Step => {
    const member = shownMembers(state)[state.membersList.cursor];
    if (member === undefined) return stay(state);
    const value = exactText(member.name);
    if (value === undefined)
      return stay(notice(state, 'its name is a pattern: it cannot be meant alone', 'bad'));
    return stay(show(setTargetsText(state, fieldOf(`node=${value}`)), 'targets'));
  },
  'members.about': (state: SessionState): Step =>
    stay(notice(state, 'asking the agents what they are'), { kind: 'ask-about' }),
};

/** New lines at the end; a monitor that stands still goes on showing the same ones. */
export function monitorReceived(
  state: SessionState,
  received: Extract<Message, { kind: 'monitor' }>,
): SessionState {
  const { monitor } = state;
  const lines = [...monitor.lines, ...received.lines].slice(-MONITOR_LINES_MAX);
  const stands = monitor.isPaused || monitor.back > 0;
  const back = stands ? Math.min(monitor.back + received.lines.length, lines.length) : 0;
  return { ...state, monitor: { ...monitor, lines, back } };
}

function scroll(state: SessionState, by: number): Step {
  const { monitor } = state;
  const most = Math.max(0, monitor.lines.length - bodyHeight(state));
  const back = Math.max(0, Math.min(monitor.back + by, most));
  return stay(withMonitor(state, { back }));
}

function withMonitor(state: SessionState, changes: Partial<MonitorState>): SessionState {
  return { ...state, monitor: { ...state.monitor, ...changes } };
}

export const MONITOR_ACTIONS = {
  'monitor.level': (state: SessionState): Step => {
    const at = (LOG_LEVELS.indexOf(state.monitor.level) + 1) % LOG_LEVELS.length;
    const level = LOG_LEVELS[at] ?? 'off';
    return stay(withMonitor(state, { level }), { kind: 'monitor-level', level });
  },
  'monitor.pause': (state: SessionState): Step => {
    const isPaused = !state.monitor.isPaused;
    return stay(withMonitor(state, isPaused ? { isPaused } : { isPaused, back: 0 }));
  },
  'monitor.up': (state: SessionState): Step => scroll(state, 1),
  'monitor.down': (state: SessionState): Step => scroll(state, -1),
  'monitor.page-up': (state: SessionState): Step => scroll(state, bodyHeight(state) - 1),
  'monitor.page-down': (state: SessionState): Step => scroll(state, 1 - bodyHeight(state)),
};

export const RUNS_ACTIONS = {
  'runs.open': (state: SessionState): Step => {
    const row = state.runs.rows[state.runs.list.cursor];
    if (row === undefined) return stay(state);
    if (row.id === state.run?.id) return stay(show(state, 'run'));
    if (state.run?.isLive === true && state.run.run.phase !== 'ended') {
      return stay(notice(state, 'a run is under way: V shows it', 'warn'));
    }
    return stay(state, { kind: 'open-run', id: row.id });
  },
  'runs.again': (state: SessionState): Step => {
    const row = state.runs.rows[state.runs.list.cursor];
    if (row === undefined) return stay(state);
    return bringCommand(setTargetsText(state, fieldOf(row.selector)), row.command, undefined);
  },
};

export const SEARCH_ACTIONS = {
  'search.open': (state: SessionState): Step => {
    const hit = state.search?.hits[state.search.list.cursor];
    if (hit === undefined) return stay(state);
    return stay(openPager(state, hit.node, hit.line, state.search?.query ?? ''));
  },
};
