/**
 * Characters that no command, pattern or name may hold: what steers a terminal, what cannot be seen, what
 * looks like a space but is none, and what has no meaning yet. They are refused inside quotes too, because an
 * operator, an approver or a log reader must see exactly what will run.
 */
const REFUSED = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{Zs}\p{Default_Ignorable_Code_Point}\u2800]/gu;

/** The same without the two blanks that separate words. They are the only exceptions. */
const REFUSED_HERE = new RegExp(`(?![ \\t])${REFUSED.source}`, 'u');

/**
 * A refused character: where it is (index in UTF-16 units), and a name for it, such as `control character
 * U+001B`.
 */
export interface RefusedCharacter {
  readonly index: number;
  readonly name: string;
}

/**
 * The first character of `text` that is not acceptable anywhere, or undefined. Tab and space are acceptable.
 */
export function refusedCharacter(text: string): RefusedCharacter | undefined {
  const match = REFUSED_HERE.exec(text);
  if (match === null) return undefined;
  const { 0: character, index } = match;
  return { index, name: `${kindOf(character)} ${codePointName(character)}` };
}

/**
 * The text with every character that is not acceptable written as `<U+001B>`, so that it can be shown to a
 * person.
 */
export function shown(text: string): string {
  return text.replace(REFUSED, (character) => (character === ' ' ? ' ' : `<${codePointName(character)}>`));
}

function codePointName(character: string): string {
  return `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`;
}

function kindOf(character: string): string {
  if (character === '\n' || character === '\r') return 'line end';
  if (/\p{Cc}/u.test(character)) return 'control character';
  if (/[\p{Zs}\p{Zl}\p{Zp}\u2800]/u.test(character)) return 'unusual space';
  if (/\p{Cs}/u.test(character)) return 'half a character';
  if (/[\p{Co}\p{Cn}]/u.test(character)) return 'unassigned character';
  return 'invisible character';
}
