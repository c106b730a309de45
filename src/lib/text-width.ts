import { eastAsianWidth } from 'get-east-asian-width';

const ASCII = /^[\x20-\x7e]*$/;

/**
 * Terminal columns of a text without control characters: two for wide characters (Unicode's East Asian Width), none for
 * combining marks and format characters. Plain ASCII, which nearly everything is, costs one look.
 */
export function textWidth(text: string): number {
  if (ASCII.test(text)) return text.length;
  let columns = 0;
  for (const character of text) {
    // A literal here: the engine compiles it, which takes milliseconds, only once such a text is seen.
    if (/^[\p{M}\p{Cf}]$/u.test(character)) continue;
    columns += eastAsianWidth(character.codePointAt(0) ?? 0);
  }
  return columns;
}
