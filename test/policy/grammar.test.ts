import { describe, expect, test } from 'vitest';
import { parseCommandString } from '../../src/policy/command-string.ts';
import { decide } from '../../src/policy/decide.ts';
import { explain } from '../../src/policy/explain.ts';
import { policyAllowing, request } from './fixtures.ts';

/**
 * Each case: the command entry of a policy, what it allows, and what it does not with the reason that is
 * given.
 */
const CASES: readonly (readonly [string, readonly string[], readonly (readonly [string, string])[]])[] = [
  [
    '{ program: ps, argv: [[ax, "-ef"]] }',
    ['ps ax', 'ps -ef'],
    [
      ['ps', 'argument 1 is missing, expected ax or -ef'],
      ['ps auxe', 'argument 1 auxe is not ax or -ef'],
      ['ps ax ax', 'argument 2 ax is one too many'],
      ['ps -e', 'argument 1 -e is not ax or -ef'],
      ['ps -- ax', 'argument 1 -- is not ax or -ef'],
      ['/usr/bin/ps ax', 'the program is not ps'],
      ['PS ax', 'the program is not ps'],
    ],
  ],
  [
    '{ program: uptime }',
    ['uptime'],
    [
      ['uptime -p', 'argument 1 -p is not declared'],
      ['uptime --', 'not declared'],
      ['uptime x', 'one too many'],
    ],
  ],
  ['{ program: id, argv: [] }', ['id'], [['id root', 'argument 1 root is one too many']]],
  [
    '{ program: ps, path: /usr/bin/ps, argv: [ax] }',
    ['ps ax', '/usr/bin/ps ax'],
    [
      ['/bin/ps ax', 'not ps'],
      ['./ps ax', 'not ps'],
    ],
  ],
  [
    '{ program: df, flags: ["-h", "-i", "--si"], positionals: { max: 2, match: ["path:/srv/**", /] } }',
    [
      'df',
      'df -h',
      'df -h -i -h',
      'df /',
      'df -h /srv/a /srv/b',
      'df /srv/a -h',
      'df -h -- /srv/a',
      'df --',
      'df --si',
    ],
    [
      ['df -hi', 'argument 1 -hi is not declared'],
      ['df -x', 'argument 1 -x is not declared'],
      ['df --s', 'argument 1 --s is not declared'],
      ['df --si=x', 'argument 1 --si=x is not declared'],
      ['df -', 'argument 1 - is not declared'],
      ['df -- -h', 'argument 2 -h begins with a dash behind --'],
      ['df -- --', 'argument 2 -- begins with a dash behind --'],
      ['df / / /', 'argument 3 / is one too many'],
      ['df /srv', 'argument 1 /srv is not "path:/srv/**" or /'],
      ['df /srv/../etc', 'is not "path:/srv/**"'],
      ["df ''", 'argument 1 "" is not'],
    ],
  ],
  [
    '{ program: jc, flags: ["-q"], options: { "-u": ["app-*.service"], "-n": "int:1..500", "--since": "*", "-g": "any:5", "--nice": "int:-5..5" } }',
    [
      'jc -u app-a.service -n 1',
      'jc -n 500 -q -n 2',
      "jc --since '1 hour ago'",
      "jc --since='1 hour ago'",
      'jc --since=a=b',
      'jc -g 12345',
      'jc -g 日本語文字',
      'jc -g 😀😀😀😀😀',
      'jc --nice -5',
      'jc --nice=-5',
      'jc --nice 0',
    ],
    [
      ['jc -n', 'option -n has no value'],
      ['jc -n 0', 'argument 2 0 is not int:1..500'],
      ['jc -n 501', 'not int:1..500'],
      ['jc -n 05', 'not int:1..500'],
      ['jc -n +5', 'not int:1..500'],
      ['jc -n 5.0', 'not int:1..500'],
      ['jc -n 1e2', 'not int:1..500'],
      ['jc -n 0x10', 'not int:1..500'],
      ["jc -n ' 5'", 'not int:1..500'],
      ['jc -n ٥', 'not int:1..500'],
      ['jc -n5', 'argument 1 -n5 is not declared'],
      ['jc -n=5', 'argument 1 -n=5 is not declared'],
      ['jc --sinc=x', 'argument 1 --sinc=x is not declared'],
      ['jc --since=', 'argument 1 "" is not "*"'],
      ['jc --since=-x', 'argument 1 -x is not "*"'],
      ['jc --since -u', 'argument 2 -u is not "*"'],
      ['jc --since', 'option --since has no value'],
      ['jc --Since=x', 'not declared'],
      ['jc -u ssh.service', 'argument 2 ssh.service is not "app-*.service"'],
      ['jc -u --', 'argument 2 -- is not'],
      ['jc -g 123456', 'not any:5'],
      ['jc -g -x', 'not any:5'],
      ["jc -g ''", 'not any:5'],
      ['jc --nice -6', 'not int:-5..5'],
      ['jc --nice -0', 'not int:-5..5'],
      ['jc --', 'argument 1 -- is not declared'],
      ['jc x', 'argument 1 x is one too many'],
    ],
  ],
  [
    '{ program: grep, flags: ["-i"], first: ["any:9"], positionals: { min: 1, max: 2, match: "path:/log/*" } }',
    [
      'grep x /log/a',
      'grep -i x /log/a /log/b',
      'grep x /log/a -i',
      "grep 'a|b' -- /log/a",
      'grep -- x /log/a',
      'grep /etc /log/a',
    ],
    [
      ['grep x', '1 of at least 2 positional arguments'],
      ['grep', '0 of at least 2 positional arguments'],
      ['grep /log/a', '1 of at least 2'],
      ['grep x /log/a /log/b /log/c', 'one too many'],
      ['grep x y', 'argument 2 y is not "path:/log/*"'],
      ['grep -e x /log/a', '-e is not declared'],
      ['grep -- -e /log/a', 'begins with a dash behind --'],
      ['grep x /log/a/b', 'is not "path:/log/*"'],
    ],
  ],
  [
    '{ program: x, argv: ["-*", "*", "int:-9..9"] }',
    ['x -rf a -9', 'x -- a/b 9'],
    [
      ['x a a 1', 'is not "-*"'],
      ['x -a -b 1', 'is not "*"'],
    ],
  ],
];

describe.each(CASES)('%s', (entry, allowed, denied) => {
  const policy = policyAllowing(entry);

  test.each(allowed)('allows %s', (command) => {
    expect(decide(policy, request(parseCommandString(command)))).toMatchObject({
      effect: 'allow',
      rule: 'only',
    });
  });

  test.each(denied)('denies %s: %s', (command, reason) => {
    const { decision, rules } = explain(policy, request(parseCommandString(command)));
    expect(decision).toMatchObject({ effect: 'deny', code: 'no-rule', rule: undefined });
    expect(rules[0]?.reason).toContain(reason);
  });
});

describe('the real path of an argument', () => {
  function checksOf(entry: string, argv: readonly string[]) {
    const decision = decide(policyAllowing(entry), request(argv));
    if (decision.effect === 'deny') throw new Error(decision.reason);
    return decision.pathChecks;
  }

  test('has to match as well, for exactly the arguments that a path pattern let in', () => {
    const entry =
      '{ program: cat, flags: ["-n"], positionals: { max: 3, match: [/etc/hosts, "path:/srv/*", "path:/log/**"] } }';
    const checks = checksOf(entry, ['cat', '-n', '/etc/hosts', '/srv/a', '/log/b/c']);
    expect(checks.map(({ index, path, pattern }) => [index, path, pattern])).toEqual([
      [3, '/srv/a', 'path:/srv/*, path:/log/**'],
      [4, '/log/b/c', 'path:/srv/*, path:/log/**'],
    ]);
    const accepts = checks[0]!.accepts;
    expect(accepts('/srv/other')).toBe(true);
    expect(accepts('/log/x')).toBe(true);
    expect(accepts('/etc/shadow')).toBe(false);
    expect(accepts('/etc/hosts')).toBe(false);
    expect(accepts('/srv/../etc')).toBe(false);
  });

  test('is that of the value, also where it is attached to its option', () => {
    const entry = '{ program: x, options: { "--file": "path:/srv/**" } }';
    expect(checksOf(entry, ['x', '--file=/srv/a'])).toMatchObject([{ index: 1, path: '/srv/a' }]);
    expect(checksOf(entry, ['x', '--file', '/srv/a'])).toMatchObject([{ index: 2, path: '/srv/a' }]);
  });
});
