import type { Rng } from '../../src/lib/rng.ts';
import { someKey } from './fixtures.ts';
import type { RawCommand, RawPolicy, RawRule, RawSelect } from './reference.ts';

/** Words, names and patterns from which random policies and requests are made: few, so that they meet. */
export const PROGRAMS = ['ps', 'df', 'sh', 'x1'];
export const DASHES = ['-a', '-b', '-ab', '--all', '--long', '-5'];
const TOKENS = ['x', 'xy', 'x*', '*', '?', '*y', '[a-z]*', '[!x]*', '-*', '-a', 'int:1..9', 'int:-9..9', 'any:2', 'any:9',
  'path:/s/*', 'path:/s/**', 'path:/**/y', 'path:/s/x', '/s/x', '5', 'web', '', '*x*y*', '/*']; // biome-ignore format: a plain list
const POSITIONALS = TOKENS.filter((text) => !text.startsWith('-'));
export const PEOPLE = ['alice', 'bob', 'carol', 'dave'];
export const NAMES = ['web1', 'web2', 'web12', 'web02', 'db1', 'x'];
/** The days on which something ends. */
export const DAYS = ['2030-01-01', '2030-06-30'];
const KEYS = PEOPLE.map(someKey);

export const one = <T>(rng: Rng, items: readonly T[]): T => items[rng.below(items.length)]!;
const some = <T>(rng: Rng, items: readonly T[], most: number): T[] => [
  ...new Set(Array.from({ length: rng.below(most + 1) }, () => one(rng, items))),
];
const choice = (rng: Rng, tokens: readonly string[]): string | string[] =>
  rng.below(2) === 0 ? one(rng, tokens) : [one(rng, tokens), ...some(rng, tokens, 2)];
const atLeastOne = <T>(rng: Rng, items: readonly T[], most: number): T[] => [
  ...new Set([one(rng, items), ...some(rng, items, most - 1)]),
];

function randomCommand(rng: Rng): RawCommand {
  const program = one(rng, PROGRAMS);
  const pin = rng.below(3) === 0 ? { path: `/usr/bin/${program}` } : {};
  if (rng.below(3) === 0) {
    return { program, ...pin, argv: Array.from({ length: rng.below(4) }, () => choice(rng, TOKENS)) };
  }
  const flags = some(rng, DASHES, 3);
  const names = some(rng, DASHES, 3).filter((name) => !flags.includes(name));
  const min = rng.below(2);
  const bounds = [{}, { max: 1 + rng.below(2) }, { min, max: min + rng.below(3) }, { max: 0 }];
  return {
    program,
    ...pin,
    flags,
    options: Object.fromEntries(names.map((name) => [name, choice(rng, TOKENS)])),
    ...(rng.below(3) === 0 ? { first: [choice(rng, POSITIONALS)] } : {}),
    ...(rng.below(2) === 0 ? { positionals: { ...one(rng, bounds), match: choice(rng, POSITIONALS) } } : {}),
  };
}

const SELECT_PATTERNS = [
  'web*',
  'web[1-3]',
  'web[01-12]',
  'w*[1-2]',
  '*',
  'db1',
  'x',
  'web[1,12]',
  '[a-z]*',
  'web',
  '?b*',
];

function randomSelect(rng: Rng, depth = 0): RawSelect {
  const kind = depth > 2 ? 0 : rng.below(6);
  if (kind < 3) {
    return { key: one(rng, ['node', 'node', 'role', 'zone']), patterns: atLeastOne(rng, SELECT_PATTERNS, 2) };
  }
  if (kind === 3) return { not: randomSelect(rng, depth + 1) };
  const parts = Array.from({ length: 2 + rng.below(2) }, () => randomSelect(rng, depth + 1));
  return kind === 4 ? { all: parts } : { any: parts };
}

/** The text of a selector, in one of the spellings that mean the same. */
function selectText(rng: Rng, select: RawSelect): string {
  if ('key' in select) return `${select.key}=${select.patterns.join(',')}`;
  if ('not' in select) {
    if ('key' in select.not && rng.below(2) === 0)
      return `${select.not.key}!=${select.not.patterns.join(',')}`;
    return `${one(rng, ['not ', '!'])}(${selectText(rng, select.not)})`;
  }
  const [parts, words] =
    'all' in select ? [select.all, [' and ', ' & ', ' && ']] : [select.any, [' or ', ' | ']];
  return parts.map((part) => `(${selectText(rng, part)})`).join(one(rng, words));
}

function randomRule(rng: Rng, id: string): RawRule {
  const named = [...PEOPLE, 'group:sre', 'group:dev'];
  const conditions = {
    ...(rng.below(4) === 0 ? { operators: atLeastOne(rng, named, 3) } : {}),
    ...(rng.below(5) === 0 ? { tags: { role: choice(rng, ['web', 'db', 'w*', 'W*', '?b', '*', '']) } } : {}),
    ...(rng.below(6) === 0 ? { select: randomSelect(rng) } : {}),
  };
  if (rng.below(5) > 0) {
    const commands = Array.from({ length: 1 + rng.below(4) }, () => randomCommand(rng));
    const approvals = { need: 1 + rng.below(2), from: [...atLeastOne(rng, named, 2), 'group:sre'] };
    return {
      id,
      effect: 'allow',
      readOnly: rng.below(2) === 0,
      ...conditions,
      ...(rng.below(6) === 0 ? { approvals } : {}),
      commands,
    };
  }
  const programs = some(rng, ['sh', 'S*', '?f', 'nothing'], 1);
  const anyArg = some(rng, ['*S/X*', '--l*', '07', 'x?', '/s/../*'], 1);
  if (programs.length + anyArg.length === 0) programs.push('sh');
  return { id, effect: 'deny', ...conditions, programs, anyArg };
}

/** A policy as plain data, and as the text of a file. Everybody but dave is in a group, some only until a day. */
export function randomPolicy(rng: Rng): { raw: RawPolicy; text: string } {
  const member = (name: string) => (rng.below(3) === 0 ? { name, notAfter: one(rng, DAYS) } : name);
  const groups = [[member('sre')], [member('sre'), member('dev')], [member('dev'), 'sre'], []];
  const operators = Object.fromEntries(
    PEOPLE.map((name, i) => {
      const ends = rng.below(5) === 0 ? { notAfter: one(rng, DAYS) } : {};
      return [name, { groups: groups[i] ?? [], ...ends }];
    }),
  );
  const rules = Array.from({ length: 1 + rng.below(5) }, (_, number) => randomRule(rng, `r${number}`));
  const text = JSON.stringify({
    version: 1,
    environment: 'test',
    operators: Object.fromEntries(
      Object.entries(operators).map(([name, operator], i) => [name, { key: KEYS[i], ...operator }]),
    ),
    rules: rules.map((rule) =>
      rule.select === undefined ? rule : { ...rule, select: selectText(rng, rule.select) },
    ),
  });
  return { raw: { operators, rules }, text };
}
