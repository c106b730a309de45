import { describe, expect, test } from 'vitest';
import { formatPublicLine, parsePublicLine } from '../../src/identity/ssh-key.ts';
import { concatBytes, utf8 } from '../../src/lib/bytes.ts';
import { FanoutError } from '../../src/lib/errors.ts';
import { loadPolicy } from '../../src/policy/load.ts';
import { ALICE, BOB, policyOf, policyText } from './fixtures.ts';

const TEXT = `version: 1
environment: production
cluster: main
operators: { alice: { key: "${ALICE}", groups: [sre] } }
defaults: { sandbox: standard, maxTtl: 2m, clockSkew: 5s, limits: { timeout: 15s, output: 256KiB, concurrency: 2 } }
rules:
  - id: never
    effect: deny
    why: these start other programs
    programs: [sh, bash]
  - id: health
    effect: allow
    operators: ["group:sre"]
    tags: { role: [web, "api-*"] }
    commands:
      - { program: ps, argv: [[ax, "-ef"]] }
      - { program: df, flags: ["-h"], positionals: { max: 2, match: ["path:/srv/**"] } }
      - { program: journalctl, flags: ["--no-pager"], options: { "-u": ["app-*.service"], "-n": "int:1..500" } }
examples:
  allow: [ { as: alice, tags: { role: web }, cmd: "ps ax" } ]
  deny: [ { as: alice, tags: { role: web }, cmd: "ps auxe" } ]
`;

function errorOf(text: string): FanoutError {
  try {
    loadPolicy(text, 'policies/x.yaml');
  } catch (error) {
    if (error instanceof FanoutError) return error;
    throw error;
  }
  throw new Error('the policy was accepted');
}

/** The error after one change to a sound policy. */
function errorAfter(before: string, after: string): FanoutError {
  expect(TEXT.split(before).length, `"${before}" stands in the text once or more`).toBeGreaterThan(1);
  return errorOf(TEXT.replace(before, () => after));
}

describe('a sound policy', () => {
  test('becomes what it says', () => {
    const policy = loadPolicy(TEXT, 'policies/x.yaml');
    expect(policy).toMatchObject({
      file: 'policies/x.yaml',
      environment: 'production',
      cluster: 'main',
      maxTtlSeconds: 120,
      clockSkewSeconds: 5,
    });
    expect([...policy.operators.keys()]).toEqual(['alice']);
    expect(policy.rules.map(({ id, effect }) => [id, effect])).toEqual([
      ['never', 'deny'],
      ['health', 'allow'],
    ]);
  });

  test('has modest defaults: no cluster, a minute, half a minute, the standard sandbox, no network', () => {
    const policy = policyOf('  - { id: a, effect: allow, commands: [{ program: id }] }');
    expect(policy).toMatchObject({ cluster: '', maxTtlSeconds: 60, clockSkewSeconds: 30 });
    expect(policy.rules[0]).toMatchObject({
      surroundings: {
        sandboxes: ['standard'],
        network: 'none',
        user: undefined,
        limits: { timeoutMs: 30_000, outputBytes: 1024 * 1024, concurrency: 4 },
      },
    });
  });

  test('is named by the SHA-256 of its text', () => {
    const { hash } = loadPolicy(TEXT, 'a.yaml');
    expect(hash).toMatch(/^[0-9a-f]{64}$/);
    expect(loadPolicy(TEXT, 'b.yaml').hash).toBe(hash);
    expect(loadPolicy(`${TEXT}# more\n`, 'a.yaml').hash).not.toBe(hash);
  });

  test('may have line ends of Windows, a byte order mark, comments, and block style', () => {
    expect(loadPolicy(`\uFEFF# größe\n${TEXT}`.replaceAll('\n', '\r\n'), 'x').rules.length).toBe(2);
  });

  test('may be JSON', () => {
    const json = { version: 1, environment: 'x', operators: { alice: { key: ALICE } }, rules: [] };
    expect(loadPolicy(JSON.stringify(json), 'x').operators.get('alice')?.groups).toEqual([]);
  });
});

test('an error names file, line, rule and problem, points with a caret, and says what to do', () => {
  const error = errorAfter('operators: ["group:sre"]', 'operater: ["group:sre"]');
  expect(error.code).toBe('POLICY_INVALID');
  expect(error.message).toBe(
    'policies/x.yaml:13: rule "health": unknown key "operater"\n      operater: ["group:sre"]\n      ^',
  );
  expect(error.hint).toBe('Did you mean "operators"?');
});

test('of several problems the first in the file is reported', () => {
  const text = TEXT.replace('timeout: 15s', 'timeout: 15').replace('effect: allow', 'effect: alow');
  expect(errorOf(text).message).toContain('policies/x.yaml:5: defaults: timeout:');
});

describe('YAML that not everybody reads the same way is refused', () => {
  test.each([
    ['an unknown key', 'tags: {', 'tag: {', 'unknown key "tag"'],
    [
      'an unknown key at the top',
      'environment: production',
      'environment: production\nenv: x',
      'unknown key "env"',
    ],
    ['a doubled key', 'effect: allow', 'effect: allow\n    effect: deny', 'Map keys must be unique'],
    [
      'a doubled key in other spelling',
      'timeout: 15s',
      'timeout: 15s, "timeout": 1h',
      'Map keys must be unique',
    ],
    ['an alias', '[[ax, "-ef"]]', '[*ax]', 'a YAML alias'],
    ['an anchor', '[[ax, "-ef"]]', '&a [ax]', 'a YAML anchor'],
    ['an anchor on a key', 'effect: allow', '&a effect: allow', 'a YAML anchor'],
    ['an unknown tag', '"-ef"', '!rm x', 'Unresolved tag'],
    ['a known tag', '"-ef"', '!!str 5', 'a YAML tag'],
    ['a lone tag', '"-ef"', '! x', 'a YAML tag'],
    ['a merge key', 'timeout: 15s', '<<: { timeout: 15s }', 'a merge key'],
    ['a second document', 'rules:', '---\nrules:', 'multiple documents'],
    ['a directive', 'version: 1', '%YAML 1.1\n---\nversion: 1', 'a YAML directive'],
    ['a number among arguments', '"-ef"', '5', 'must be text, YAML reads it as the number 5'],
    ['an octal number', '"-ef"', '0755', 'the number 755'],
    ['a float', '"-ef"', '1e3', 'the number 1000'],
    ['a boolean', '"-ef"', 'true', 'the boolean true'],
    ['a null', '"-ef"', '~', 'YAML reads it as nothing'],
    ['nothing', 'programs: [sh, bash]', 'programs:', 'must be a list, YAML reads it as nothing'],
    ['braces that became a mapping', '"-ef"', '{print $1}', 'must be text, YAML reads it as a mapping'],
    [
      'a list where a mapping belongs',
      'limits: { timeout: 15s, output: 256KiB, concurrency: 2 }',
      'limits: []',
      'must be a mapping',
    ],
    ['a key that is no text', 'role: [web', '5: [web', 'this key is not text'],
    ['a key that is a list', 'role: [web', '[a]: [web', 'this key is not text'],
    ['a key of JavaScript', 'role: [web', '__proto__: [web', 'reserved'],
    ['another key of JavaScript', 'alice: {', 'constructor: {', 'reserved'],
    ['an open quote', '"-ef"', '"-ef', 'Missing closing "quote'],
    ['tabs as indentation', '    effect: allow', '\t\teffect: allow', 'not valid YAML'],
    ['bidirectional text', 'why: these', 'why: \u202ethese', 'invisible or control character'],
    ['an escape character', 'why: these', 'why: \u001bthese', 'invisible or control character'],
    ['an escaped one', 'why: these start other programs', 'why: "\\e[2J"', 'written as an escape'],
    ['an escaped invisible one in a key', 'role: [web', '"ro\\u200ble": [web', 'written as an escape'],
  ])('%s', (_, before, after, problem) => {
    const { message } = errorAfter(before, after);
    expect(message).toContain(problem);
    expect(message).toMatch(/^policies\/x\.yaml:\d+: /);
  });

  test.each([
    ['', 'empty'],
    ['# nothing', 'empty'],
    ['5', 'must be a mapping'],
    ['[]', 'must be a mapping'],
    ['"a"', 'must be a mapping'],
  ])('a file with only %j', (text, problem) => {
    expect(errorOf(text).message).toContain(problem);
  });

  test('nesting without end', () => {
    expect(errorOf(`${'['.repeat(20_000)}${']'.repeat(20_000)}`).code).toBe('POLICY_INVALID');
    expect(errorOf(`${'[ '.repeat(100)}${']'.repeat(100)}`).message).toContain('too many levels');
  });
});

describe('a value that cannot be meant is refused', () => {
  test.each([
    ['version: 1', 'version: 2', 'version: must be 1'],
    ['version: 1\n', '', 'the key "version" is missing'],
    ['environment: production', 'environment: pro duction', 'is not a name'],
    ['environment: production\n', '', 'the key "environment" is missing'],
    ['cluster: main', 'cluster: ""', 'is not a name'],
    [ALICE, 'ssh-rsa AAAA', 'operator "alice": the key is of type ssh-rsa'],
    [ALICE, '', 'not a public key line'],
    ['alice: {', '"group:x": {', 'is not a name that an operator can have'],
    ['groups: [sre]', 'groups: sre', 'must be a list'],
    ['groups: [sre]', 'groups: [sre], notAfter: 2027-02-30', 'there is no day 2027-02-30'],
    ['groups: [sre]', 'groups: [sre], notAfter: tomorrow', 'is not a day'],
    ['timeout: 15s', 'timeout: 15', 'timeout: must be text'],
    ['timeout: 15s', 'timeout: 15x', 'is not one of the amounts'],
    ['timeout: 15s', 'timeout: 0s', 'is not one of the amounts'],
    ['timeout: 15s', 'timeout: 25h', 'is not one of the amounts'],
    ['output: 256KiB', 'output: 256kb', 'is not one of the amounts'],
    ['concurrency: 2', 'concurrency: 0', 'must be a whole number from 1'],
    ['concurrency: 2', 'concurrency: 1.5', 'must be a whole number'],
    ['concurrency: 2', 'concurrency: "2"', 'must be a whole number'],
    ['maxTtl: 2m', 'maxTtl: 1500ms', 'must be whole seconds'],
    ['clockSkew: 5s', 'clockSkew: 1h', 'is not one of the amounts'],
    ['sandbox: standard', 'sandbox: standrd', 'must be none or standard or strict, not "standrd"'],
    ['sandbox: standard', 'sandbox: []', 'is an empty list'],
    ['sandbox: standard', 'sandbox: [none, none]', 'names a profile twice'],
    ['sandbox: standard', 'sandbox: { network: internet }', 'must be none or host'],
    ['sandbox: standard', 'network: host', 'unknown key "network"'],
    ['sandbox: standard', 'sandbox: { read: [/srv/*] }', '"/srv/*" has a wildcard'],
    ['sandbox: standard', 'sandbox: { write: [/srv/../etc] }', 'has a . or .. in it'],
    ['sandbox: standard', 'sandbox: { profile: none, sockets: [/run/x] }', 'which has no walls'],
    ['sandbox: standard', 'sandbox: { write: /srv }', 'must be a list'],
    ['sandbox: standard', 'user: "a b"', 'is not a user name'],
    ['effect: allow', 'effect: alow', 'rule "health": effect: must be allow or deny, not "alow"'],
    ['    effect: allow\n', '', 'rule "health": the key "effect" is missing'],
    ['id: health', 'id: never', 'another rule has this id'],
    ['id: health', 'id: a b', 'is not a name'],
    ['programs: [sh, bash]', 'commands: [{ program: sh }]', 'unknown key "commands"'],
    ['    programs: [sh, bash]\n', '', 'rule "never": denies nothing'],
    ['programs: [sh, bash]', 'programs: [/bin/sh]', 'is a path'],
    ['"group:sre"', '"group:sr"', 'no operator is in "group:sr"'],
    ['"group:sre"', 'alise', 'there is no operator "alise"'],
    ['operators: ["group:sre"]', 'operators: []', 'holds for nobody'],
    ['program: ps', 'program: /usr/bin/ps', 'is not the bare name'],
    ['program: ps', 'program: ".."', 'is not the bare name'],
    ['program: ps', 'program: "p*"', 'is not the bare name'],
    ['program: ps', 'program: ps, path: bin/ps', 'is not an absolute path'],
    ['program: ps', 'program: ps, path: /usr/bin/../ps', 'has a . or ..'],
    ['program: ps', 'program: ps, path: /usr/bin/bash', 'does not end in /ps'],
    ['[[ax, "-ef"]]', '[[]]', 'is an empty list'],
    ['[[ax, "-ef"]]', '[["*a*b*c*d*"]]', 'more than 3 wildcards'],
    ['[[ax, "-ef"]]', '[["[a"]]', 'no set of characters'],
    ['[[ax, "-ef"]]', '[["\\t[a]*\\u0009x\\\\"]]', 'backslash'],
    ['argv: [[ax, "-ef"]]', 'argv: [ax], flags: ["-x"]', 'argv and flags exclude each other'],
    ['flags: ["-h"]', 'flags: [h]', 'does not look like an option'],
    ['flags: ["-h"]', 'flags: ["--"]', 'does not look like an option'],
    ['flags: ["-h"]', 'flags: ["-"]', 'does not look like an option'],
    ['flags: ["-h"]', 'flags: ["-*"]', 'has a wildcard'],
    ['flags: ["-h"]', 'flags: ["-h", "-h"]', 'is declared twice'],
    ['flags: ["--no-pager"]', 'flags: ["-u"]', 'is declared twice'],
    ['"-n": "int:1..500"', '"--n=x": "*"', 'has a "=" in it'],
    ['"-n": "int:1..500"', '"-n": []', 'is an empty list'],
    ['int:1..500', 'int:500..1', 'is an empty range'],
    ['int:1..500', 'int:1-500', 'is not a range'],
    ['int:1..500', 'int:01..5', 'is not a range'],
    ['int:1..500', 'any:0', 'does not say how long'],
    ['int:1..500', 'any:5000', 'does not say how long'],
    ['path:/srv/**', 'path:srv/**', 'is not an absolute path'],
    ['path:/srv/**', 'path:/srv/', 'ends with a slash'],
    ['path:/srv/**', '-x', 'positional arguments never do'],
    ['max: 2', 'max: 2, min: 3', 'min is larger than max'],
    ['max: 2', 'max: -1', 'must be a whole number from 0 to 63'],
    ['"api-*"', '"[x"', 'no set of characters'],
    ['why: these start other programs', 'why: "a\\nb"', 'must be one line'],
    ['tags: { role: [web, "api-*"] }', 'select: "role="', 'rule "health": the selection cannot be read'],
    ['tags: { role: [web, "api-*"] }', 'select: "a b"', 'two conditions side by side'],
    ['tags: { role: [web, "api-*"] }', 'select: "@prod"', 'a saved selection has no meaning here'],
    ['tags: { role: [web, "api-*"] }', 'select: " "', 'rule "health": is empty'],
    ['tags: { role: [web, "api-*"] }', 'select: [web]', 'select: must be text'],
    ['effect: deny', 'effect: deny\n    select: "web[2-1]"', 'rule "never": the selection cannot be read'],
  ])('%s -> %s', (before, after, problem) => {
    const { message } = errorAfter(before, after);
    expect(message).toContain(problem);
    expect(message).toMatch(/^policies\/x\.yaml:\d+: .+\n {2}.*\n {2} *\^$/);
  });

  test('two operators with one key', () => {
    const twice = policyText('  []').replace(BOB, ALICE);
    expect(errorOf(twice).message).toContain('operator "bob": has the same key as "alice"');
  });

  test.each(['ssh:', 'ssh:fanout'])(
    'nor with one secret, the second time said to be of a device (%s)',
    (app) => {
      const key = concatBytes(parsePublicLine(ALICE).key, utf8(app));
      const twice = policyText('  []').replace(BOB, formatPublicLine(key, 'bob'));
      expect(errorOf(twice).message).toContain('operator "bob": has the same key as "alice"');
    },
  );
});

describe('examples', () => {
  test('that should be denied and are not refuse the file, and name line, verdict and rule', () => {
    const error = errorAfter('ps auxe', 'ps -ef');
    expect(error.message.split('\n')[0]).toBe(
      'policies/x.yaml:21: examples.deny: "ps -ef" as alice should be denied, but rule "health" allows it',
    );
  });

  test('that should be allowed and are not refuse the file, and say what is missing', () => {
    expect(errorAfter('cmd: "ps ax"', 'cmd: "ps aux"').message.split('\n')[0]).toBe(
      'policies/x.yaml:20: examples.allow: "ps aux" as alice should be allowed, but no rule allows it; nearest is ' +
        '"health", but not with these arguments ("health": argument 1 aux is not ax or -ef)',
    );
    expect(errorAfter('cmd: "ps ax"', 'cmd: "ps ax | sh"').message).toContain('it is no command: pipe "|"');
    expect(errorAfter('cmd: "ps ax"', 'cmd: "bash"').message).toContain('rule "never" denies it');
    expect(
      errorAfter('as: alice, tags: { role: web }, cmd: "ps ax"', 'as: eve, cmd: "ps ax"').message,
    ).toContain('does not know the operator');
  });

  test('that are no command at all count as denied', () => {
    expect(loadPolicy(TEXT.replace('ps auxe', 'ps | sh'), 'x').rules.length).toBe(2);
  });

  test('do not depend on the day: an expired key does not make the policy unreadable', () => {
    const text = TEXT.replace('groups: [sre]', 'groups: [sre], notAfter: 1999-12-31');
    expect(loadPolicy(text, 'x').operators.get('alice')?.notAfterUnixMs).toBe(Date.UTC(2000, 0, 1));
  });
});
