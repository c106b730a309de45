import { describe, expect, test } from 'vitest';
import { keyId, parsePublicLine } from '../../src/identity/ssh-key.ts';
import { decide } from '../../src/policy/decide.ts';
import { operatorByKeyId } from '../../src/policy/operators.ts';
import { ALICE, BOB, policyOf, request, someKey } from './fixtures.ts';

const RULES = `  - id: never
    effect: deny
    why: these start other programs
    programs: [sh, "python*"]
  - id: never-secret
    effect: deny
    anyArg: ["*secret*"]
  - id: not-on-db
    effect: deny
    operators: [bob]
    tags: { role: db }
    programs: [df]
  - id: first
    effect: allow
    operators: ["group:sre"]
    tags: { role: [web, "api-*"], zone: "eu-*" }
    sandbox: strict
    limits: { timeout: 5s }
    commands:
      - { program: ps, argv: [ax] }
  - id: second
    effect: allow
    sandbox: { profile: [strict, standard], network: host }
    user: looker
    limits: { output: 1KiB, concurrency: 9 }
    commands:
      - { program: ps, path: /usr/bin/ps, argv: [[ax, aux]] }
      - { program: df, argv: [] }
      - { program: cat, positionals: { match: ["path:/srv/**", "*"] } }
      - { program: ls, positionals: { match: ["path:/srv/**"] } }
      - { program: sh, argv: [] }`;
const policy = policyOf(RULES, 'defaults: { limits: { timeout: 7s, output: 2KiB }, user: nobody }');
const web = new Map([
  ['role', 'web'],
  ['zone', 'eu-1'],
]);

describe('an allowing rule', () => {
  test('supplies limits, sandbox, network, user and file', () => {
    expect(decide(policy, request(['ps', 'aux']))).toEqual({
      effect: 'allow',
      isDenied: expect.any(Function),
      rule: 'second',
      readOnly: false,
      program: 'ps',
      path: '/usr/bin/ps',
      pathChecks: [],
      surroundings: {
        sandboxes: ['strict', 'standard'],
        network: 'host',
        allowances: { read: [], write: [], sockets: [] },
        user: 'looker',
        groups: [],
        cwd: undefined,
        env: new Map(),
        limits: {
          timeoutMs: 7000,
          outputBytes: 1024,
          concurrency: 9,
          cpuMs: undefined,
          memoryBytes: undefined,
          tasks: undefined,
          rate: undefined,
        },
      },
      approvedBy: [],
    });
  });

  test('is the first in the file, when several match; what it leaves open comes from the defaults', () => {
    expect(decide(policy, request(['ps', 'ax'], { tags: web }))).toMatchObject({
      rule: 'first',
      path: undefined,
      surroundings: {
        sandboxes: ['strict'],
        network: 'none',
        user: 'nobody',
        limits: { timeoutMs: 5000, outputBytes: 2048, concurrency: 4 },
      },
    });
  });

  test.each([
    ['another operator', { operator: 'bob', tags: web }],
    [
      'a tag with another value',
      {
        tags: new Map([
          ['role', 'db'],
          ['zone', 'eu-1'],
        ]),
      },
    ],
    ['a tag that is missing', { tags: new Map([['role', 'web']]) }],
    [
      'a tag in another case',
      {
        tags: new Map([
          ['role', 'WEB'],
          ['zone', 'eu-1'],
        ]),
      },
    ],
  ])('does not hold for %s', (_, changes) => {
    expect(decide(policy, request(['ps', 'ax'], changes))).toMatchObject({ effect: 'allow', rule: 'second' });
  });

  test('passes an absolute path on as it was asked for, when it is the pinned one', () => {
    expect(decide(policy, request(['/usr/bin/ps', 'ax']))).toMatchObject({
      program: '/usr/bin/ps',
      path: '/usr/bin/ps',
    });
  });
});

describe('a denying rule', () => {
  test('wins over every allowing rule', () => {
    expect(decide(policy, request(['sh']))).toEqual({
      effect: 'deny',
      rule: 'never',
      code: 'deny-rule',
      reason: 'rule "never" denies it',
      why: 'these start other programs',
    });
  });

  test.each([
    [['/bin/sh', 'x']],
    [['SH']],
    [['a/b/../Python3.11']],
    [['cat', '/srv/SECRET/x']],
    [['cat', '--file=secret']],
  ])('matches %j, too much rather than too little', (argv) => {
    expect(decide(policy, request(argv))).toMatchObject({ effect: 'deny', code: 'deny-rule' });
  });

  test('holds only where its conditions do', () => {
    const db = new Map([['role', 'DB']]);
    expect(decide(policy, request(['df'], { operator: 'bob', tags: db }))).toMatchObject({
      rule: 'not-on-db',
    });
    expect(decide(policy, request(['df'], { operator: 'bob' }))).toMatchObject({ effect: 'allow' });
    expect(decide(policy, request(['df'], { tags: db }))).toMatchObject({ effect: 'allow' });
  });

  test('also sees the real path behind a link', () => {
    const decision = decide(policy, request(['ls', '/srv/innocent']));
    if (decision.effect === 'deny') throw new Error(decision.reason);
    expect(decision.pathChecks[0]?.accepts('/srv/innocent')).toBe(true);
    expect(decision.pathChecks[0]?.accepts('/srv/secret/x')).toBe(false);
    expect(decision.pathChecks[0]?.accepts('/etc/passwd')).toBe(false);
  });

  test('denies by a program or by an argument when it names both', () => {
    const both = policyOf(`  - { id: both, effect: deny, programs: [df], anyArg: ["-x"] }
  - { id: all, effect: allow, commands: [{ program: df }, { program: ps, flags: ["-x"] }, { program: id }] }`);
    expect(decide(both, request(['df']))).toMatchObject({ rule: 'both' });
    expect(decide(both, request(['ps', '-x']))).toMatchObject({ rule: 'both' });
    expect(decide(both, request(['id']))).toMatchObject({ effect: 'allow' });
  });
});

describe('without a rule that allows it', () => {
  test('everything is denied', () => {
    expect(decide(policyOf('  []'), request(['ps', 'ax']))).toEqual({
      effect: 'deny',
      rule: undefined,
      code: 'no-rule',
      reason: 'no rule allows it',
      why: undefined,
    });
  });

  test.each([
    [['top'], {}, 'no rule allows it'],
    [['ps', 'auxe'], {}, 'no rule allows it; nearest is "second", but not with these arguments'],
  ])(
    '%j: the operator learns the nearest rule and its obstacle, and nothing of its text',
    (argv, changes, reason) => {
      expect(decide(policy, request(argv, changes))).toMatchObject({ code: 'no-rule', reason });
    },
  );

  test('the obstacle may be the operator, or the node', () => {
    const only = policyOf(
      '  - { id: one, effect: allow, operators: [bob], tags: { role: db }, commands: [{ program: id }] }',
    );
    expect(decide(only, request(['id']))).toMatchObject({
      reason: 'no rule allows it; nearest is "one", but not for this operator',
    });
    expect(decide(only, request(['id'], { operator: 'bob' }))).toMatchObject({
      reason: 'no rule allows it; nearest is "one", but not on this node',
    });
  });
});

describe('before any rule', () => {
  test.each([[undefined], ['mallory'], ['group:sre'], ['constructor'], ['__proto__'], ['']])(
    'an operator named %j is unknown',
    (operator) => {
      expect(decide(policy, request(['df'], { operator }))).toMatchObject({
        effect: 'deny',
        code: 'operator-unknown',
      });
    },
  );

  test('a key is good until the end of its last day (UTC), and not a millisecond longer', () => {
    const end = Date.UTC(2031, 0, 1);
    expect(decide(policy, request(['df'], { operator: 'bob', unixMs: end - 1 }))).toMatchObject({
      effect: 'allow',
    });
    expect(decide(policy, request(['df'], { operator: 'bob', unixMs: end }))).toMatchObject({
      code: 'operator-expired',
    });
    expect(decide(policy, request(['df'], { operator: 'alice', unixMs: end }))).toMatchObject({
      effect: 'allow',
    });
  });

  test.each([
    [[]],
    [['']],
    [['df', 'a\nb']],
    [['cat', '\u202e']],
    [['cat', ...Array.from({ length: 64 }, () => 'x')]],
  ])('an argv like %j is refused for its form', (argv) => {
    expect(decide(policy, request(argv))).toMatchObject({ effect: 'deny', code: 'argv' });
  });
});

test('an operator is found by the id of the key', () => {
  const nameOf = (line: string): string | undefined =>
    operatorByKeyId(policy, keyId(parsePublicLine(line).key))?.name;
  expect(nameOf(ALICE)).toBe('alice');
  expect(nameOf(BOB)).toBe('bob');
  expect(nameOf(someKey('mallory'))).toBeUndefined();
});

describe('a rule with a selection', () => {
  const selecting = policyOf(`  - { id: no-df, effect: deny, select: "db* or role=cache", programs: [df] }
  - { id: here, effect: allow, select: "role=web,db and not web[10-19]", commands: [{ program: df }] }`);
  const verdict = (node: string | undefined, role: string): string => {
    const named = node === undefined ? {} : { node };
    const decision = decide(selecting, request(['df'], { ...named, tags: new Map([['role', role]]) }));
    return `${decision.effect} ${decision.rule}`;
  };

  test.each<[string | undefined, string, string]>([
    ['web1', 'web', 'allow here'],
    ['web10', 'web', 'deny undefined'],
    ['web1', 'api', 'deny undefined'],
    ['web1', 'cache', 'deny no-df'],
    ['db1', 'db', 'deny no-df'],
    ['x', 'db', 'allow here'],
  ])('holds on %s with role %s: %s', (node, role, expected) => {
    expect(verdict(node, role)).toBe(expected);
  });

  test('that hangs on a name which nobody gave denies, and allows nothing', () => {
    expect(verdict(undefined, 'db')).toBe('deny no-df');
    const allowing = policyOf('  - { id: a, effect: allow, select: "not db1", commands: [{ program: df }] }');
    expect(decide(allowing, request(['df']))).toMatchObject({ effect: 'deny', code: 'no-rule' });
    expect(decide(allowing, request(['df'], { node: 'x' }))).toMatchObject({ effect: 'allow' });
  });

  test('that misses is named as near, without a word of the policy', () => {
    const decision = decide(selecting, request(['df'], { node: 'web11' }));
    expect(decision).toMatchObject({ reason: 'no rule allows it; nearest is "here", but not on this node' });
  });
});
