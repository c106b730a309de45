import { type Group, groupsOf, outliersFirst, referenceGroup } from '../../run/groups.ts';
import { isFinal, type Target } from '../../run/model.ts';
import { OUTCOMES, type Outcome, outcomeOf } from '../../run/outcome.ts';
import { bringCommand } from './command.ts';
import { isRunning, show } from './go.ts';
import { bodyHeight } from './layout.ts';
import { LIST_START, settleList } from './list.ts';
import { type Message, notice, type Step, stay } from './messages.ts';
import { openPager } from './pager.ts';
import { RUN_FILTERS, RUN_SORTS, type RunFilter, type RunView, type SessionState } from './state.ts';
import { EMPTY_FIELD, fieldOf } from './text-field.ts';

/** How much one press of + or - moves the timeout. */
const DEADLINE_STEP_MS = 10_000;

/** Which outcomes each filter shows; `all` shows every one. */
const FILTERED: Readonly<Record<Exclude<RunFilter, 'all'>, readonly Outcome[]>> = {
  failed: ['failed', 'not-started', 'timed-out', 'untrusted', 'lost'],
  denied: ['denied'],
  silent: ['silent', 'lost', 'waiting', 'acked'],
  running: ['running', 'held', 'waiting', 'acked'],
  ok: ['ok'],
};

export function withRun(state: SessionState, changes: Partial<RunView>): SessionState {
  return state.run === undefined ? state : { ...state, run: { ...state.run, ...changes } };
}

/** Shows a run that began, or one of before. */
export function openRun(state: SessionState, opened: Extract<Message, { kind: 'run-opened' }>): SessionState {
  const { id, command, selector, run, outputs, isLive, startedUnixMs } = opened;
  const view: RunView = {
    id,
    command,
    selector,
    run,
    outputs,
    isLive,
    startedUnixMs,
    phase: undefined,
    problem: '',
    filter: 'all',
    sort: 'worst',
    hidesOk: false,
    order: [],
    orderIsOld: false,
    isFollowing: true,
    list: LIST_START,
    groups: [],
    groupList: LIST_START,
    reference: undefined,
  };
  const below = state.screens.filter(
    (screen) => !['groups', 'diff', 'pager', 'search', 'run'].includes(screen),
  );
  const screens = [...below, 'run'] as const;
  const next = {
    ...state,
    screens,
    run: view,
    pager: undefined,
    diff: undefined,
    search: undefined,
    overlay: undefined,
  };
  return reorder(regroup(next));
}

/** The run has gone on. Rows are put in order again only while the person leaves the cursor alone. */
export function runChanged(
  state: SessionState,
  changed: Extract<Message, { kind: 'run-changed' }>,
): SessionState {
  const view = state.run;
  if (view === undefined || view.id !== changed.id) return state;
  const { run, phase, problem } = changed;
  const hasEnded = run.phase === 'ended' && view.run.phase !== 'ended';
  const next = withRun(state, { run, phase, problem });
  const grouped = hasEnded || state.screens.includes('groups') ? regroup(next) : next;
  if (view.isFollowing) return reorder(grouped);
  return withRun(grouped, { orderIsOld: true });
}

/** Puts the rows into order: the filter, then the sort, then the names as they were given. */
export function reorder(state: SessionState): SessionState {
  const view = state.run;
  if (view === undefined) return state;
  const rows = [...view.run.targets.values()].filter((target) => isShown(view, target));
  const order = sorted(view, rows).map(({ name }) => name);
  const list = settleList(view.isFollowing ? LIST_START : view.list, order.length, bodyHeight(state));
  return withRun(state, { order, orderIsOld: false, list });
}

function isShown(view: RunView, target: Target): boolean {
  const outcome = outcomeOf(target);
  if (view.hidesOk && outcome === 'ok' && view.filter !== 'ok') return false;
  return view.filter === 'all' || FILTERED[view.filter].includes(outcome);
}

/** The targets are in natural order of their names already, and the sort is stable. */
function sorted(view: RunView, rows: Target[]): Target[] {
  const key: Readonly<Record<RunView['sort'], (target: Target) => number>> = {
    worst: (target) => OUTCOMES.indexOf(outcomeOf(target)),
    name: () => 0,
    time: (target) => -(target.durationMs ?? (target.endedAt ?? view.run.startedAt) - view.run.startedAt),
    exit: (target) => -(target.code ?? (target.signal === null ? -1 : 256)),
    size: (target) => -(target.stdoutBytes + target.stderrBytes),
  };
  const keys = new Map(rows.map((target) => [target, key[view.sort](target)]));
  return rows.sort((a, b) => (keys.get(a) ?? 0) - (keys.get(b) ?? 0));
}

/** Folds identical answers of those that have ended, outliers first; the cursor stays on its group. */
function regroup(state: SessionState): SessionState {
  const view = state.run;
  if (view === undefined) return state;
  const ended = [...view.run.targets.values()].filter((target) => isFinal(target.state));
  const groups = outliersFirst(groupsOf(ended, (node) => view.outputs.digest(node)));
  const chosen = view.groups[view.groupList.cursor]?.key;
  const cursor = groups.findIndex(({ key }) => key === chosen);
  const list = { ...view.groupList, cursor: Math.max(0, cursor) };
  return withRun(state, { groups, groupList: settleList(list, groups.length, bodyHeight(state)) });
}

/** The group that the others are compared with. */
export function reference(view: RunView): Group | undefined {
  return view.groups.find(({ key }) => key === view.reference) ?? referenceGroup(view.groups);
}

/** The node under the cursor of the run screen. */
export function chosenNode(state: SessionState): string | undefined {
  return state.run?.order[state.run.list.cursor];
}

function next<T>(values: readonly T[], value: T): T {
  return values[(values.indexOf(value) + 1) % values.length] ?? value;
}

function rearranged(state: SessionState, changes: Partial<RunView>): Step {
  return stay(reorder(withRun(state, { ...changes, isFollowing: true })));
}

function moveDeadline(state: SessionState, byMs: number): Step {
  const run = state.run?.run;
  if (run === undefined || !isRunning(state)) return stay(state);
  const elapsed = state.now - run.startedAt;
  const timeoutMs = Math.max(run.timeoutMs + byMs, Math.ceil(elapsed / 1000) * 1000 + 1000);
  return stay(state, { kind: 'move-deadline', timeoutMs });
}

function again(state: SessionState, only: { names: readonly string[]; why: string } | undefined): Step {
  const view = state.run;
  if (view === undefined) return stay(state);
  if (only !== undefined && only.names.length === 0) return stay(notice(state, 'none of them failed'));
  // The same targets, not whoever matches now: a run is repeated where it was run.
  const names = only ?? { names: [...view.run.targets.keys()], why: 'the same nodes' };
  return bringCommand(state, view.command, names);
}

function failedNames(view: RunView): readonly string[] {
  return [...view.run.targets.values()]
    .filter((target) => isFinal(target.state) && outcomeOf(target) !== 'ok')
    .map(({ name }) => name);
}

function diffChosen(state: SessionState): Step {
  const view = state.run;
  const node = chosenNode(state);
  if (view === undefined || node === undefined) return stay(state);
  const grouped = regroup(state);
  const groups = grouped.run?.groups ?? [];
  const group = groups.find(({ names }) => names.includes(node));
  if (group === undefined) return stay(notice(state, `${node} has not ended yet`));
  return openDiff(grouped, group);
}

/** Compares a group with the reference, or the next one when it is the reference itself. */
export function openDiff(state: SessionState, group: Group): Step {
  const view = state.run;
  if (view === undefined) return stay(state);
  const base = reference(view);
  const other = group.key === base?.key ? view.groups.find(({ key }) => key !== base.key) : group;
  const [baseNode, otherNode] = [base?.names[0], other?.names[0]];
  if (base === undefined || other === undefined || baseNode === undefined || otherNode === undefined) {
    return stay(notice(state, 'there is nothing to compare: all answers are the same'));
  }
  const diff = {
    group: other.key,
    title: [base.key, other.key],
    lines: undefined,
    problem: '',
    top: 0,
  } as const;
  return stay(show({ ...state, diff }, 'diff'), {
    kind: 'diff',
    group: other.key,
    reference: baseNode,
    node: otherNode,
  });
}

export const RUN_ACTIONS = {
  'run.output': (state: SessionState): Step => {
    const node = chosenNode(state);
    return node === undefined ? stay(state) : stay(openPager(state, node));
  },
  'run.groups': (state: SessionState): Step => stay(regroup(show(state, 'groups'))),
  'run.diff': diffChosen,
  'run.search': (state: SessionState): Step =>
    stay({ ...state, overlay: { kind: 'find', in: 'outputs', field: fieldOf(state.search?.query ?? '') } }),
  'run.filter': (state: SessionState): Step =>
    rearranged(state, { filter: next(RUN_FILTERS, state.run?.filter ?? 'all') }),
  'run.sort': (state: SessionState): Step =>
    rearranged(state, { sort: next(RUN_SORTS, state.run?.sort ?? 'worst') }),
  'run.hide-ok': (state: SessionState): Step => rearranged(state, { hidesOk: state.run?.hidesOk !== true }),
  'run.update': (state: SessionState): Step => rearranged(state, {}),
  'run.cancel': (state: SessionState): Step =>
    isRunning(state)
      ? stay(notice(state, 'stopping: what runs is being killed', 'warn'), { kind: 'interrupt-run' })
      : stay(state),
  'run.cancel-node': (state: SessionState): Step => {
    const node = chosenNode(state);
    const target = node === undefined ? undefined : state.run?.run.targets.get(node);
    if (node === undefined || target === undefined) return stay(state);
    if (isFinal(target.state)) return stay(notice(state, `${node} has ended already`));
    return stay({ ...state, overlay: { kind: 'stop-one', node } });
  },
  'run.extend': (state: SessionState): Step => moveDeadline(state, DEADLINE_STEP_MS),
  'run.cut': (state: SessionState): Step => moveDeadline(state, -DEADLINE_STEP_MS),
  'run.again': (state: SessionState): Step => again(state, undefined),
  'run.again-failed': (state: SessionState): Step =>
    state.run === undefined
      ? stay(state)
      : again(state, { names: failedNames(state.run), why: 'those that did not return 0' }),
  'run.command': (state: SessionState): Step => bringCommand(state, '', state.command.only),
  'run.save': (state: SessionState): Step =>
    state.run === undefined
      ? stay(state)
      : stay({ ...state, overlay: { kind: 'save', format: 'text', field: EMPTY_FIELD } }),
};

export const GROUPS_ACTIONS = {
  'groups.output': (state: SessionState): Step => {
    const node = chosenGroup(state)?.names[0];
    return node === undefined ? stay(state) : stay(openPager(state, node));
  },
  'groups.diff': (state: SessionState): Step => {
    const group = chosenGroup(state);
    return group === undefined ? stay(state) : openDiff(state, group);
  },
  'groups.reference': (state: SessionState): Step => {
    const group = chosenGroup(state);
    if (group === undefined) return stay(state);
    return stay(
      notice(withRun(state, { reference: group.key }), 'the others are compared with this group now'),
    );
  },
  'groups.again': (state: SessionState): Step => {
    const group = chosenGroup(state);
    return group === undefined
      ? stay(state)
      : again(state, { names: group.names, why: 'a group of answers' });
  },
};

function chosenGroup(state: SessionState): Group | undefined {
  return state.run?.groups[state.run.groupList.cursor];
}
