import * as v from 'valibot';
import { ARGUMENTS_MAX } from './command-string.ts';
import { HANDLER_NAME } from './names.ts';
import {
  choice,
  closed,
  integer,
  list,
  mapOf,
  sandboxProfiles,
  sentence,
  text,
  textLike,
  textOrList,
} from './schema.ts';

/** The shape of a handler's manifest and of its tests. Every mapping is closed, as in a policy. */

/** As far as whole numbers are exact in plain decimal. */
const NUMBER_MAX = 999_999_999_999_999;
const TEST_CASES_MAX = 200;

const described = { description: v.optional(sentence) };
const whole = integer(-NUMBER_MAX, NUMBER_MAX);
const truth = v.boolean('must be true or false');

const PARAMETERS = {
  string: closed({
    type: v.literal('string'),
    ...described,
    pattern: v.optional(textOrList),
    enum: v.optional(v.pipe(list(text), v.minLength(1, 'is an empty list'))),
    default: v.optional(text),
  }),
  int: closed({ type: v.literal('int'), ...described, min: whole, max: whole, default: v.optional(whole) }),
  path: closed({ type: v.literal('path'), ...described, pattern: textOrList, default: v.optional(text) }),
  bool: closed({ type: v.literal('bool'), ...described, default: v.optional(truth) }),
};

export type ParameterText = v.InferOutput<(typeof PARAMETERS)[keyof typeof PARAMETERS]>;

const parameter = v.lazy((input) => {
  const type = typeof input === 'object' && input !== null && 'type' in input ? input.type : undefined;
  if (type === 'string' || type === 'int' || type === 'path' || type === 'bool') return PARAMETERS[type];
  return v.pipe(
    v.looseObject({ type: choice('string', 'int', 'path', 'bool') }, 'must be a mapping with a type'),
    v.never(),
  );
}) as v.GenericSchema<unknown, ParameterText>;

/** A whole `handler.yaml`. */
export const manifestSchema = closed({
  name: textLike(HANDLER_NAME, 'a name of small letters, digits and dashes'),
  description: sentence,
  query: v.optional(
    textLike(/^[A-Za-z0-9._-]{1,128}$/, 'a name of letters, digits, dots, dashes and underscores'),
  ),
  params: v.optional(mapOf(parameter), {}),
  command: v.pipe(
    list(text),
    v.minLength(1, 'is an empty list, so there is nothing to run'),
    v.maxLength(ARGUMENTS_MAX, `has more than ${ARGUMENTS_MAX} words`),
  ),
  sandbox: v.optional(
    closed({ profile: v.optional(sandboxProfiles), network: v.optional(choice('none', 'host')) }),
  ),
  output: v.optional(choice('text', 'json'), 'text'),
});

const exit = integer(0, 255);
const shape = v.lazy(() => shapeSchema) as v.GenericSchema<unknown, Shape>;
const TYPES = ['text', 'number', 'boolean', 'null', 'any'] as const;

/** What a JSON value looks like: a type, a list of one shape, or a mapping with exactly these keys. */
export type Shape = (typeof TYPES)[number] | readonly [Shape] | { readonly [key: string]: Shape };

const shapeSchema = v.lazy((input) => {
  if (Array.isArray(input)) return v.strictTuple([shape], 'must be a list with the one shape of its items');
  return typeof input === 'object' && input !== null ? mapOf(shape) : choice(...TYPES);
});

/** A whole `test.yaml`. */
export const testSchema = v.pipe(
  list(
    closed({
      name: sentence,
      params: v.optional(
        mapOf(v.union([text, v.number(), truth], 'must be text, a number, true or false')),
        {},
      ),
      exit: v.optional(
        v.union([exit, list(exit)], 'must be an exit code from 0 to 255, or a list of them'),
        0,
      ),
      refused: v.optional(text),
      stdout: v.optional(text),
      stderr: v.optional(text),
      json: v.optional(shape),
    }),
  ),
  v.minLength(1, 'is an empty list'),
  v.maxLength(TEST_CASES_MAX, `has more than ${TEST_CASES_MAX} cases`),
);

export type TestCase = v.InferOutput<typeof testSchema>[number];
