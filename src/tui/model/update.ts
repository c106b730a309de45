import { type KeyEvent, keyName } from '../terminal/keys.ts';
import { type Binding, bindingOf, contextsOf, liveBindings } from './bindings.ts';
import {
  aboutReceived,
  MEMBERS_ACTIONS,
  MONITOR_ACTIONS,
  monitorReceived,
  RUNS_ACTIONS,
  SEARCH_ACTIONS,
  shownMembers,
} from './cluster.ts';
import { COMMAND_ACTIONS, commandTick, setCommandText, withCommand } from './command.ts';
import { DIFF_ACTIONS } from './diff.ts';
import { GO_ACTIONS } from './go.ts';
import { bodyHeight } from './layout.ts';
import { type ListMove, type ListPosition, moveList, settleList } from './list.ts';
import { type Action, type Message, notice, type Step, stay } from './messages.ts';
import { askConfirm, OVERLAY_ACTIONS, withOverlayField } from './overlays.ts';
import { PAGER_ACTIONS, pagerTick } from './pager.ts';
import { GROUPS_ACTIONS, openRun, RUN_ACTIONS, reorder, runChanged, withRun } from './run.ts';
import { currentScreen, type SessionState } from './state.ts';
import { membersChanged, select, selectedMembers, setTargetsText, TARGETS_ACTIONS } from './targets.ts';
import { type EditKey, edit, insert, type TextField } from './text-field.ts';

/** The session after a message, and what is to be done about it. Pure: the clock comes in messages. */
export function update(state: SessionState, message: Message): Step {
  switch (message.kind) {
    case 'key':
      return keyPressed(state, message.key);
    case 'tick':
      return ticked(state, message.now, message.unixMs);
    case 'resize':
      return stay(resized({ ...state, columns: message.columns, rows: message.rows }));
    case 'agent':
      return stay({ ...state, agent: message.node, environment: message.environment });
    case 'link':
      return stay({ ...state, link: message.link, linkReason: message.reason });
    case 'members':
      return stay(membersChanged(state, message.members));
    case 'about':
      return stay(aboutReceived(state, message));
    case 'programs':
      return stay({ ...state, programs: message.programs });
    case 'saved-selections':
      return stay(select({ ...state, targets: { ...state.targets, saved: message.saved } }));
    case 'history-changed':
      return stay(state, { kind: 'load-history' }, { kind: 'load-runs' });
    case 'history':
      return stay({ ...state, history: message.entries });
    case 'runs':
      return stay({ ...state, runs: { ...state.runs, rows: message.runs } });
    case 'verdict':
      if (message.token !== state.command.token) return stay(state);
      return stay(withCommand(state, { verdict: { kind: 'known', groups: message.groups } }));
    case 'verdict-failed':
      if (message.token !== state.command.token) return stay(state);
      return stay(withCommand(state, { verdict: { kind: 'unknown', reason: message.reason } }));
    case 'run-opened':
      return stay(openRun(state, message));
    case 'run-changed':
      return stay(runChanged(state, message));
    case 'run-failed':
      return stay(notice(state, message.reason, 'bad'));
    case 'confirm':
      return stay(askConfirm(state, message));
    case 'diff':
      if (state.diff?.group !== message.group) return stay(state);
      return stay({ ...state, diff: { ...state.diff, lines: message.lines, problem: message.problem } });
    case 'search': {
      const { search } = state;
      if (search === undefined || search.query !== message.query) return stay(state);
      const { hits, isDone, problem } = message;
      return stay({ ...state, search: { ...search, hits, isDone, problem } });
    }
    case 'monitor':
      return stay(monitorReceived(state, message));
    case 'said':
      return stay(notice(state, message.text, message.style));
  }
}

function ticked(state: SessionState, now: number, unixMs: number): Step {
  const over = state.notice !== undefined && state.notice.until <= now;
  const next = { ...state, now, unixMs, notice: over ? undefined : state.notice };
  return commandTick(pagerTick(next));
}

function resized(state: SessionState): SessionState {
  const list = listOf(state);
  const settled =
    list === undefined ? state : list.set(settleList(list.position, list.count, bodyHeight(state)));
  return pagerTick(settled.run?.isFollowing === true ? reorder(settled) : settled);
}

const ACTIONS: Readonly<Record<string, (state: SessionState, key: string) => Step>> = {
  ...GO_ACTIONS,
  ...TARGETS_ACTIONS,
  ...COMMAND_ACTIONS,
  ...RUN_ACTIONS,
  ...GROUPS_ACTIONS,
  ...DIFF_ACTIONS,
  ...PAGER_ACTIONS,
  ...SEARCH_ACTIONS,
  ...RUNS_ACTIONS,
  ...MEMBERS_ACTIONS,
  ...MONITOR_ACTIONS,
  ...OVERLAY_ACTIONS,
  ...listActions(),
  ...textActions(),
};

/** Names of all actions; a test compares them with the bindings. */
export const ACTION_NAMES: readonly string[] = Object.keys(ACTIONS);

/** Carries out a binding, or says why it does nothing now. */
function act(state: SessionState, binding: Binding, key: string): Step {
  const reason = binding.blocked?.(state);
  if (reason !== undefined) return stay(notice(state, reason));
  return ACTIONS[binding.action]?.(state, key) ?? stay(state);
}

function keyPressed(state: SessionState, event: KeyEvent): Step {
  const field = focusedField(state);
  if (event.kind === 'paste') {
    // Whatever is pasted is text: a line end in it runs nothing.
    if (field === undefined) return stay(notice(state, 'there is no text to paste into here'));
    return field.set(insert(field.value, event.text));
  }
  const key = keyName(event);
  const binding = bindingOf(state, key);
  if (binding !== undefined) return act(state, binding, key);
  if (event.kind === 'char' && field !== undefined) return field.set(insert(field.value, event.text));
  if (event.kind === 'char') return stay(notice(state, `${key} does nothing here: ? shows the keys`));
  return stay(state);
}

/** The text that is being edited. */
function focusedField(
  state: SessionState,
): { readonly value: TextField; readonly set: (field: TextField) => Step } | undefined {
  if (!contextsOf(state).includes('text')) return undefined;
  const { overlay, command } = state;
  if (overlay !== undefined) {
    if (!('field' in overlay)) return undefined;
    const set = (field: TextField): Step => stay({ ...state, overlay: withOverlayField(overlay, field) });
    return { value: overlay.field, set };
  }
  if (currentScreen(state) === 'targets') {
    return { value: state.targets.field, set: (field) => stay(setTargetsText(state, field)) };
  }
  const { option } = command;
  if (option === undefined) return { value: command.field, set: (field) => setCommandText(state, field) };
  return {
    value: command.options[option],
    set: (field) => stay(withCommand(state, { options: { ...command.options, [option]: field } })),
  };
}

interface List {
  readonly position: ListPosition;
  readonly count: number;
  readonly set: (position: ListPosition) => SessionState;
}

/** The list that the arrows move in. */
function listOf(state: SessionState): List | undefined {
  const { overlay, targets, run, search, runs } = state;
  if (overlay?.kind === 'help') {
    const set = (list: ListPosition): SessionState => ({ ...state, overlay: { ...overlay, list } });
    return { position: overlay.list, count: liveBindings({ ...state, overlay: undefined }).length, set };
  }
  switch (currentScreen(state)) {
    case 'targets': {
      const which = targets.focus === 'nodes' ? 'nodes' : 'tags';
      const count = which === 'tags' ? targets.tagRows.length : selectedMembers(state).length;
      return {
        position: targets[which],
        count,
        set: (list) => ({ ...state, targets: { ...targets, [which]: list } }),
      };
    }
    case 'run':
      if (run === undefined) return undefined;
      return {
        position: run.list,
        count: run.order.length,
        set: (list) => withRun(state, { list, isFollowing: false }),
      };
    case 'groups':
      if (run === undefined) return undefined;
      return {
        position: run.groupList,
        count: run.groups.length,
        set: (groupList) => withRun(state, { groupList }),
      };
    case 'search':
      if (search === undefined) return undefined;
      return {
        position: search.list,
        count: search.hits.length,
        set: (list) => ({ ...state, search: { ...search, list } }),
      };
    case 'runs':
      return {
        position: runs.list,
        count: runs.rows.length,
        set: (list) => ({ ...state, runs: { ...runs, list } }),
      };
    case 'members':
      return {
        position: state.membersList,
        count: shownMembers(state).length,
        set: (membersList) => ({ ...state, membersList }),
      };
    default:
      return undefined;
  }
}

function listActions(): Record<string, Action> {
  const moves: Readonly<Record<string, ListMove>> = {
    'list.up': 'up',
    'list.down': 'down',
    'list.page-up': 'page-up',
    'list.page-down': 'page-down',
    'list.first': 'first',
    'list.last': 'last',
  };
  return Object.fromEntries(
    Object.entries(moves).map(([name, move]) => [
      name,
      (state: SessionState): Step => {
        const list = listOf(state);
        if (list === undefined) return stay(state);
        return stay(list.set(moveList(list.position, move, list.count, bodyHeight(state))));
      },
    ]),
  );
}

function textActions(): Record<string, Action> {
  const edits: readonly EditKey[] = [
    'left',
    'right',
    'home',
    'end',
    'backspace',
    'delete',
    'kill-word',
    'kill-start',
    'kill-end',
  ];
  return Object.fromEntries(
    edits.map((key) => [
      `text.${key}`,
      (state: SessionState): Step => {
        const field = focusedField(state);
        return field === undefined ? stay(state) : field.set(edit(field.value, key));
      },
    ]),
  );
}
