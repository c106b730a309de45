import { outcomeOf } from '../../run/outcome.ts';
import { bodyHeight } from '../model/layout.ts';
import { matcherOf } from '../model/pager.ts';
import type { PagerState, SessionState } from '../model/state.ts';
import { columnsOf, type Frame, fitted, type Line, type Span } from '../view/line.ts';
import { wrapped } from '../view/wrap.ts';
import { ends, filled, foreign, keyLine, outcomeSpan, paragraph, rule, shortSize, span } from './parts.ts';
import { titleLine } from './targets.ts';

/** The whole output of one node. */
export function drawPager(state: SessionState): Frame {
  const { pager, run: view, columns } = state;
  if (pager === undefined || view === undefined) return { lines: filled([titleLine(state)], state.rows) };
  const height = bodyHeight(state);
  const { outputs, run } = view;
  const target = run.targets.get(pager.node);
  const count = outputs.lineCount(pager.node);
  const shown = outputs.lines(pager.node, pager.top, height);
  const last = Math.min(count, pager.top + shown.length);
  const range = count === 0 ? 'no output' : `${pager.top + 1}-${last} of ${count} lines`;
  const more = `${range}, ${shortSize(outputs.bytes(pager.node))}${pager.follows ? ', following' : ''} `;
  const query = pager.query === '' ? [] : [foreign(`   /${pager.query}`, 'note')];
  const head: Span[] = [span(' '), foreign(pager.node, 'title'), span('  ')];
  if (target !== undefined) head.push(outcomeSpan(outcomeOf(target)));
  const lines = shown.flatMap((line) => bodyLines(line, pager, columns)).slice(0, height);
  if (count === 0 && target !== undefined && target.reason !== '') {
    lines.push(...paragraph(target.reason, columns).slice(0, height));
  }
  return {
    lines: [
      ends([...head, ...query], [span(more, 'dim')], columns),
      rule(columns, pager.left === 0 ? '' : `from column ${pager.left + 1}`),
      ...filled(lines, height),
      keyLine(state),
    ],
  };
}

function bodyLines(
  line: { readonly stream: 'stdout' | 'stderr'; readonly text: string },
  pager: PagerState,
  columns: number,
): Line[] {
  const mark = line.stream === 'stderr' ? span(' ! ', 'warn') : span('   ');
  const width = columns - 3;
  const isHit = pager.query !== '' && matcherOf(pager.query)(line.text);
  const pieces = pager.wraps ? wrapped(line.text, width) : [skipColumns(line.text, pager.left)];
  return pieces.map((piece, i) => {
    const first = isHit && i === 0 ? span(' * ', 'note') : i === 0 ? mark : span('   ');
    return fitted([first, foreign(piece, isHit ? 'bold' : undefined)], columns);
  });
}

function skipColumns(text: string, columns: number): string {
  if (columns === 0) return text;
  let used = 0;
  let at = 0;
  for (const character of text) {
    if (used >= columns) break;
    used += columnsOf(character);
    at += character.length;
  }
  return text.slice(at);
}
