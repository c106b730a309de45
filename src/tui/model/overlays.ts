import { pastCommands, reconsider, withCommand } from './command.ts';
import { show } from './go.ts';
import { bodyHeight } from './layout.ts';
import { LIST_START, moveList } from './list.ts';
import { type Message, notice, type Step, stay } from './messages.ts';
import { find, withPager } from './pager.ts';
import { type Overlay, SAVE_FORMATS, type SessionState } from './state.ts';
import { EMPTY_FIELD, fieldOf } from './text-field.ts';

function close(state: SessionState): SessionState {
  return { ...state, overlay: undefined };
}

/** The driver holds the nodes back and asks: so many would run something that is not marked read-only. */
export function askConfirm(state: SessionState, asked: Extract<Message, { kind: 'confirm' }>): SessionState {
  const { count, notReadOnly } = asked;
  const command = state.run?.command ?? '';
  return { ...state, overlay: { kind: 'confirm', command, count, notReadOnly, field: EMPTY_FIELD } };
}

function answer(state: SessionState): Step {
  const { overlay } = state;
  if (overlay?.kind !== 'confirm') return stay(state);
  if (overlay.field.text.trim() !== String(overlay.count)) {
    const wrong = { ...state, overlay: { ...overlay, field: EMPTY_FIELD } };
    return stay(notice(wrong, `type ${overlay.count} to run it, Escape to run nothing`, 'warn'));
  }
  return stay(close(state), { kind: 'answer-confirm', yes: true });
}

function yes(state: SessionState): Step {
  const { overlay } = state;
  if (overlay?.kind === 'quit') return stay(state, { kind: 'interrupt-run' }, { kind: 'quit' });
  if (overlay?.kind === 'stop-one') {
    const said = notice(close(state), `stopping it on ${overlay.node}`, 'warn');
    return stay(said, { kind: 'cancel-node', node: overlay.node });
  }
  return stay(close(state));
}

function nextFormat(state: SessionState): Step {
  const { overlay } = state;
  if (overlay?.kind !== 'save') return stay(state);
  const at = (SAVE_FORMATS.indexOf(overlay.format) + 1) % SAVE_FORMATS.length;
  return stay({ ...state, overlay: { ...overlay, format: SAVE_FORMATS[at] ?? 'text' } });
}

function save(state: SessionState): Step {
  const { overlay, run } = state;
  if (overlay?.kind !== 'save' || run === undefined) return stay(state);
  const path = overlay.field.text.trim();
  if (path === '') return stay(notice(state, overlay.format === 'dir' ? 'type the folder' : 'type the file'));
  return stay(close(state), { kind: 'save-run', id: run.id, format: overlay.format, path });
}

function promptDone(state: SessionState): Step {
  const { overlay } = state;
  switch (overlay?.kind) {
    case 'find': {
      const query = overlay.field.text;
      if (query === '') return stay(close(state));
      if (overlay.in === 'pager') return find(withPager(close(state), { query }), state.pager?.top ?? 0, 1);
      const search = { query, hits: [], isDone: false, problem: '', list: LIST_START };
      return stay(show({ ...close(state), search }, 'search'), { kind: 'search', query });
    }
    case 'save-selection': {
      const name = overlay.field.text.trim();
      if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name)) {
        return stay(notice(state, 'a name has letters, digits, dots, dashes and underscores', 'warn'));
      }
      return stay(close(state), { kind: 'save-selection', name, text: state.targets.selector });
    }
    case 'filter-members':
      return stay({ ...close(state), membersFilter: overlay.field.text.trim(), membersList: LIST_START });
    default:
      return stay(close(state));
  }
}

/** Past commands that contain what was typed, the newest first. */
export function historyMatches(state: SessionState): readonly string[] {
  const { overlay } = state;
  if (overlay?.kind !== 'history') return [];
  const wanted = overlay.field.text.toLowerCase();
  return pastCommands(state).filter((command) => command.toLowerCase().includes(wanted));
}

function moveHistory(state: SessionState, move: 'up' | 'down'): Step {
  const { overlay } = state;
  if (overlay?.kind !== 'history') return stay(state);
  const list = moveList(overlay.list, move, historyMatches(state).length, bodyHeight(state));
  return stay({ ...state, overlay: { ...overlay, list } });
}

/** Enter edits: what runs on many machines is looked at once more. */
function takeHistory(state: SessionState): Step {
  const { overlay } = state;
  if (overlay?.kind !== 'history') return stay(state);
  const command = historyMatches(state)[overlay.list.cursor];
  if (command === undefined) return stay(close(state));
  return reconsider(withCommand(close(state), { field: fieldOf(command), typed: command, recalled: -1 }));
}

/** The overlay with its text changed. */
export function withOverlayField(overlay: Overlay, field: { text: string; cursor: number }): Overlay {
  if (!('field' in overlay)) return overlay;
  if (overlay.kind === 'history') return { ...overlay, field, list: LIST_START };
  return { ...overlay, field };
}

export const OVERLAY_ACTIONS = {
  'help.open': (state: SessionState): Step => stay({ ...state, overlay: { kind: 'help', list: LIST_START } }),
  'help.close': (state: SessionState): Step => stay(close(state)),
  'confirm.answer': answer,
  'confirm.no': (state: SessionState): Step =>
    stay(notice(close(state), 'not confirmed: nothing was run', 'warn'), {
      kind: 'answer-confirm',
      yes: false,
    }),
  'overlay.yes': yes,
  'overlay.no': (state: SessionState): Step => stay(close(state)),
  'save.format': nextFormat,
  'save.done': save,
  'prompt.done': promptDone,
  'history.take': takeHistory,
  'history.up': (state: SessionState): Step => moveHistory(state, 'up'),
  'history.down': (state: SessionState): Step => moveHistory(state, 'down'),
};
