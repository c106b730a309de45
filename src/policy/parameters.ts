import { refusedCharacter } from './characters.ts';
import { shownWord } from './command-string.ts';
import { compilePathGlob, type Matcher } from './glob.ts';
import type { ParameterText } from './manifest-schema.ts';
import type { Place } from './place.ts';
import { compileToken, isExact, mayBeOption } from './tokens.ts';

/** Longest value in characters. */
const VALUE_CHARACTERS_MAX = 1024;
const FREE_TEXT = 'any:256';

/** A parameter of a handler. Its value is text that becomes one argument, and nothing else. */
export interface Parameter {
  readonly name: string;
  readonly type: ParameterText['type'];
  readonly description: string | undefined;
  readonly accepts: Matcher;
  /** What it accepts, for people. */
  readonly shown: string;
  /** Undefined: it has to be given. */
  readonly default: string | undefined;
}

/** Throws FanoutError POLICY_INVALID at the place of what cannot be meant. */
export function compileParameter(name: string, text: ParameterText, place: Place): Parameter {
  const parameter: Parameter = {
    name,
    type: text.type,
    description: text.description,
    ...matcherOf(text, place),
    default: text.default === undefined ? undefined : String(text.default),
  };
  const problem = parameter.default === undefined ? undefined : valueProblem(parameter, parameter.default);
  if (problem !== undefined) throw place.at('default').error(problem, 'The default is a value as any other.');
  return parameter;
}

/** Why a parameter cannot have this value, or undefined when it can. */
export function valueProblem(parameter: Parameter, value: string): string | undefined {
  const bad = refusedCharacter(value);
  if (bad !== undefined) return `${parameter.name} has a character that is not taken: ${bad.name}`;
  if ([...value].length > VALUE_CHARACTERS_MAX) {
    return `${parameter.name} is longer than ${VALUE_CHARACTERS_MAX} characters`;
  }
  if (parameter.accepts(value)) return undefined;
  return `${parameter.name}=${shownWord(value)} is not ${parameter.shown}`;
}

function matcherOf(text: ParameterText, place: Place): Pick<Parameter, 'accepts' | 'shown'> {
  switch (text.type) {
    case 'bool':
      return { accepts: (value) => value === 'true' || value === 'false', shown: 'true or false' };
    case 'int': {
      const { min, max } = text;
      if (min > max) throw place.error('min is larger than max');
      const { accepts } = compileToken(`int:${min}..${max}`);
      return { accepts, shown: `a whole number from ${min} to ${max}` };
    }
    case 'path': {
      const patterns = text.pattern.map((pattern, index) =>
        place.at('pattern', index).attempt(() => compilePathGlob(pattern)),
      );
      const shown = `a path within ${text.pattern.join(', ')}`;
      return { accepts: (value) => patterns.some((accepts) => accepts(value)), shown };
    }
    case 'string':
      return stringMatcher(text, place);
  }
}

/** By a list of words or by patterns as policies have them, none of which takes a value with a leading dash. */
function stringMatcher(
  { pattern, enum: words }: Extract<ParameterText, { type: 'string' }>,
  place: Place,
): Pick<Parameter, 'accepts' | 'shown'> {
  if (pattern !== undefined && words !== undefined) {
    throw place.at('pattern').error('pattern and enum exclude each other', 'Keep one of them.', true);
  }
  const key = words === undefined ? 'pattern' : 'enum';
  const tokens = (words ?? pattern ?? [FREE_TEXT]).map((text, index) => {
    const here = place.at(key, index);
    const token = here.attempt(() => compileToken(text));
    if (mayBeOption(token)) {
      throw here.error(`"${text}" begins with a dash, so a program would take it for an option`);
    }
    if (token.isPath) throw here.error(`"${text}" is a path`, 'Write type: path, pattern: "/var/log/**".');
    if (words !== undefined && !isExact(token)) {
      throw here.error(`"${text}" has a wildcard, and enum is a list of words`, 'Write it under pattern.');
    }
    return token;
  });
  const shown = tokens.map(({ text }) => text).join(' or ');
  return { accepts: (value) => tokens.some(({ accepts }) => accepts(value)), shown };
}
