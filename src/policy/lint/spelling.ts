import { isGlob } from '../glob.ts';
import { isExact } from '../tokens.ts';
import type { Argument } from './arguments.ts';
import type { ProgramFacts } from './facts.ts';
import { canMeet, clusterShape, globShape, type Shape, shapesOf } from './shape.ts';

/** The shortest beginning of a long option that anybody would take for it: two dashes and a letter. */
const ABBREVIATION_MIN = 3;

/** The first of these spellings that an argument can have, or undefined. See `Spellings` for their forms. */
export function spelledBy(spellings: string, argument: Argument, facts: ProgramFacts): string | undefined {
  const { token, role } = argument;
  const word = isExact(token) ? token.text : undefined;
  if (word !== undefined && facts.complete?.split(' ').includes(word) === true) return undefined;
  let shapes: readonly Shape[] | undefined;
  const meets = (shape: Shape): boolean => {
    shapes ??= shapesOf(token);
    return shapes.some((one) => canMeet(one, shape));
  };
  // Most words are exact, and most spellings too: then nothing has to be held against anything.
  const meetsGlob = (glob: string): boolean =>
    word !== undefined && !isGlob(glob) ? word === glob : meets(globShape(glob));
  return spellings.split(' ').find((spelling) => {
    if (spelling.startsWith('~')) return meetsGlob(spelling.slice(1));
    if (spelling.startsWith('.')) return role === 'free' && meetsBundle(spelling.slice(1), argument, facts);
    if (!/^[=-]/.test(spelling)) return role === 'free' && meetsGlob(spelling);
    if (role === 'value' && argument.isCertain === true) return false;
    if (spelling.startsWith('=')) return meetsGlob(spelling.slice(1));
    if (spelling.startsWith('--')) {
      return word === undefined ? longShapes(spelling).some(meets) : isLong(word, spelling);
    }
    return facts.hasWordOptions === true
      ? meetsGlob(spelling)
      : meetsCluster(spelling.slice(1), argument, facts);
  });
}

/** Whether an option is named among those that do something: then it is known, with its value. */
export function isSpelled(option: string, facts: ProgramFacts): boolean {
  return Object.values(facts.options ?? {}).some((spellings) => spellings.split(' ').includes(option));
}

/** Whether a word is a long option, or a beginning of one, with a value behind it or not. */
function isLong(word: string, option: string): boolean {
  const [name = ''] = word.split('=', 1);
  return name.length >= ABBREVIATION_MIN && option.startsWith(name);
}

function longShapes(option: string): readonly Shape[] {
  const shapes: Shape[] = [];
  for (let length = ABBREVIATION_MIN; length <= option.length; length++) {
    const begun = option.slice(0, length);
    shapes.push(globShape(begun), globShape(`${begun}=*`));
  }
  return shapes;
}

function meetsCluster(letters: string, { token }: Argument, facts: ProgramFacts): boolean {
  const list = facts.valued?.split(' ') ?? [];
  // What is sure of a pattern is what stands in front of its first wildcard.
  const sure = isGlob(token.text) ? token.text.slice(0, token.text.search(/[*?[]/)) : token.text;
  if (sure.startsWith('-') && !sure.startsWith('--') && letters.length === 1) {
    for (const letter of sure.slice(1)) {
      if (letter === letters) return true;
      if (list.includes(`-${letter}`)) return false;
    }
  }
  if (isExact(token) && letters.length === 1) return false;
  if (!isGlob(token.text) && isExact(token)) return token.text.startsWith(`-${letters}`);
  const shape = letters.length === 1 ? clusterShape(letters, '-') : globShape(`-${letters}*`);
  return shapesOf(token).some((one) => canMeet(one, shape));
}

/** A letter among letters without a dash, in front of one that takes the rest as its value. */
function meetsBundle(letter: string, { token }: Argument, facts: ProgramFacts): boolean {
  if (!isExact(token)) return shapesOf(token).some((one) => canMeet(one, clusterShape(letter, '')));
  if (!/^[A-Za-z]+$/.test(token.text)) return false;
  const list = facts.valued?.split(' ') ?? [];
  for (const one of token.text) {
    if (one === letter) return true;
    if (list.includes(`.${one}`)) return false;
  }
  return false;
}
