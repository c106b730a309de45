import { shownMembers } from '../model/cluster.ts';
import { bodyHeight } from '../model/layout.ts';
import type { MemberView, SessionState } from '../model/state.ts';
import { type Frame, fitted, type Line } from '../view/line.ts';
import {
  ago,
  type Column,
  cells,
  clock,
  ends,
  filled,
  foreign,
  heads,
  keyLine,
  listRows,
  row,
  rule,
  span,
} from './parts.ts';
import { rttText, stateSpan, titleLine } from './targets.ts';

/** Where something was found in what all nodes have written. */
export function drawSearch(state: SessionState): Frame {
  const { search, columns } = state;
  if (search === undefined) return { lines: filled([titleLine(state)], state.rows) };
  const height = bodyHeight(state);
  const total = search.hits.reduce((sum, { count }) => sum + count, 0);
  const found = `${total} hits on ${search.hits.length} nodes${search.isDone ? '' : ', searching ...'} `;
  const table: Column[] = [
    { title: 'node', width: Math.min(30, Math.floor(columns * 0.3)) },
    { title: 'hits', width: 6, align: 'right' },
    { title: 'line', width: 8, align: 'right' },
    { title: 'first of them', width: Math.max(4, columns - Math.min(30, Math.floor(columns * 0.3)) - 22) },
  ];
  const none = search.problem !== '' ? search.problem : search.isDone ? 'it occurs nowhere' : '';
  const list = listRows(search.hits, search.list, height, (hit, _, isSelected) =>
    row(
      cells(table, [
        foreign(hit.node),
        span(String(hit.count)),
        span(String(hit.line + 1)),
        foreign(hit.text),
      ]),
      isSelected,
      columns,
    ),
  );
  return {
    lines: [
      titleLine(state),
      ends([span(' Search  ', 'title'), foreign(search.query)], [span(found, 'bold')], columns),
      rule(columns),
      fitted([span('  '), ...heads(table)], columns),
      ...(search.hits.length === 0 ? filled([[span('  '), foreign(none, 'dim')]], height) : list),
      keyLine(state),
    ],
  };
}

/** The runs of before. */
export function drawRuns(state: SessionState): Frame {
  const { runs, columns } = state;
  const height = bodyHeight(state);
  const where = Math.floor((columns - 44) * 0.35);
  const table: Column[] = [
    { title: 'id', width: 8 },
    { title: 'when', width: 11, align: 'right' },
    { title: 'ok', width: 9, align: 'right' },
    { title: 'exit', width: 4, align: 'right' },
    { title: 'command', width: Math.max(6, columns - 44 - where) },
    { title: 'on', width: Math.max(4, where) },
  ];
  const list = listRows(runs.rows, runs.list, height, (run, _, isSelected) =>
    row(
      cells(table, [
        span(run.id.slice(0, 8)),
        span(ago(run.unixMs, state.unixMs)),
        span(`${run.ok}/${run.targets}`),
        span(run.exit === undefined ? '...' : String(run.exit), run.exit === 0 ? 'good' : 'bad'),
        foreign(run.command),
        foreign(run.selector === '' ? 'everybody' : run.selector, 'dim'),
      ]),
      isSelected,
      columns,
    ),
  );
  return {
    lines: [
      titleLine(state),
      rule(columns, 'the last runs'),
      fitted([span('  '), ...heads(table)], columns),
      ...(runs.rows.length === 0 ? filled([[span('  no run is recorded yet', 'dim')]], height) : list),
      keyLine(state),
    ],
  };
}

/** Who is in the cluster, and how they are. */
export function drawMembers(state: SessionState): Frame {
  const { columns, membersFilter } = state;
  const height = bodyHeight(state);
  const members = shownMembers(state);
  const narrow = columns < 100;
  const name = Math.min(30, Math.max(10, columns - (narrow ? 58 : 82)));
  const table: Column[] = [
    { title: 'node', width: name },
    { title: 'state', width: 7 },
    { title: 'rtt', width: 8, align: 'right' },
    { title: 'address', width: 21 },
    { title: 'environment', width: narrow ? 12 : 14 },
    ...(narrow
      ? []
      : [
          { title: 'version', width: 8 },
          { title: 'policy', width: 12 },
        ]),
  ];
  const list = listRows(members, state.membersList, height, (member, _, isSelected) =>
    row(
      cells(table, [
        foreign(member.name),
        stateSpan(member),
        span(rttText(member.rttMs)),
        foreign(member.address),
        foreign(member.about?.environment ?? '?', 'dim'),
        foreign(member.about?.version ?? '?', 'dim'),
        foreign(member.about?.policyHash.slice(0, 12) ?? '?', 'dim'),
      ]),
      isSelected,
      columns,
    ),
  );
  const filter = membersFilter === '' ? '' : ` only ${membersFilter}`;
  return {
    lines: [
      titleLine(state),
      ends(
        [span(' Members', 'title'), foreign(filter)],
        [span(`${members.length} of ${state.members.length} `, 'bold')],
        columns,
      ),
      rule(columns),
      fitted([span('  '), ...heads(table)], columns),
      ...list,
      tagsLine(members[state.membersList.cursor], columns),
      keyLine(state),
    ],
  };
}

function tagsLine(member: MemberView | undefined, columns: number): Line {
  const tags = [...(member?.tags ?? [])].map(([name, value]) => `${name}=${value}`).join(' ');
  return fitted([span(' tags  ', 'dim'), foreign(tags === '' ? 'none' : tags)], columns);
}

const MONITOR_STYLES = { member: 'note', event: 'good', query: undefined, log: 'dim', note: 'warn' } as const;

/** What happens in the cluster. */
export function drawMonitor(state: SessionState): Frame {
  const { monitor, columns } = state;
  const height = bodyHeight(state);
  const end = monitor.lines.length - monitor.back;
  const shown = monitor.lines.slice(Math.max(0, end - height), end);
  const lines = shown.map(({ unixMs, kind, text }) =>
    fitted(
      [span(` ${clock(state, unixMs)} `, 'dim'), span(kind.padEnd(7), MONITOR_STYLES[kind]), foreign(text)],
      columns,
    ),
  );
  const stands = monitor.isPaused ? ', paused' : monitor.back > 0 ? `, ${monitor.back} newer below` : '';
  return {
    lines: [
      titleLine(state),
      rule(
        columns,
        `events and queries${monitor.level === 'off' ? '' : `, log from ${monitor.level}`}${stands}`,
      ),
      ...filled(lines.length > 0 ? lines : [[span(' nothing has happened yet', 'dim')]], height),
      keyLine(state),
    ],
  };
}
