import { expect, test } from 'vitest';
import { type Rng, seededRng } from '../../src/lib/rng.ts';
import { checkArgv } from '../../src/policy/command-string.ts';
import { decide } from '../../src/policy/decide.ts';
import { loadPolicy } from '../../src/policy/load.ts';
import { ALICE, BOB } from './fixtures.ts';
import {
  type RawCommand,
  type RawPolicy,
  type RawRequest,
  type RawRule,
  referenceVerdict,
} from './reference.ts';

const POLICIES = 400;
const REQUESTS_PER_POLICY = 100;
const SEED = 7;

const PROGRAMS = ['ps', 'df', 'sh', 'x1'];
const DASHES = ['-a', '-b', '-ab', '--all', '--long', '-5'];
const VALUES = [
  'x',
  'xy',
  'web',
  'A',
  '5',
  '07',
  '-5',
  '',
  'a b',
  '/s',
  '/s/x',
  '/s/x/y',
  '/s/../x',
  '/s/x/',
  '//s',
  '😀',
  'x=y',
];
const TOKENS = ['x', 'xy', 'x*', '*', '?', '*y', '[a-z]*', '[!x]*', '-*', '-a', 'int:1..9', 'int:-9..9', 'any:2', 'any:9',
  'path:/s/*', 'path:/s/**', 'path:/**/y', 'path:/s/x', '/s/x', '5', 'web', '', '*x*y*', '/*']; // biome-ignore format: a plain list
const POSITIONALS = TOKENS.filter((text) => !text.startsWith('-'));

const one = <T>(rng: Rng, items: readonly T[]): T => items[rng.below(items.length)]!;
const some = <T>(rng: Rng, items: readonly T[], most: number): T[] => [
  ...new Set(Array.from({ length: rng.below(most + 1) }, () => one(rng, items))),
];
const choice = (rng: Rng, tokens: readonly string[]): string | string[] =>
  rng.below(2) === 0 ? one(rng, tokens) : [one(rng, tokens), ...some(rng, tokens, 2)];

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

function randomRule(rng: Rng, id: string): RawRule {
  const conditions = {
    ...(rng.below(3) === 0 ? { operators: [one(rng, ['alice', 'bob', 'group:sre', 'group:dev'])] } : {}),
    ...(rng.below(3) === 0 ? { tags: { role: choice(rng, ['web', 'db', 'w*', 'W*', '?b', '*', '']) } } : {}),
  };
  if (rng.below(4) > 0) {
    const commands = Array.from({ length: 1 + rng.below(4) }, () => randomCommand(rng));
    return { id, effect: 'allow', ...conditions, commands };
  }
  const programs = some(rng, ['sh', 'S*', '?f', 'nothing'], 1);
  const anyArg = some(rng, ['*S/X*', '--l*', '07', 'x?', '/s/../*'], 1);
  if (programs.length + anyArg.length === 0) programs.push('sh');
  return { id, effect: 'deny', ...conditions, programs, anyArg };
}

function randomRequest(rng: Rng): RawRequest {
  const name = one(rng, PROGRAMS);
  const program =
    rng.below(6) === 0 ? one(rng, [`/usr/bin/${name}`, `/bin/${name}`, name.toUpperCase()]) : name;
  const word = (): string => {
    const kind = rng.below(8);
    if (kind < 3) return one(rng, DASHES);
    if (kind === 3) return `${one(rng, DASHES)}=${one(rng, VALUES)}`;
    return kind === 4 && rng.below(2) === 0 ? '--' : one(rng, VALUES);
  };
  return {
    operator: one(rng, ['alice', 'bob']),
    tags: one(rng, [{ role: 'web' }, { role: 'db' }, { role: '' }, { zone: 'a' }, {}] as Record<
      string,
      string
    >[]),
    argv: [program, ...Array.from({ length: rng.below(5) }, word)],
  };
}

test(`decide agrees with a second, independent reading of the rules on ${POLICIES * REQUESTS_PER_POLICY} random cases`, () => {
  const rng = seededRng(SEED);
  const counts: Record<string, number> = { allow: 0, deny: 0, none: 0 };
  for (let index = 0; index < POLICIES; index++) {
    const raw: RawPolicy & Record<string, unknown> = {
      version: 1,
      environment: 'test',
      operators: {
        alice: { key: ALICE, groups: ['sre'] },
        bob: { key: BOB, groups: ['dev'] },
      } as RawPolicy['operators'],
      rules: Array.from({ length: 1 + rng.below(5) }, (_, number) => randomRule(rng, `r${number}`)),
    };
    const policy = loadPolicy(JSON.stringify(raw), 'random.yaml');
    for (let turn = 0; turn < REQUESTS_PER_POLICY; turn++) {
      const request = randomRequest(rng);
      expect(checkArgv(request.argv)).toBeUndefined();
      const tags = new Map(Object.entries(request.tags));
      const decision = decide(policy, { ...request, tags, unixMs: 0 });
      const verdict = decision.rule === undefined ? 'none' : `${decision.effect} ${decision.rule}`;
      const expected = referenceVerdict(raw, request);
      if (verdict !== expected) {
        expect.fail(
          `decide: ${verdict}, reference: ${expected}\n${JSON.stringify(request)}\n${JSON.stringify(raw.rules, null, 1)}`,
        );
      }
      const [effect = 'none'] = verdict.split(' ');
      counts[effect] = (counts[effect] ?? 0) + 1;
    }
  }
  console.log('verdicts:', counts);
  // Agreement about nothing but refusals would prove little.
  expect(counts.allow).toBeGreaterThan(2000);
  expect(counts.deny).toBeGreaterThan(2000);
  expect(counts.none).toBeGreaterThan(2000);
});
