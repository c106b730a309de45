import * as v from 'valibot';
import { formatSize, parseSize } from '../lib/size.ts';
import { parseDuration } from '../lib/time.ts';
import { ARGUMENTS_MAX } from './command-string.ts';
import { HANDLER_NAME } from './names.ts';
import { didYouMean } from './suggest.ts';

/**
 * The shape of a policy file. Every mapping is closed, and everything that can end up in a command is text.
 * The first line of a message is what is wrong; a second line, where there is one, is the hint. `json-schema.ts` makes the
 * schema for editors out of this one: what cannot be seen in it, such as what a function checks, is said beside it.
 */

/** Bounds of what a rule may ask for. Above them it is a slip of the pen. */
const TIMEOUT_MS_MAX = 24 * 3_600_000;
const OUTPUT_BYTES_MAX = 16 * 2 ** 30;
const CONCURRENCY_MAX = 1000;
/** Below these a program does not even start: a sandbox takes three processes by itself. */
const MEMORY_BYTES_MIN = 4 * 2 ** 20;
const MEMORY_BYTES_MAX = 2 ** 40;
const TASKS_MIN = 4;
const TASKS_MAX = 32_768;
const APPROVALS_MAX = 8;
/** A signed command that is valid for longer than a day is a standing permission. */
const TTL_MS_MAX = 24 * 3_600_000;
const SKEW_MS_MAX = 5 * 60_000;

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'a mapping' : `the ${typeof value} ${String(value)}`;
}

export const text = v.string(
  ({ input }) =>
    `must be text, YAML reads it as ${kindOf(input)}${typeof input === 'object' ? '' : '\nPut it in quotes.'}`,
);

/** Says in the words of JSON schema what a function checks here. */
function told<TInput>(keywords: Keywords): v.MetadataAction<TInput, { readonly keywords: Keywords }> {
  return v.metadata({ keywords });
}

type Keywords = Readonly<Record<string, unknown>>;

/** One of several forms, of which `pick` tells the right one, so that only its errors are told. */
function oneOf<TSchema extends v.GenericSchema>(
  pick: (input: unknown) => TSchema,
  ...forms: v.GenericSchema[]
) {
  return v.pipe(v.lazy(pick), v.metadata({ forms }));
}

export function textLike(pattern: RegExp, what: string) {
  return v.pipe(
    text,
    v.regex(pattern, ({ input }) => `"${input}" is not ${what}`),
  );
}

export function list<TItem extends v.GenericSchema>(item: TItem) {
  return v.array(item, ({ input }) => `must be a list, YAML reads it as ${kindOf(input)}\nPut it in [ ].`);
}

/** One text, or a list of them: `web` is short for `[web]`. */
const textList = v.pipe(v.array(text), v.minLength(1, 'is an empty list'));
export const textOrList = v.pipe(
  oneOf<typeof text | typeof textList>((input) => (Array.isArray(input) ? textList : text), text, textList),
  v.transform((input): readonly string[] => (typeof input === 'string' ? [input] : input)),
);

const mapping = v.custom<Record<string, unknown>>(
  (input) => typeof input === 'object' && input !== null && !Array.isArray(input),
  ({ input }) => `must be a mapping, YAML reads it as ${kindOf(input)}`,
);

/** Keys that people look for in another place than where they are. */
const MOVED: Readonly<Record<string, string>> = {
  network: 'It is a part of the sandbox: sandbox: { network: host }',
};

/**
 * A mapping that knows all its keys. A misspelt key must not widen a rule, so an unknown one refuses the
 * file.
 */
export function closed<TEntries extends v.ObjectEntries>(entries: TEntries) {
  const schema = v.strictObject(entries, ({ expected, received }) => {
    if (expected !== 'never') return `the key ${expected} is missing`;
    const known = Object.keys(entries);
    const word = received.slice(1, -1);
    const hint = MOVED[word] ?? didYouMean(word, known) ?? `Known here: ${known.join(', ')}.`;
    return `unknown key "${word}"\n${hint}`;
  });
  return v.pipe(mapping, schema);
}

export function mapOf<TValue extends v.GenericSchema>(value: TValue) {
  return v.pipe(mapping, v.record(v.string(), value));
}

export function integer(min: number, max: number) {
  const message = `must be a whole number from ${min} to ${max}`;
  return v.pipe(v.number(message), v.integer(message), v.minValue(min, message), v.maxValue(max, message));
}

export function choice<const TOptions extends readonly string[]>(...options: TOptions) {
  return v.picklist(
    options,
    ({ input }) => `must be ${options.join(' or ')}, not ${JSON.stringify(input) ?? 'nothing'}`,
  );
}

function measure(
  parse: (text: string) => number | undefined,
  most: number,
  examples: string,
  pattern: string,
) {
  return v.pipe(
    text,
    told({ pattern }),
    v.transform((input) => parse(input) ?? Number.NaN),
    v.check(
      (amount) => amount > 0 && amount <= most,
      `is not one of the amounts that can be meant here\n${examples}`,
    ),
  );
}

const duration = (most: number) =>
  measure(parseDuration, most, 'Write it like 500ms, 15s or 1m30s.', '^(\\d+(\\.\\d+)?(ms|s|m|h|d))+$');
const wholeSeconds = (most: number) =>
  v.pipe(
    duration(most),
    v.check((ms) => ms % 1000 === 0, 'must be whole seconds'),
    v.transform((ms) => ms / 1000),
  );

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const name = textLike(NAME, 'a name of letters, digits, dots, dashes and underscores');
const OPERATOR_NAME = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/;
const operatorName = textLike(OPERATOR_NAME, 'a name that an operator can have');
const userName = textLike(/^[a-z_][a-z0-9_-]{0,31}$/, 'a user name');
export const sentence = v.pipe(
  text,
  v.trim(),
  v.maxLength(500, 'is longer than 500 characters'),
  v.regex(/^[^\r\n\t]+$/, 'must be one line of text'),
);
const day = textLike(/^\d{4}-\d{2}-\d{2}$/, 'a day like 2030-12-31');

const path = v.pipe(text, told({ pattern: '^/' }));
const sandboxProfile = choice('none', 'standard', 'strict');
const sandboxProfileList = v.pipe(
  v.array(sandboxProfile),
  v.minLength(1, 'is an empty list'),
  v.check((input) => new Set(input).size === input.length, 'names a profile twice'),
  told({ uniqueItems: true }),
);
export const sandboxProfiles = v.pipe(
  oneOf<typeof sandboxProfile | typeof sandboxProfileList>(
    (input) => (Array.isArray(input) ? sandboxProfileList : sandboxProfile),
    sandboxProfile,
    sandboxProfileList,
  ),
  v.transform((input) => (typeof input === 'string' ? [input] : input)),
);

const sandboxMapping = closed({
  profile: v.optional(sandboxProfiles),
  network: v.optional(choice('none', 'host')),
  read: v.optional(list(path)),
  write: v.optional(list(path)),
  sockets: v.optional(list(path)),
});

/** `standard`, `[strict, standard]` in order of preference, or a mapping that opens something. */
const sandboxShort = v.pipe(
  sandboxProfiles,
  v.transform((profile) => ({ profile })),
);
const sandbox = oneOf<typeof sandboxMapping | typeof sandboxShort>(
  (input) =>
    typeof input === 'object' && input !== null && !Array.isArray(input) ? sandboxMapping : sandboxShort,
  sandboxShort,
  sandboxMapping,
) as v.GenericSchema<unknown, v.InferOutput<typeof sandboxMapping>>;

const amountOfBytes = (most: number) =>
  measure(parseSize, most, 'Write it like 256KiB or 4MiB.', '^\\d+(B|KiB|MiB|GiB)$');
const size = (least: number, most: number) =>
  v.pipe(
    amountOfBytes(most),
    v.minValue(least, `is too little: no program starts with less than ${formatSize(least)}`),
  );

const rate = v.pipe(
  text,
  v.regex(/^[1-9]\d{0,5}\/(?:s|min|h)$/, 'is not a rate\nWrite it like 30/min, 2/s or 100/h.'),
  v.transform((input) => {
    const [count, unit] = input.split('/');
    return { count: Number(count), perMs: unit === 's' ? 1000 : unit === 'min' ? 60_000 : 3_600_000 };
  }),
);

const limits = closed({
  timeout: v.optional(duration(TIMEOUT_MS_MAX)),
  output: v.optional(amountOfBytes(OUTPUT_BYTES_MAX)),
  cpu: v.optional(wholeSeconds(TIMEOUT_MS_MAX)),
  memory: v.optional(size(MEMORY_BYTES_MIN, MEMORY_BYTES_MAX)),
  tasks: v.optional(integer(TASKS_MIN, TASKS_MAX)),
  concurrency: v.optional(integer(1, CONCURRENCY_MAX)),
  rate: v.optional(rate),
});

const endingMembership = closed({ name, notAfter: v.optional(day) });
const membership = oneOf<typeof name | typeof endingMembership>(
  (input) => (typeof input === 'string' ? name : endingMembership),
  name,
  endingMembership,
) as v.GenericSchema<unknown, string | { name: string; notAfter?: string | undefined }>;

const operator = closed({
  key: v.pipe(text, told({ pattern: '^(ssh-ed25519|sk-ssh-ed25519@openssh\\.com) [A-Za-z0-9+/=]+( .*)?$' })),
  groups: v.optional(list(membership), []),
  notAfter: v.optional(day),
});

const variable = textLike(/^[A-Za-z_][A-Za-z0-9_]{0,63}$/, 'a name that a variable can have');
const variableValue = v.pipe(text, v.maxLength(4096, 'is longer than 4096 characters'));
/** Names that the agent itself uses, or that would make another program of every program. */
const RESERVED_VARIABLES = /^(?:FANOUT_.*|LD_.*|PATH)$/;

const env = v.pipe(
  mapping,
  v.record(
    v.pipe(
      variable,
      v.check(
        (input) => !RESERVED_VARIABLES.test(input),
        ({ input }) => `"${input}" is not a policy's to set`,
      ),
      told({ not: { pattern: RESERVED_VARIABLES.source } }),
    ),
    variableValue,
  ),
);

const approvals = closed({
  need: integer(1, APPROVALS_MAX),
  from: v.pipe(list(text), v.minLength(1, 'is an empty list, so nobody could approve')),
});

const command = closed({
  program: textLike(/^(?!\.{1,2}$)[A-Za-z0-9._+][A-Za-z0-9._+-]{0,63}$/, 'the bare name of a program'),
  path: v.optional(path),
  argv: v.optional(list(textOrList)),
  flags: v.optional(list(v.pipe(text, told({ pattern: '^--?[^-]' })))),
  options: v.optional(mapOf(textOrList)),
  first: v.optional(list(textOrList)),
  positionals: v.optional(
    closed({
      min: v.optional(integer(0, ARGUMENTS_MAX - 1), 0),
      max: v.optional(integer(0, ARGUMENTS_MAX - 1), ARGUMENTS_MAX - 1),
      match: textOrList,
    }),
  ),
});

/** A handler of the node, and what its parameters may be. */
const handlerCommand = closed({
  handler: textLike(HANDLER_NAME, 'the name of a handler'),
  params: v.optional(mapOf(textOrList)),
});

const programOrHandler = oneOf<v.GenericSchema<unknown, CommandText | HandlerCommandText>>(
  (input) => (typeof input === 'object' && input !== null && 'handler' in input ? handlerCommand : command),
  command,
  handlerCommand,
);

const conditions = {
  id: name,
  why: v.optional(sentence),
  operators: v.optional(v.pipe(list(text), v.minLength(1, 'is an empty list, so the rule holds for nobody'))),
  tags: v.optional(mapOf(textOrList), {}),
  select: v.optional(text),
};

const allowRule = closed({
  ...conditions,
  effect: v.literal('allow'),
  readOnly: v.optional(v.boolean('must be true or false'), false),
  commands: v.pipe(list(programOrHandler), v.minLength(1, 'is an empty list, so the rule allows nothing')),
  sandbox: v.optional(sandbox),
  user: v.optional(userName),
  groups: v.optional(list(userName)),
  cwd: v.optional(path),
  env: v.optional(env),
  limits: v.optional(limits),
  approvals: v.optional(approvals),
  dangerous: v.optional(sentence),
});

const denyRule = closed({
  ...conditions,
  effect: v.literal('deny'),
  programs: v.optional(list(text), []),
  anyArg: v.optional(list(text), []),
});

/** Only the keys that fit the effect are known: `commands` in a deny rule would look as if it denied them. */
const rule = oneOf<v.GenericSchema>(
  (input) => {
    const effect =
      typeof input === 'object' && input !== null && 'effect' in input ? input.effect : undefined;
    if (effect === 'allow') return allowRule;
    if (effect === 'deny') return denyRule;
    return v.pipe(
      mapping,
      v.looseObject({ effect: choice('allow', 'deny') }, 'the key "effect" is missing'),
      v.never(),
    );
  },
  allowRule,
  denyRule,
) as v.GenericSchema<unknown, RuleText>;

const example = closed({
  as: text,
  approvedBy: v.optional(list(text), []),
  node: v.optional(text, ''),
  tags: v.optional(mapOf(text), {}),
  cmd: text,
});

const query = closed({
  name: v.pipe(text, v.minLength(1, 'is empty'), v.maxLength(128, 'is longer than 128 characters')),
  from: v.optional(choice('any')),
  operators: v.optional(v.pipe(list(text), v.minLength(1, 'is an empty list, so nobody could ask'))),
});

export type CommandText = v.InferOutput<typeof command>;
export type HandlerCommandText = v.InferOutput<typeof handlerCommand>;
export type RuleText = v.InferOutput<typeof allowRule> | v.InferOutput<typeof denyRule>;
export type AllowRuleText = v.InferOutput<typeof allowRule>;
export type DenyRuleText = v.InferOutput<typeof denyRule>;
export type OperatorText = v.InferOutput<typeof operator>;
export type ExampleText = v.InferOutput<typeof example>;
export type PolicyText = v.InferOutput<typeof policySchema>;

/** A whole policy file. */
export const policySchema = closed({
  version: v.literal(1, 'must be 1, the version of the policy format that this program knows'),
  environment: name,
  cluster: v.optional(name),
  operators: v.pipe(mapOf(operator), told({ propertyNames: { pattern: OPERATOR_NAME.source } })),
  defaults: v.optional(
    closed({
      sandbox: v.optional(sandbox),
      user: v.optional(userName),
      limits: v.optional(limits),
      maxTtl: v.optional(wholeSeconds(TTL_MS_MAX)),
      maxTtlApproved: v.optional(wholeSeconds(TTL_MS_MAX)),
      clockSkew: v.optional(wholeSeconds(SKEW_MS_MAX)),
      dangerous: v.optional(sentence),
    }),
  ),
  rules: list(rule),
  queries: v.optional(list(query), []),
  examples: v.optional(
    closed({ allow: v.optional(list(example), []), deny: v.optional(list(example), []) }),
    { allow: [], deny: [] },
  ),
});

/** Whether a key of `operators` can be the name of an operator. */
export function isOperatorName(key: string): boolean {
  return v.is(operatorName, key);
}
