import type { Line, StyleName } from '../view/line.ts';

/** Only the sixteen colours of the person's own palette, so that light and dark terminals both stay readable. */
const COLOURS: Readonly<Record<StyleName, string>> = {
  dim: '2',
  bold: '1',
  good: '32',
  bad: '31;1',
  warn: '33',
  note: '36',
  selected: '7',
  key: '1',
  title: '1',
};
/** Without colours, attributes alone: the words carry the meaning. */
const ATTRIBUTES: Readonly<Record<StyleName, string>> = {
  dim: '2',
  bold: '1',
  good: '',
  bad: '1',
  warn: '1',
  note: '',
  selected: '7',
  key: '1',
  title: '1',
};

/** A line as the terminal gets it. */
export function styled(line: Line, hasColours: boolean): string {
  const theme = hasColours ? COLOURS : ATTRIBUTES;
  let text = '';
  for (const span of line) {
    const code = span.style === undefined ? '' : theme[span.style];
    text += code === '' || span.text === '' ? span.text : `\u001b[${code}m${span.text}\u001b[0m`;
  }
  return text;
}
