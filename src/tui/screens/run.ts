import { foldNames } from '../../lib/node-set.ts';
import type { Target } from '../../run/model.ts';
import { countOutcomes, type Outcome, outcomeOf } from '../../run/outcome.ts';
import { isRunning } from '../model/go.ts';
import { bodyHeight, runPaneHeight } from '../model/layout.ts';
import { chosenNode } from '../model/run.ts';
import type { RunView, SessionState } from '../model/state.ts';
import { columnsOf, type Frame, fitted, type Line, type Span } from '../view/line.ts';
import {
  type Column,
  cells,
  clock,
  ends,
  filled,
  foreign,
  heads,
  keyLine,
  listRows,
  outcomeSpan,
  paragraph,
  row,
  rule,
  seconds,
  shortSize,
  span,
} from './parts.ts';
import { titleLine } from './targets.ts';

/** A run as it goes on, or as it was: counts, the clock, the nodes worst first, the output of the selected one. */
export function drawRun(state: SessionState): Frame {
  const view = state.run;
  if (view === undefined) return { lines: filled([titleLine(state)], state.rows) };
  const height = bodyHeight(state);
  const pane = runPaneHeight(state);
  const columns = tableColumns(state.columns);
  const list = listRows(view.order, view.list, height, (name, _, isSelected) => {
    const target = view.run.targets.get(name);
    return target === undefined
      ? []
      : row(targetCells(state, view, target, columns), isSelected, state.columns);
  });
  return {
    lines: [
      headLine(state, view),
      countsLine(state, view),
      barLine(state, view),
      rule(state.columns, listTitle(view)),
      fitted([span('  '), ...heads(columns)], state.columns),
      ...(view.order.length === 0 ? filled([[span('  none', 'dim')]], height) : list),
      ...paneLines(state, view, pane),
      keyLine(state),
    ],
  };
}

/** What runs where, on the first line of everything that is about a run. */
export function headLine(state: SessionState, view: RunView): Line {
  if (state.link === 'lost') return titleLine(state);
  const where = view.selector === '' ? 'everybody' : view.selector;
  const right = view.isLive ? clock(state) : `of ${clock(state, view.startedUnixMs)}`;
  return ends(
    [
      span(' '),
      foreign(view.command, 'title'),
      span('   on '),
      foreign(where),
      span(`   ${view.run.targets.size} nodes`),
    ],
    [span(` ${right} `, 'dim')],
    state.columns,
  );
}

/** In this order, and those that nobody has are left out. */
const COUNTED: readonly Outcome[] = [
  'ok',
  'running',
  'held',
  'failed',
  'not-started',
  'denied',
  'timed-out',
  'silent',
  'lost',
  'cancelled',
  'untrusted',
  'acked',
  'waiting',
];

function countsLine(state: SessionState, view: RunView): Line {
  const counts = countOutcomes(view.run);
  const answered = [...view.run.targets.values()].filter(({ state: at }) => at !== 'pending').length;
  const spans: Span[] = [span(` answered ${answered}/${view.run.targets.size}`)];
  for (const outcome of COUNTED) {
    if (counts[outcome] === 0) continue;
    spans.push(span('   '), outcomeSpan(outcome), span(` ${counts[outcome]}`, 'bold'));
  }
  return fitted(spans, state.columns);
}

function barLine(state: SessionState, view: RunView): Line {
  const { run } = view;
  const done = run.targets.size - run.open;
  if (run.phase === 'ended') return fitted([span(' '), ...endSpans(view)], state.columns);
  const elapsed = Math.max(0, state.now - run.startedAt);
  const left = Math.max(0, run.timeoutMs - elapsed);
  const time =
    run.phase === 'stopping'
      ? '  stopping: waiting for the nodes to confirm '
      : `  ${seconds(elapsed)} of ${seconds(run.timeoutMs)}, ${seconds(left)} left `;
  const phase = phaseText(state, view);
  const width = Math.max(10, state.columns - columnsOf(time) - columnsOf(phase) - 3);
  const share = Math.floor((width * done) / Math.max(1, run.targets.size));
  const bar = [
    span(' ['),
    span('#'.repeat(share), 'good'),
    span('.'.repeat(width - share), 'dim'),
    span(']'),
  ];
  return fitted(
    [...bar, span(phase, 'note'), span(time, run.phase === 'stopping' ? 'warn' : undefined)],
    state.columns,
  );
}

/** Where a rolling run stands. */
function phaseText(state: SessionState, view: RunView): string {
  const { phase } = view;
  if (phase === undefined || phase.kind === 'done') return '';
  const which = phase.isCanary ? ' canary' : ` batch ${phase.batch} of ${phase.batches}`;
  if (phase.kind === 'gathering') return ' asking all before the first starts';
  if (phase.kind === 'sleeping') return `${which} next, in ${seconds(Math.max(0, phase.until - state.now))}`;
  return phase.batches > 0 || phase.isCanary ? which : '';
}

function endSpans(view: RunView): Span[] {
  const { run } = view;
  let last = run.startedAt;
  for (const { endedAt } of run.targets.values()) last = Math.max(last, endedAt ?? 0);
  const took = `ended after ${seconds(last - run.startedAt)}`;
  const id = span(`   fanout show ${view.id.slice(0, 8)}`, 'dim');
  const problem = view.problem === '' ? [] : [foreign(`   ${view.problem}`, 'warn')];
  if (run.halted !== '') return [foreign(`HALTED: ${run.halted}`, 'bad'), span(`   ${took}`), id, ...problem];
  const word = run.interrupted ? span('stopped by you, ', 'warn') : span('');
  return [word, span(took), id, ...problem];
}

function listTitle(view: RunView): string {
  const parts = [
    view.filter === 'all' ? '' : `only ${view.filter}`,
    view.sort === 'worst' ? '' : `by ${view.sort}`,
  ];
  if (view.hidesOk) parts.push('ok hidden');
  if (view.orderIsOld) parts.push('* new order: u');
  return parts.filter((part) => part !== '').join(', ');
}

const FIXED_COLUMNS: readonly Column[] = [
  { title: 'state', width: 11 },
  { title: 'exit', width: 4, align: 'right' },
  { title: 'time', width: 7, align: 'right' },
  { title: 'bytes', width: 5, align: 'right' },
];

/** Narrow screens lose the size first, then the time; wide ones give the room to the last line. */
function tableColumns(columns: number): readonly Column[] {
  const fixed =
    columns >= 64 ? FIXED_COLUMNS : columns >= 54 ? FIXED_COLUMNS.slice(0, 3) : FIXED_COLUMNS.slice(0, 2);
  const used = fixed.reduce((sum, { width }) => sum + width + 2, 0) + 2;
  const node = Math.max(8, Math.min(30, Math.floor((columns - used) * 0.35)));
  const last = Math.max(4, columns - used - node - 2);
  return [{ title: 'node', width: node }, ...fixed, { title: 'last line, or why', width: last }];
}

function targetCells(state: SessionState, view: RunView, target: Target, columns: readonly Column[]): Line {
  const outcome = outcomeOf(target);
  const word = target.cancelling ? span('stopping', 'warn') : outcomeSpan(outcome);
  const exit = target.code !== null ? String(target.code) : (target.signal ?? '-').replace(/^SIG/, '');
  const isOpen = target.startedAt !== undefined && target.endedAt === undefined;
  const sofar = Math.max(0, state.now - (target.startedAt ?? 0));
  const time = target.durationMs ?? (isOpen && isRunning(state) ? sofar : undefined);
  const bytes = target.stdoutBytes + target.stderrBytes;
  const said = target.reason !== '' ? reasonOf(target) : view.outputs.lastLine(target.name);
  const all: Readonly<Record<string, Span>> = {
    node: foreign(target.name),
    state: word,
    exit: foreign(target.cause === undefined ? '-' : exit),
    time: span(time === undefined ? '-' : seconds(time)),
    bytes: span(bytes === 0 ? '-' : shortSize(bytes)),
    'last line, or why': foreign(said, target.reason === '' ? 'dim' : undefined),
  };
  return cells(
    columns,
    columns.map(({ title }) => all[title] ?? span('')),
  );
}

/** Why a target ended as it did. */
function reasonOf(target: Target): string {
  return target.rule !== '' && target.state === 'denied'
    ? `rule "${target.rule}": ${target.reason}`
    : target.reason;
}

function paneLines(state: SessionState, view: RunView, height: number): Line[] {
  if (height === 0) return [];
  const node = chosenNode(state);
  if (node === undefined) return filled([rule(state.columns)], height + 1);
  const target = view.run.targets.get(node);
  const by = target === undefined || target.rule === '' ? '' : `   rule ${target.rule}`;
  const limit = target?.limitMs === undefined ? '' : `   limit ${seconds(target.limitMs)}`;
  return [
    rule(state.columns, `${node}${by}${limit}`),
    ...tailLines(view, node, state.columns, height, target),
  ];
}

/** The end of what a node wrote, and why it ended when there is a reason. */
export function tailLines(
  view: RunView,
  node: string,
  columns: number,
  height: number,
  target: Target | undefined,
): Line[] {
  const count = view.outputs.lineCount(node);
  const why =
    target === undefined || target.reason === ''
      ? []
      : [target.reason, target.hint]
          .filter((text) => text !== '')
          .flatMap((text) => paragraph(text, columns));
  const room = Math.max(0, height - why.length);
  const shown = view.outputs.lines(node, Math.max(0, count - room), room);
  const lines: Line[] = shown.map(({ stream, text }) => outputLine(stream, text, columns));
  lines.push(...why.slice(0, height));
  if (lines.length === 0) lines.push([span(count === 0 ? '   no output' : '', 'dim')]);
  return filled(lines, height);
}

/** A line of a node. Those of stderr have a mark, not only a colour. */
function outputLine(stream: 'stdout' | 'stderr', text: string, columns: number): Line {
  const mark = stream === 'stderr' ? span(' ! ', 'warn') : span('   ');
  return fitted([mark, foreign(text)], columns);
}

/** Names as people write them, cut to what fits. */
export function foldedSpan(names: readonly string[]): Span {
  return foreign(foldNames(names));
}
