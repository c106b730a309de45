/** One line of text that is being edited. `cursor` counts UTF-16 units and never stands inside a character. */
export interface TextField {
  readonly text: string;
  readonly cursor: number;
}

/** Longest text in characters: the longest command that can be sent. */
const TEXT_LENGTH_MAX = 32 * 1024;

export const EMPTY_FIELD: TextField = { text: '', cursor: 0 };

export function fieldOf(text: string): TextField {
  return { text, cursor: text.length };
}

/** Puts text at the cursor. Line ends and other control characters become blanks: nothing that is pasted acts as a key. */
export function insert(field: TextField, text: string): TextField {
  const clean = text.replace(/\p{Cc}+/gu, ' ');
  if (field.text.length + clean.length > TEXT_LENGTH_MAX) return field;
  const { cursor } = field;
  return {
    text: field.text.slice(0, cursor) + clean + field.text.slice(cursor),
    cursor: cursor + clean.length,
  };
}

export type EditKey =
  | 'left'
  | 'right'
  | 'home'
  | 'end'
  | 'backspace'
  | 'delete'
  | 'kill-word'
  | 'kill-start'
  | 'kill-end';

/** The field after an editing key. */
export function edit(field: TextField, key: EditKey): TextField {
  const { text, cursor } = field;
  switch (key) {
    case 'left':
      return { text, cursor: before(text, cursor) };
    case 'right':
      return { text, cursor: after(text, cursor) };
    case 'home':
      return { text, cursor: 0 };
    case 'end':
      return { text, cursor: text.length };
    case 'backspace':
      return cut(text, before(text, cursor), cursor);
    case 'delete':
      return cut(text, cursor, after(text, cursor));
    case 'kill-word':
      return cut(text, wordStart(text, cursor), cursor);
    case 'kill-start':
      return cut(text, 0, cursor);
    case 'kill-end':
      return cut(text, cursor, text.length);
  }
}

function cut(text: string, from: number, to: number): TextField {
  return { text: text.slice(0, from) + text.slice(to), cursor: from };
}

function before(text: string, cursor: number): number {
  const code = text.codePointAt(cursor - 2) ?? 0;
  return Math.max(0, cursor - (code > 0xffff ? 2 : 1));
}

function after(text: string, cursor: number): number {
  const code = text.codePointAt(cursor) ?? 0;
  return Math.min(text.length, cursor + (code > 0xffff ? 2 : 1));
}

function wordStart(text: string, cursor: number): number {
  return cursor - (/\S*\s*$/.exec(text.slice(0, cursor))?.[0].length ?? 0);
}
