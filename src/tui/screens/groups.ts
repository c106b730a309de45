import type { Group } from '../../run/groups.ts';
import { bodyHeight } from '../model/layout.ts';
import { reference } from '../model/run.ts';
import type { SessionState } from '../model/state.ts';
import { type Frame, fitted, type Line } from '../view/line.ts';
import { ends, filled, foreign, keyLine, listRows, outcomeSpan, row, rule, span } from './parts.ts';
import { foldedSpan, headLine, tailLines } from './run.ts';
import { titleLine } from './targets.ts';

/** Identical answers folded, outliers first, and the answer of the selected group below. */
export function drawGroups(state: SessionState): Frame {
  const view = state.run;
  if (view === undefined) return { lines: filled([titleLine(state)], state.rows) };
  const height = bodyHeight(state);
  const base = reference(view);
  const chosen = view.groups[view.groupList.cursor];
  const ended = view.groups.reduce((sum, { names }) => sum + names.length, 0);
  const open = view.run.open === 0 ? '' : `, ${view.run.open} not ended yet`;
  const head = ` ${view.groups.length} different answer${view.groups.length === 1 ? '' : 's'} of ${ended} nodes${open}`;
  const list = listRows(view.groups, view.groupList, height, (group, _, isSelected) =>
    row(groupLine(group, group.key === base?.key), isSelected, state.columns),
  );
  const pane = Math.max(0, state.rows - 5 - height);
  const node = chosen?.names[0];
  const title =
    chosen === undefined
      ? ''
      : `as on ${node ?? ''}${chosen.names.length > 1 ? ` and ${chosen.names.length - 1} more` : ''}`;
  const answer =
    node === undefined
      ? filled([], pane)
      : tailLines(view, node, state.columns, pane, view.run.targets.get(node));
  return {
    lines: [
      headLine(state, view),
      ends(
        [span(head, 'bold')],
        [span(base === undefined ? '' : '= is the reference ', 'dim')],
        state.columns,
      ),
      rule(state.columns),
      ...list,
      rule(state.columns, title),
      ...answer,
      keyLine(state),
    ],
  };
}

function groupLine(group: Group, isReference: boolean): Line {
  const exit = group.code === null ? (group.signal ?? '') : `exit ${group.code}`;
  return [
    span(isReference ? '= ' : '  '),
    span(`${group.names.length}`.padStart(5), 'bold'),
    span('  '),
    outcomeSpan(group.outcome),
    foreign(exit === '' ? '  ' : ` (${exit})  `),
    foldedSpan(group.names),
  ];
}

/** A group compared with the reference. */
export function drawDiff(state: SessionState): Frame {
  const { diff, run: view, columns } = state;
  if (diff === undefined || view === undefined) return { lines: filled([titleLine(state)], state.rows) };
  const height = bodyHeight(state);
  const [base, other] = diff.title.map((key) => view.groups.find((group) => group.key === key));
  const name = (sign: string, group: Group | undefined): Line =>
    group === undefined
      ? [span(`${sign} gone`)]
      : [span(`${sign} `, 'bold'), foldedSpan(group.names), span(` (${group.names.length})`)];
  const half = Math.floor(columns / 2);
  const titles = [
    ...fitted([span(' '), ...name('---', base)], half),
    ...fitted(name('+++', other), columns - half),
  ];
  const lines = (diff.lines ?? []).slice(diff.top, diff.top + height).map(({ kind, text }): Line => {
    const style =
      kind === 'added' ? 'good' : kind === 'removed' ? 'bad' : kind === 'head' ? 'note' : undefined;
    const sign = kind === 'added' ? '+' : kind === 'removed' ? '-' : kind === 'head' ? '' : ' ';
    return fitted([span(' '), span(sign, style), foreign(text, style)], columns);
  });
  const none =
    diff.problem !== '' ? diff.problem : diff.lines === undefined ? 'comparing ...' : 'no difference';
  return {
    lines: [
      headLine(state, view),
      titles,
      rule(columns),
      ...filled(lines.length > 0 ? lines : [[span(' '), foreign(none, 'dim')]], height),
      keyLine(state),
    ],
  };
}
