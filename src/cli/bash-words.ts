/** The words of a line of bash up to the cursor, and how much of the last one bash keeps when it puts a completion in. */
export interface BashWords {
  readonly words: readonly string[];
  readonly kept: number;
}

/**
 * Splits a line as bash does, quotes taken off. Variables and everything else that bash would replace stay as they are. Bash
 * completes only what comes behind the last of `breaks` in a word, or behind a quote.
 */
export function bashWords(line: string, breaks: string): BashWords {
  const words: string[] = [];
  let word = '';
  let kept = 0;
  let isBegun = false;
  let quote = '';
  for (let at = 0; at < line.length; at++) {
    const character = line[at] ?? '';
    if (quote === '' && /\s/.test(character)) {
      if (isBegun) words.push(word);
      [word, kept, isBegun] = ['', 0, false];
      continue;
    }
    isBegun = true;
    if (character === quote || (quote === '' && (character === "'" || character === '"'))) {
      quote = quote === '' ? character : '';
      kept = word.length;
    } else if (character === '\\' && quote !== "'" && (quote === '' || /["\\$`]/.test(line[at + 1] ?? ''))) {
      word += line[++at] ?? '';
    } else {
      // What begins with @ is a word of its own to readline, the @ included.
      const keptNow = character === '@' ? word.length : word.length + 1;
      if (quote === '' && breaks.includes(character)) kept = keptNow;
      word += character;
    }
  }
  words.push(word);
  return { words, kept };
}
