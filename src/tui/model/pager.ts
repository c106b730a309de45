import { show } from './go.ts';
import { bodyHeight } from './layout.ts';
import { notice, type Step, stay } from './messages.ts';
import type { PagerState, SessionState } from './state.ts';
import { fieldOf } from './text-field.ts';

/** Columns that one press of left or right moves. */
const SIDE_STEP = 20;
/** Lines that a search looks through before it gives the keys a chance. */
const FIND_LINES_MAX = 200_000;
const FIND_BLOCK = 500;

/** Shows the whole output of a node, from the start, or at a line. */
export function openPager(state: SessionState, node: string, line = 0, query = ''): SessionState {
  const isLive = state.run?.isLive === true && line === 0;
  const pager: PagerState = { node, top: line, left: 0, wraps: false, follows: false, query };
  const next = show({ ...state, pager }, 'pager');
  return isLive ? next : withPager(next, { top: clampTop(next, node, line) });
}

export function withPager(state: SessionState, changes: Partial<PagerState>): SessionState {
  return state.pager === undefined ? state : { ...state, pager: { ...state.pager, ...changes } };
}

/** Follows an output that grows, when the person is at its end. */
export function pagerTick(state: SessionState): SessionState {
  const { pager } = state;
  if (pager?.follows !== true) return state;
  const top = lastTop(state, pager.node);
  return top === pager.top ? state : withPager(state, { top });
}

function lastTop(state: SessionState, node: string): number {
  return Math.max(0, (state.run?.outputs.lineCount(node) ?? 0) - bodyHeight(state));
}

function clampTop(state: SessionState, node: string, top: number): number {
  return Math.max(0, Math.min(top, lastTop(state, node)));
}

function move(state: SessionState, by: number): Step {
  const { pager } = state;
  if (pager === undefined) return stay(state);
  // Wrapped, a screen holds fewer lines than it has rows, so that the last ones can be brought to its top.
  const last = pager.wraps
    ? Math.max(0, (state.run?.outputs.lineCount(pager.node) ?? 0) - 1)
    : lastTop(state, pager.node);
  const top = Math.max(0, Math.min(pager.top + by, last));
  return stay(withPager(state, { top, follows: false }));
}

function turn(state: SessionState, by: 1 | -1): Step {
  const { pager, run } = state;
  if (pager === undefined || run === undefined || run.order.length === 0) return stay(state);
  const at = run.order.indexOf(pager.node) + by + run.order.length;
  const node = run.order[at % run.order.length] ?? pager.node;
  return stay(withPager(state, { node, top: 0, left: 0, follows: false }));
}

/** Looks for the query from a line on, forward or backward; the hit comes to the top of the screen. */
export function find(state: SessionState, from: number, by: 1 | -1): Step {
  const { pager, run } = state;
  if (pager === undefined || run === undefined) return stay(state);
  if (pager.query === '') return stay(notice(state, 'nothing is searched for: / asks for it'));
  const isMatch = matcherOf(pager.query);
  const count = run.outputs.lineCount(pager.node);
  for (let looked = 0, at = from; looked < FIND_LINES_MAX && at >= 0 && at < count; looked += FIND_BLOCK) {
    const start = by > 0 ? at : Math.max(0, at - FIND_BLOCK + 1);
    const size = by > 0 ? Math.min(FIND_BLOCK, count - at) : at - start + 1;
    const lines = run.outputs.lines(pager.node, start, size).map(({ text }) => isMatch(text));
    const hit = by > 0 ? lines.indexOf(true) : lines.lastIndexOf(true);
    if (hit >= 0) return stay(withPager(state, { top: start + hit, follows: false }));
    at = by > 0 ? start + size : start - 1;
  }
  const where = by > 0 ? 'below' : 'above';
  return stay(notice(state, `"${pager.query}" does not occur ${where} here`));
}

/** Without a capital letter, case does not count. */
export function matcherOf(query: string): (text: string) => boolean {
  if (query !== query.toLowerCase()) return (text) => text.includes(query);
  return (text) => text.toLowerCase().includes(query);
}

export const PAGER_ACTIONS = {
  'pager.up': (state: SessionState): Step => move(state, -1),
  'pager.down': (state: SessionState): Step => move(state, 1),
  'pager.page-up': (state: SessionState): Step => move(state, 1 - bodyHeight(state)),
  'pager.page-down': (state: SessionState): Step => move(state, bodyHeight(state) - 1),
  'pager.first': (state: SessionState): Step => stay(withPager(state, { top: 0, follows: false })),
  'pager.last': (state: SessionState): Step =>
    state.pager === undefined
      ? stay(state)
      : stay(withPager(state, { top: lastTop(state, state.pager.node), follows: true })),
  'pager.left': (state: SessionState): Step =>
    stay(withPager(state, { left: Math.max(0, (state.pager?.left ?? 0) - SIDE_STEP) })),
  'pager.right': (state: SessionState): Step =>
    stay(withPager(state, { left: Math.min(4096, (state.pager?.left ?? 0) + SIDE_STEP) })),
  'pager.wrap': (state: SessionState): Step =>
    stay(withPager(state, { wraps: state.pager?.wraps !== true, left: 0 })),
  'pager.find': (state: SessionState): Step =>
    stay({ ...state, overlay: { kind: 'find', in: 'pager', field: fieldOf(state.pager?.query ?? '') } }),
  'pager.next-hit': (state: SessionState): Step => find(state, (state.pager?.top ?? 0) + 1, 1),
  'pager.previous-hit': (state: SessionState): Step => find(state, (state.pager?.top ?? 0) - 1, -1),
  'pager.next-node': (state: SessionState): Step => turn(state, 1),
  'pager.previous-node': (state: SessionState): Step => turn(state, -1),
  'pager.open': (state: SessionState): Step =>
    state.pager === undefined ? stay(state) : stay(state, { kind: 'open-pager', node: state.pager.node }),
};
