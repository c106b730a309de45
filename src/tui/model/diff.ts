import { bodyHeight } from './layout.ts';
import { type Step, stay } from './messages.ts';
import { openDiff, reference } from './run.ts';
import type { SessionState } from './state.ts';

function scroll(state: SessionState, by: number): Step {
  const { diff } = state;
  if (diff === undefined) return stay(state);
  const last = Math.max(0, (diff.lines?.length ?? 0) - bodyHeight(state));
  const top = Math.max(0, Math.min(diff.top + by, last));
  return stay({ ...state, diff: { ...diff, top } });
}

/** The next group that is not the reference, round and round. */
function turn(state: SessionState, by: 1 | -1): Step {
  const { diff, run } = state;
  if (diff === undefined || run === undefined) return stay(state);
  const base = reference(run);
  const others = run.groups.filter(({ key }) => key !== base?.key);
  const at = others.findIndex(({ key }) => key === diff.group) + by + others.length;
  const group = others[at % Math.max(1, others.length)];
  return group === undefined ? stay(state) : openDiff(state, group);
}

export const DIFF_ACTIONS = {
  'diff.next': (state: SessionState): Step => turn(state, 1),
  'diff.previous': (state: SessionState): Step => turn(state, -1),
  'diff.up': (state: SessionState): Step => scroll(state, -1),
  'diff.down': (state: SessionState): Step => scroll(state, 1),
  'diff.page-up': (state: SessionState): Step => scroll(state, 1 - bodyHeight(state)),
  'diff.page-down': (state: SessionState): Step => scroll(state, bodyHeight(state) - 1),
};
