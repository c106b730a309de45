import { parseCommandString } from './command-string.ts';

/** A command as one string that parses to the same arguments, as far as that is possible; else its words as they are. */
export function commandText(argv: readonly string[]): string {
  return argv.map((word) => (isSame(word, word) ? word : quotedWord(word))).join(' ');
}

function quotedWord(word: string): string {
  for (const quote of ["'", '"']) {
    const text = quote + word + quote;
    if (isSame(`x ${text}`, word, 1)) return text;
  }
  return JSON.stringify(word);
}

function isSame(text: string, word: string, at = 0): boolean {
  try {
    return parseCommandString(text)[at] === word;
  } catch {
    return false;
  }
}
