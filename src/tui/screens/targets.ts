import { bodyHeight } from '../model/layout.ts';
import type { MemberView, SessionState } from '../model/state.ts';
import { selectedMembers } from '../model/targets.ts';
import type { Frame, Line } from '../view/line.ts';
import { fitted } from '../view/line.ts';
import {
  type Column,
  cells,
  clock,
  editable,
  ends,
  foreign,
  heads,
  keyLine,
  listRows,
  row,
  rule,
  span,
} from './parts.ts';

const LABEL = ' Target  ';

/** Choosing where to run: the selection as text, the tags with their counts, and who matches. */
export function drawTargets(state: SessionState): Frame {
  const { columns, targets } = state;
  const height = bodyHeight(state);
  const matched = `  matched ${targets.matched.length} of ${countAlive(state.members)} `;
  const room = columns - LABEL.length - matched.length;
  const field = editable(targets.field, room);
  const placeholder = span('everybody: type role=web, web[01-20], or go to the tags with Tab', 'dim');
  const text = targets.field.text === '' ? fitted([placeholder], room) : field.line;
  const left = Math.min(60, Math.floor((columns * 52) / 100));
  const lines: Line[] = [
    titleLine(state),
    [span(LABEL, 'title'), ...text, span(matched, targets.problem === '' ? 'bold' : 'dim')],
    rule(columns),
    ...columnsSideBySide(state, left, height),
    rule(columns),
    remarkLine(state),
    keyLine(state),
  ];
  if (targets.focus !== 'text' || state.overlay !== undefined) return { lines };
  return { lines, cursor: { row: 1, column: LABEL.length + field.column } };
}

/** The cluster at a glance, on every screen's first line where there is nothing better to say. */
export function titleLine(state: SessionState): Line {
  const { members, environment, link, linkReason } = state;
  if (link === 'lost') {
    const what = ` fanout  THE AGENT IS GONE: ${linkReason}; trying again. What is shown is what was known.`;
    return fitted([foreign(what, 'bad')], state.columns);
  }
  const suspect = members.filter(({ status, isSuspect }) => status === 'alive' && isSuspect).length;
  const failed = members.filter(({ status }) => status === 'failed').length;
  const counts = [
    span(`  ${countAlive(members)} alive`),
    ...(suspect > 0 ? [span(`  ${suspect} suspect`, 'warn')] : []),
    ...(failed > 0 ? [span(`  ${failed} failed`, 'bad')] : []),
  ];
  const head = [span(' fanout', 'title'), foreign(environment === '' ? '' : `  ${environment}`, 'bold')];
  return ends([...head, ...counts], [span(`${clock(state)} `, 'dim')], state.columns);
}

function countAlive(members: readonly MemberView[]): number {
  return members.filter(({ status }) => status === 'alive').length;
}

function columnsSideBySide(state: SessionState, leftWidth: number, height: number): Line[] {
  const { targets, columns } = state;
  const rightWidth = columns - leftWidth - 1;
  const tagColumns: Column[] = [
    { title: 'tag', width: Math.floor((leftWidth - 12) * 0.4) },
    { title: 'value', width: Math.ceil((leftWidth - 12) * 0.6) },
    { title: 'nodes', width: 6, align: 'right' },
  ];
  const nodeColumns: Column[] = [
    { title: 'node', width: Math.max(6, rightWidth - 22) },
    { title: 'state', width: 7 },
    { title: 'rtt', width: 8, align: 'right' },
  ];
  const tags = listRows(targets.tagRows, targets.tags, height, (tag, _, isSelected) =>
    row(
      cells(tagColumns, [foreign(tag.name), foreign(tag.value), span(String(tag.count))]),
      isSelected && targets.focus === 'tags',
      leftWidth,
    ),
  );
  const nodes = listRows(selectedMembers(state), targets.nodes, height, (member, _, isSelected) =>
    row(
      cells(nodeColumns, [foreign(member.name), stateSpan(member), span(rttText(member.rttMs))]),
      isSelected && targets.focus === 'nodes',
      rightWidth,
    ),
  );
  const joined = (left: Line, right: Line): Line => [...fitted(left, leftWidth), span(' '), ...right];
  return [
    joined([span('  '), ...heads(tagColumns)], [span('  '), ...heads(nodeColumns)]),
    ...tags.map((line, i) => joined(line, nodes[i] ?? [])),
  ];
}

export function stateSpan(member: MemberView) {
  if (member.status === 'alive') return member.isSuspect ? span('suspect', 'warn') : span('alive', 'good');
  return span(member.status, member.status === 'failed' ? 'bad' : 'dim');
}

export function rttText(rttMs: number | undefined): string {
  return rttMs === undefined ? '' : `${rttMs.toFixed(1)} ms`;
}

function remarkLine(state: SessionState): Line {
  const { problem, suspect, gone, saved } = state.targets;
  if (problem !== '') return fitted([span(' '), foreign(problem, 'bad')], state.columns);
  const warnings = [
    ...(suspect.length > 0 ? [span(` ${suspect.length} of these are suspect `, 'warn')] : []),
    ...(gone.length > 0 ? [span(` ${gone.length} that match are gone `, 'warn')] : []),
  ];
  const names = saved.slice(0, 9).map(({ name }, i) => `${i + 1} ${name}`);
  const shown = names.length === 0 ? ' no saved selections: s saves this one' : ` Saved: ${names.join('  ')}`;
  return ends([foreign(shown, 'dim')], warnings, state.columns);
}
