import { describe, expect, test } from 'vitest';
import { checkArgv, parseCommandString } from '../../src/policy/command-string.ts';
import { decide } from '../../src/policy/decide.ts';
import { handlerName, queryName } from '../../src/policy/names.ts';
import { policyAllowing, policyOf, request } from './fixtures.ts';

const effect = (policy: ReturnType<typeof policyOf>, ...argv: string[]): string => {
  const decision = decide(policy, request(argv));
  return decision.effect === 'allow' ? 'allow' : decision.code;
};

describe('a handler is never taken for a program, nor a program for a handler', () => {
  test('a rule for one does not allow the other', () => {
    const handler = policyAllowing('{ handler: disk }');
    expect(effect(handler, 'handler:disk')).toBe('allow');
    for (const program of ['disk', '/usr/bin/disk', 'handler', 'handler:disks', 'handler:dis']) {
      expect(effect(handler, program), program).toBe('no-rule');
    }
    const program = policyAllowing(
      '{ program: disk, positionals: { match: ["*"] } }',
      '{ program: handler }',
    );
    expect(effect(program, 'disk')).toBe('allow');
    expect(effect(program, 'handler:disk')).toBe('no-rule');
  });

  test('no policy can name a program with a colon, nor a handler with anything else', () => {
    for (const entry of [
      '{ program: "handler:disk" }',
      '{ handler: "handler:disk" }',
      '{ handler: ../disk }',
      '{ handler: "*" }',
      '{ handler: disk, program: df }',
      '{ handler: disk, argv: [] }',
      '{ handler: disk, path: /usr/bin/df }',
    ]) {
      expect(() => policyAllowing(entry), entry).toThrow(/test\.yaml:\d+/);
    }
  });

  test.each([
    'handler:',
    'handler:../x',
    'handler:a/b',
    'handler:A',
    'handler:a b',
    'handler::a',
    'Handler:a',
    'x:y',
    'handler:-a',
    'query:',
    'query:a/b',
    'query:a b',
    'handler:a\n',
  ])('%j is no name, and no command', (word) => {
    expect([handlerName(word), queryName(word)]).toEqual([undefined, undefined]);
    expect(checkArgv([word])).toBeDefined();
  });

  test('the string form takes it, and nothing that a shell would read in another way', () => {
    expect(parseCommandString('handler:disk path=/var format=json')).toEqual([
      'handler:disk',
      'path=/var',
      'format=json',
    ]);
    expect(parseCommandString("handler:grep 'text=a b'")).toEqual(['handler:grep', 'text=a b']);
    expect(() => parseCommandString('handler:disk path=$HOME')).toThrow('expansion');
  });
});

describe('parameters in a rule', () => {
  const policy = policyAllowing(
    '{ handler: tail-log, params: { path: "path:/var/log/app/**", lines: "int:1..50" } }',
  );
  test('may be left out, and are held against what the rule says', () => {
    expect(effect(policy, 'handler:tail-log')).toBe('allow');
    expect(effect(policy, 'handler:tail-log', 'lines=50', 'path=/var/log/app/x')).toBe('allow');
  });
  test.each([
    ['lines=51'],
    ['path=/var/log/syslog'],
    ['path=/var/log/app/../syslog'],
    ['format=json'],
    ['lines=1', 'lines=2'],
    ['lines'],
    ['--lines', '1'],
    ['LINES=1'],
    ['lines=1', ''],
  ])('%j is not allowed', (...args) => {
    expect(effect(policy, 'handler:tail-log', ...args)).toBe('no-rule');
  });
  test('a real path is asked for', () => {
    const decision = decide(policy, request(['handler:tail-log', 'path=/var/log/app/x']));
    if (decision.effect === 'deny') throw new Error(decision.reason);
    expect(decision.pathChecks).toHaveLength(1);
    expect(decision.pathChecks[0]).toMatchObject({ path: '/var/log/app/x' });
    expect(decision.pathChecks[0]!.accepts('/etc/shadow')).toBe(false);
  });
  test('a name that no parameter can have is refused when the policy is read', () => {
    expect(() => policyAllowing('{ handler: x, params: { "a=b": c } }')).toThrow(
      'is not the name of a parameter',
    );
    expect(() => policyAllowing('{ handler: x, params: { a: "-*" } }')).toThrow('begins with a dash');
  });
});

describe('a deny rule', () => {
  const rules = (deny: string) => `  - { id: no, effect: deny, ${deny} }
  - { id: yes, effect: allow, commands: [{ handler: disk }, { handler: other }] }`;
  test('can name a handler, or all of them', () => {
    expect(effect(policyOf(rules('programs: ["handler:disk"]')), 'handler:disk')).toBe('deny-rule');
    expect(effect(policyOf(rules('programs: ["handler:disk"]')), 'handler:other')).toBe('allow');
    expect(effect(policyOf(rules('programs: ["handler:*"]')), 'handler:other')).toBe('deny-rule');
  });
  test('that names a value means it behind its parameter too, and as a real path', () => {
    const policy = policyOf(rules('anyArg: [/etc/shadow]'));
    expect(effect(policy, 'handler:disk', 'path=/etc/shadow')).toBe('deny-rule');
    const decision = decide(policy, request(['handler:disk', 'path=/var/link']));
    expect(decision.effect === 'allow' && decision.isDenied('/etc/shadow')).toBe(true);
  });
});

describe('a signed query', () => {
  const policy = policyOf(
    '  - { id: no, effect: deny, programs: ["query:never"] }',
    'queries: [{ name: load, from: any }, { name: ours, operators: ["group:sre"] }, { name: never, from: any }]',
  );
  test('is answered for whom the list of queries names, and a deny rule wins', () => {
    expect(effect(policy, 'query:load')).toBe('allow');
    expect(effect(policy, 'query:ours', 'payload')).toBe('allow');
    expect(decide(policy, request(['query:ours'], { operator: 'bob' }))).toMatchObject({
      effect: 'deny',
      code: 'no-rule',
    });
    expect(decide(policy, request(['query:load'], { operator: 'mallory' }))).toMatchObject({
      code: 'operator-unknown',
    });
    expect(effect(policy, 'query:never')).toBe('deny-rule');
    expect(effect(policy, 'query:other')).toBe('no-rule');
    expect(effect(policy, 'query:ours', 'a', 'b')).toBe('no-rule');
  });
  test('has a rule of its own name, which no rule can have', () => {
    expect(decide(policy, request(['query:load']))).toMatchObject({ rule: 'query:load', readOnly: false });
    expect(() => policyOf('  - { id: "query:load", effect: deny, programs: [x] }')).toThrow('is not a name');
  });
});
