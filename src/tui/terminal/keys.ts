import type { Millis } from '../../lib/time.ts';

/** What a person did at the keyboard. */
export type KeyEvent =
  | { readonly kind: 'char'; readonly text: string }
  /** `ctrl-a` to `ctrl-z`, and the names in `SEQUENCES`. */
  | { readonly kind: 'key'; readonly name: string }
  /** Text that came at once. Nothing in it is a key, least of all a line end. */
  | { readonly kind: 'paste'; readonly text: string };

/** Longest paste; what comes on top is dropped. */
const PASTE_LENGTH_MAX = 64 * 1024;
/** Longest escape sequence that any terminal sends. */
const SEQUENCE_LENGTH_MAX = 32;
/** Enter so soon after a piece of text belongs to that text: a paste that the kernel cut in two. */
const PASTE_ENTER_MS: Millis = 30;

const PASTE_START = '\u001b[200~';
const PASTE_END = '\u001b[201~';

const SEQUENCES: Readonly<Record<string, string>> = {
  '[A': 'up',
  '[B': 'down',
  '[C': 'right',
  '[D': 'left',
  '[H': 'home',
  '[F': 'end',
  '[Z': 'backtab',
  '[1~': 'home',
  '[3~': 'delete',
  '[4~': 'end',
  '[5~': 'pageup',
  '[6~': 'pagedown',
  '[7~': 'home',
  '[8~': 'end',
  OA: 'up',
  OB: 'down',
  OC: 'right',
  OD: 'left',
  OH: 'home',
  OF: 'end',
  OM: 'enter',
};

/** A key as the bindings spell it. */
export function keyName(event: Exclude<KeyEvent, { kind: 'paste' }>): string {
  if (event.kind === 'key') return event.name;
  return event.text === ' ' ? 'space' : event.text;
}

/**
 * Turns what a terminal sends into keys, however it is cut into chunks. A lone Escape is told from the start of a
 * sequence only by what does not follow: the owner calls `flush` when nothing has come for a moment.
 */
export class KeyParser {
  private readonly decoder = new TextDecoder('utf-8');
  private held = '';
  private paste: string | undefined;
  private textAt: Millis = Number.NEGATIVE_INFINITY;

  /** Keys of a chunk that arrived at `now`. */
  push(chunk: Uint8Array, now: Millis): KeyEvent[] {
    const text = this.held + this.decoder.decode(chunk, { stream: true });
    this.held = '';
    const events: KeyEvent[] = [];
    let rest = text;
    while (rest !== '')
      rest = this.paste === undefined ? this.typed(rest, now, events) : this.pasted(rest, now, events);
    return events;
  }

  /** Whether something waits for `flush`. */
  get isWaiting(): boolean {
    return this.held !== '';
  }

  /** Nothing more has come: what looks like the start of a sequence is the Escape key. */
  flush(): KeyEvent[] {
    const { held } = this;
    this.held = '';
    return held === '' || this.paste !== undefined ? [] : [{ kind: 'key', name: 'escape' }];
  }

  private pasted(text: string, now: Millis, events: KeyEvent[]): string {
    // What follows an end mark that the text brought along is a part of it: its Enter is none.
    this.textAt = now;
    const all = (this.paste ?? '') + text;
    const end = all.indexOf(PASTE_END);
    if (end >= 0) {
      this.paste = undefined;
      if (end > 0) events.push({ kind: 'paste', text: all.slice(0, end) });
      return all.slice(end + PASTE_END.length);
    }
    // The end mark may have been cut: its start stays.
    this.paste =
      all.length > PASTE_LENGTH_MAX ? all.slice(0, PASTE_LENGTH_MAX) + all.slice(-PASTE_END.length) : all;
    return '';
  }

  /** Takes one thing off the start of the text and returns the rest. */
  private typed(text: string, now: Millis, events: KeyEvent[]): string {
    if (text.startsWith('\u001b')) return this.sequence(text, events);
    const run = /^[^\u001b]+/.exec(text)?.[0] ?? '';
    this.characters(run, now, events);
    return text.slice(run.length);
  }

  private characters(run: string, now: Millis, events: KeyEvent[]): void {
    const characters = [...run];
    const hasText = characters.some((character) => character >= ' ' && character !== '\u007f');
    // Text and a line end in one go were not typed.
    if (characters.length > 1 && hasText) {
      this.textAt = now;
      if (/[\r\n]/.test(run)) {
        events.push({ kind: 'paste', text: run.slice(0, PASTE_LENGTH_MAX) });
        return;
      }
    }
    for (const character of characters) {
      const event = keyOf(character);
      const isEnter = event.kind === 'key' && event.name === 'enter';
      if (isEnter && now - this.textAt < PASTE_ENTER_MS) continue;
      events.push(event);
    }
  }

  private sequence(text: string, events: KeyEvent[]): string {
    if (text.startsWith(PASTE_START)) {
      this.paste = '';
      return text.slice(PASTE_START.length);
    }
    const match = /^\u001b(\[[0-?]*[ -/]*[@-~]|O[@-~])/.exec(text);
    if (match !== null) {
      const name = SEQUENCES[match[1] ?? ''];
      if (name !== undefined) events.push({ kind: 'key', name });
      return text.slice(match[0].length);
    }
    const isStart = /^\u001b(\[[0-?]*[ -/]*|O)?$/.test(text);
    if (isStart && text.length < SEQUENCE_LENGTH_MAX) {
      this.held = text;
      return '';
    }
    events.push({ kind: 'key', name: 'escape' });
    return text.slice(1);
  }
}

function keyOf(character: string): KeyEvent {
  const code = character.codePointAt(0) ?? 0;
  if (character === '\r') return { kind: 'key', name: 'enter' };
  if (character === '\t') return { kind: 'key', name: 'tab' };
  if (code === 0x7f || code === 0x08) return { kind: 'key', name: 'backspace' };
  if (code >= 1 && code <= 26) return { kind: 'key', name: `ctrl-${String.fromCharCode(code + 0x60)}` };
  if (code < 0x20 || (code >= 0x80 && code < 0xa0)) return { kind: 'key', name: 'unknown' };
  return { kind: 'char', text: character };
}
