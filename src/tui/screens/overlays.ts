import { type Binding, liveBindings } from '../model/bindings.ts';
import { bodyHeight } from '../model/layout.ts';
import { historyMatches } from '../model/overlays.ts';
import type { Overlay, SaveFormat, SessionState } from '../model/state.ts';
import { type Frame, fitted, type Line } from '../view/line.ts';
import { whatCame } from './command.ts';
import {
  ago,
  editable,
  ends,
  filled,
  foreign,
  keyLine,
  listRows,
  row,
  rule,
  shownKey,
  span,
} from './parts.ts';
import { titleLine } from './targets.ts';

/** Every key that works where the person is, and why one does nothing at the moment. */
export function drawHelp(state: SessionState, overlay: Extract<Overlay, { kind: 'help' }>): Frame {
  const { columns } = state;
  const height = bodyHeight(state);
  const below = { ...state, overlay: undefined };
  const list = listRows(liveBindings(below), overlay.list, height, (binding, _, isSelected) =>
    row(helpLine(binding, below), isSelected, columns),
  );
  return {
    lines: [titleLine(state), rule(columns, 'keys that work here'), ...list, rule(columns), keyLine(state)],
  };
}

function helpLine(binding: Binding, state: SessionState): Line {
  const keys = binding.keys.map(shownKey).join(' ');
  const reason = binding.blocked?.(state);
  const why = reason === undefined ? [] : [span(`  (${reason})`, 'warn')];
  return [
    span(keys.padEnd(18), 'key'),
    span(` ${binding.help}`, reason === undefined ? undefined : 'dim'),
    ...why,
  ];
}

/** Past commands, narrowed as the person types. */
export function drawHistory(state: SessionState, overlay: Extract<Overlay, { kind: 'history' }>): Frame {
  const { columns } = state;
  const height = bodyHeight(state);
  const field = editable(overlay.field, columns - 10);
  const latest = new Map([...state.history].reverse().map((entry) => [entry.command, entry]));
  const commands = historyMatches(state);
  const list = listRows(commands, overlay.list, height, (command, _, isSelected) => {
    const entry = latest.get(command);
    const said =
      entry === undefined ? '' : `${whatCame(entry)}  ${ago(entry.unixMs, state.unixMs).padStart(10)} `;
    return row(ends([foreign(command)], [foreign(`  ${said}`)], columns - 2), isSelected, columns);
  });
  return {
    lines: [
      titleLine(state),
      [span(' History  ', 'title'), ...field.line],
      rule(columns, `${commands.length} commands; Enter brings one to the command line, it runs nothing`),
      ...list,
      ...filled([rule(columns)], state.rows - 4 - height),
      keyLine(state),
    ],
    cursor: { row: 1, column: 10 + field.column },
  };
}

const FORMAT_WORDS: Readonly<Record<SaveFormat, string>> = {
  text: 'text, as plain fanout prints it',
  dir: 'a folder, one file per node',
  json: 'JSON, one object',
  ndjson: 'NDJSON, one object an event',
  csv: 'CSV, one row per node',
};

/** A question in the last lines of a screen; what is above stays to be seen. */
export function drawPrompt(frame: Frame, state: SessionState, overlay: Overlay): Frame {
  const { columns, rows } = state;
  const ask = (words: Line[], label: string): Frame => {
    const field = 'field' in overlay ? overlay.field : { text: '', cursor: 0 };
    const text = editable(field, columns - label.length);
    const prompt: Line[] = [rule(columns), ...words.map((line) => fitted(line, columns))];
    if ('field' in overlay) prompt.push([span(label, 'title'), ...text.line]);
    const above = frame.lines.slice(0, rows - prompt.length - 1);
    const lines = [...filled(above, rows - prompt.length - 1), ...prompt, keyLine(state)];
    if (!('field' in overlay)) return { lines };
    return { lines, cursor: { row: rows - 2, column: label.length + text.column } };
  };
  switch (overlay.kind) {
    case 'confirm':
      return ask(confirmWords(overlay), ` Type ${overlay.count} to run it: `);
    case 'quit':
      return ask([[span(' A run is under way. Leaving stops it on every node. Leave? (y/n)', 'warn')]], '');
    case 'stop-one':
      return ask(
        [[span(' Stop the command on ', 'warn'), foreign(overlay.node, 'bold'), span('? (y/n)', 'warn')]],
        '',
      );
    case 'save':
      return ask(
        [
          [
            span(' Save as '),
            span(FORMAT_WORDS[overlay.format], 'bold'),
            span('   (Tab: another format)', 'dim'),
          ],
        ],
        overlay.format === 'dir' ? ' Folder: ' : ' File: ',
      );
    case 'save-selection':
      return ask([[span(' Save the selection  '), foreign(state.targets.selector, 'bold')]], ' Name: ');
    case 'find':
      return ask([], overlay.in === 'pager' ? ' Search in this output: ' : ' Search in all outputs: ');
    case 'filter-members':
      return ask(
        [[span(' A selection, such as role=web or web[01-20]; empty shows all', 'dim')]],
        ' Filter: ',
      );
    default:
      return frame;
  }
}

function confirmWords(overlay: Extract<Overlay, { kind: 'confirm' }>): Line[] {
  const { command, count, notReadOnly } = overlay;
  const all = notReadOnly === count ? 'none of them marks it' : `${notReadOnly} of them do not mark it`;
  return [
    [span(' About to run on ', 'warn'), span(`${count} nodes`, 'bold'), span(': '), foreign(command, 'bold')],
    [span(` The nodes accepted it and wait; ${all} as read-only. Nothing has run yet.`)],
  ];
}
