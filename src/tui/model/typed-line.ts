import type { KeyEvent } from '../terminal/keys.ts';
import { contextsOf } from './bindings.ts';
import type { SessionState } from './state.ts';

const NAMED =
  /^(?:ctrl-[a-z]|enter|escape|tab|backtab|up|down|left|right|home|end|pageup|pagedown|backspace|delete)$/;

/**
 * What a typed line does where keys cannot be pressed one by one. Where a text is edited, the line replaces it, and never
 * runs anything by itself; `:enter` or `:tab space` are keys by their names. Elsewhere every line is keys.
 */
export function keysOfLine(state: SessionState, line: string): readonly KeyEvent[] {
  const isText = contextsOf(state).includes('text');
  if (isText && !line.startsWith(':')) {
    if (line === '') return [];
    return [
      { kind: 'key', name: 'end' },
      { kind: 'key', name: 'ctrl-u' },
      { kind: 'paste', text: line },
    ];
  }
  return line
    .replace(/^:(?=.)/, '')
    .split(/\s+/)
    .filter((word) => word !== '')
    .flatMap(keysOfWord);
}

function keysOfWord(word: string): readonly KeyEvent[] {
  if (NAMED.test(word)) return [{ kind: 'key', name: word }];
  if (word === 'space') return [{ kind: 'char', text: ' ' }];
  return Array.from(word, (text) => ({ kind: 'char', text }) as const);
}
