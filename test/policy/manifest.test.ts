import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fillCommand, loadCases, loadManifest } from '../../src/policy/manifest.ts';

const HEAD = 'name: tail\ndescription: The last lines\n';
const PARAMS = `params:
  path: { type: path, pattern: ["/var/log/**", /etc/motd] }
  lines: { type: int, min: -5, max: 500, default: 20 }
  unit: { type: string, pattern: "app-*.service", default: app-web.service }
  format: { type: string, enum: [text, json, ""], default: text }
  free: { type: string, default: x }
  all: { type: bool, default: false }
command: [./run, --lines, "{lines}", "{path}", "{unit}", "{format}", "{free}", "{all}"]
`;
const manifest = loadManifest(HEAD + PARAMS, 'handler.yaml');

function fill(...assignments: string[]): readonly string[] | string {
  const filled = fillCommand(manifest, assignments);
  return filled.kind === 'filled' ? filled.args : filled.reason;
}

describe('values', () => {
  test('take the places of their parameters, each as one argument, and what is left out has its default', () => {
    expect(fill('path=/var/log/x')).toEqual([
      '--lines',
      '20',
      '/var/log/x',
      'app-web.service',
      'text',
      'x',
      'false',
    ]);
    expect(fill('path=/etc/motd', 'lines=-5', 'all=true', 'format=')).toEqual([
      '--lines',
      '-5',
      '/etc/motd',
      'app-web.service',
      '',
      'x',
      'true',
    ]);
  });

  // What a shell, a template or a program could take for something else stays the one argument that it is, or is refused.
  test.each([
    '$(reboot)',
    '`id`',
    'a; rm -rf /',
    'a && b | c > d < e & f',
    '{path}',
    '{free}',
    '{other} {lines}',
    '%s %n',
    "' OR 1=1 --",
    '"quoted"',
    '\\',
    '*',
    '~root',
    '!!',
    '#',
    'a=b=c',
    '=',
    'ünïcödé 漢字',
    '../../etc/passwd',
    'tab\there',
  ])('the free text %j is data', (value) => {
    expect(fill('path=/etc/motd', `free=${value}`)).toEqual([
      '--lines',
      '20',
      '/etc/motd',
      'app-web.service',
      'text',
      value,
      'false',
    ]);
  });

  test.each([
    ['free=a\nb', 'line end'],
    ['free=a\r', 'line end'],
    ['free=a\0b', 'control character'],
    ['free=\u001b[2J', 'control character'],
    ['free=\u202eevil', 'invisible character'],
    ['free=\u200b', 'invisible character'],
    ['free=a\u00a0b', 'unusual space'],
    ['free=\ud800', 'half a character'],
    ['free=', 'is not any:256'],
    [`free=${'x'.repeat(257)}`, 'is not any:256'],
    [`free=${'x'.repeat(5000)}`, 'longer than 1024'],
    ['free=-rf', 'is not any:256'],
    ['free=--help', 'is not any:256'],
    ['unit=ssh.service', 'is not app-*.service'],
    ['unit=-app-x.service', 'is not app-*.service'],
    ['unit=APP-x.service', 'is not app-*.service'],
    ['format=xml', 'is not text or json'],
    ['format=Text', 'is not text or json'],
    ['lines=501', 'a whole number from -5 to 500'],
    ['lines=-6', 'a whole number'],
    ['lines=1e2', 'a whole number'],
    ['lines=0x10', 'a whole number'],
    ['lines=٣', 'a whole number'],
    ['lines= 1', 'a whole number'],
    ['lines=', 'a whole number'],
    ['all=yes', 'true or false'],
    ['all=TRUE', 'true or false'],
    ['path=/var/log/../../etc/shadow', 'a path within'],
    ['path=/var/log//x', 'a path within'],
    ['path=/var/log/./x', 'a path within'],
    ['path=/var/log', 'a path within'],
    ['path=var/log/x', 'a path within'],
    ['path=-/var/log/x', 'a path within'],
    ['path=/etc/motd/', 'a path within'],
    ['path=/VAR/LOG/x', 'a path within'],
    ['path=', 'a path within'],
    ['other=1', 'no parameter "other"'],
    ['__proto__=1', 'not of the form'],
    ['constructor=1', 'no parameter "constructor"'],
    ['LINES=1', 'not of the form'],
    ['lines', 'not of the form'],
    ['--lines=1', 'not of the form'],
    ['=1', 'not of the form'],
    ['', 'not of the form'],
  ])('%j is refused', (assignment, reason) => {
    expect(fill('path=/etc/motd', assignment)).toEqual(
      expect.stringContaining(assignment.startsWith('path=') ? 'twice' : reason),
    );
    if (assignment.startsWith('path=')) expect(fill(assignment)).toEqual(expect.stringContaining(reason));
  });

  test('one that has to be given, and one that is given twice', () => {
    expect(fill()).toBe('path has to be given: a path within /var/log/**, /etc/motd');
    expect(fill('path=/etc/motd', 'lines=1', 'lines=1')).toBe('lines is given twice');
  });

  test('whatever the values, the command has as many words as its manifest, and the fixed ones are fixed', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom('path', 'lines', 'unit', 'format', 'free', 'all'), fc.string())),
        (pairs) => {
          const filled = fillCommand(manifest, ['path=/etc/motd', ...pairs.map((pair) => pair.join('='))]);
          if (filled.kind === 'refused') return;
          expect(filled.args).toHaveLength(7);
          expect([filled.args[0], filled.args[2]]).toEqual(['--lines', '/etc/motd']);
          for (const argument of filled.args.slice(3)) expect(argument).not.toMatch(/^-[^0-9]|[\n\0]/);
        },
      ),
    );
  });

  test('a path tells what its real path must be within', () => {
    const filled = fillCommand(manifest, ['path=/var/log/x']);
    if (filled.kind === 'refused') throw new Error(filled.reason);
    expect(
      filled.paths.map(({ path, accepts }) => [path, accepts('/var/log/x'), accepts('/etc/shadow')]),
    ).toEqual([['/var/log/x', true, false]]);
  });
});

describe('a manifest that is not sound is refused with its place', () => {
  const COMMAND = 'command: [echo, "{who}"]\n';
  const WHO = 'params: { who: { type: string } }\n';
  test.each([
    ['an unknown key', `${HEAD}${WHO}${COMMAND}shell: true\n`, 'unknown key "shell"'],
    [
      'an unknown key of a parameter',
      `${HEAD}params: { who: { type: string, regex: x } }\n${COMMAND}`,
      'unknown key "regex"',
    ],
    [
      'a key of another type',
      `${HEAD}params: { who: { type: bool, min: 1 } }\n${COMMAND}`,
      'unknown key "min"',
    ],
    ['no type', `${HEAD}params: { who: {} }\n${COMMAND}`, 'must be a mapping with a type'],
    [
      'an unknown type',
      `${HEAD}params: { who: { type: regex } }\n${COMMAND}`,
      'must be string or int or path or bool',
    ],
    ['a prototype', `${HEAD}params: { __proto__: { type: string } }\n${COMMAND}`, 'is reserved'],
    ['an alias', `${HEAD}params: &a { who: { type: string } }\n${COMMAND}`, 'YAML anchor'],
    [
      'a name that is a path',
      `name: ../x\ndescription: x\n${WHO}${COMMAND}`,
      'is not a name of small letters',
    ],
    ['no command', `${HEAD}`, 'the key "command" is missing'],
    ['an empty command', `${HEAD}command: []\n`, 'is an empty list'],
    ['a command line', `${HEAD}command: echo hello\n`, 'must be a list'],
    ['a number as a word', `${HEAD}command: [echo, 1]\n`, 'must be text'],
    [
      'a parameter inside of a word',
      `${HEAD}${WHO}command: [echo, "--who={who}"]\n`,
      'a brace inside of a word',
    ],
    ['two parameters in a word', `${HEAD}${WHO}command: [echo, "{who}{who}"]\n`, 'a brace inside of a word'],
    ['a parameter as the program', `${HEAD}${WHO}command: ["{who}", "{who}"]\n`, 'is not a program'],
    ['a program elsewhere', `${HEAD}command: [../../bin/sh]\n`, 'is not a program'],
    ['a program in a folder', `${HEAD}command: [./bin/run]\n`, 'is not a program'],
    ['a program with a way out', `${HEAD}command: [/usr/../bin/sh]\n`, 'is not a program'],
    [
      'a parameter that nobody declared',
      `${HEAD}${WHO}command: [echo, "{who}", "{why}"]\n`,
      'there is no parameter "why"',
    ],
    ['a parameter without a place', `${HEAD}${WHO}command: [echo]\n`, 'has no place in the command'],
    [
      'a default that is no value',
      `${HEAD}params: { who: { type: int, min: 1, max: 2, default: 3 } }\n${COMMAND}`,
      'a whole number from 1 to 2',
    ],
    [
      'a range that is empty',
      `${HEAD}params: { who: { type: int, min: 3, max: 2 } }\n${COMMAND}`,
      'min is larger than max',
    ],
    [
      'a range without an end',
      `${HEAD}params: { who: { type: int, min: 3 } }\n${COMMAND}`,
      'the key "max" is missing',
    ],
    [
      'a path without a pattern',
      `${HEAD}params: { who: { type: path } }\n${COMMAND}`,
      'the key "pattern" is missing',
    ],
    [
      'a path pattern that is relative',
      `${HEAD}params: { who: { type: path, pattern: "*" } }\n${COMMAND}`,
      'not an absolute path',
    ],
    [
      'words that are patterns',
      `${HEAD}params: { who: { type: string, enum: ["a*"] } }\n${COMMAND}`,
      'enum is a list of words',
    ],
    [
      'words that are options',
      `${HEAD}params: { who: { type: string, enum: ["-rf"] } }\n${COMMAND}`,
      'begins with a dash',
    ],
    [
      'a pattern for options',
      `${HEAD}params: { who: { type: string, pattern: "-*" } }\n${COMMAND}`,
      'begins with a dash',
    ],
    [
      'a pattern and words',
      `${HEAD}params: { who: { type: string, pattern: a, enum: [a] } }\n${COMMAND}`,
      'exclude each other',
    ],
    ['a sandbox that is none of ours', `${HEAD}command: [true]\nsandbox: { profile: loose }\n`, 'must be'],
    ['a needed file', `${HEAD}command: ["true"]\nsandbox: { write: [/etc] }\n`, 'unknown key "write"'],
    ['a control character', `${HEAD}command: ["a\\u001b"]\n`, 'control or invisible character'],
    ['nothing at all', '', 'the file is empty'],
  ])('%s', (_what, text, message) => {
    expect(() => loadManifest(text, 'x/handler.yaml')).toThrow(
      expect.objectContaining({ code: 'CONFIG', message: expect.stringMatching(/^x\/handler\.yaml:\d+: /) }),
    );
    expect(() => loadManifest(text, 'x/handler.yaml')).toThrow(message);
  });
});

test('tests of a handler are read as strictly', () => {
  expect(loadCases('- { name: a, json: [{ a: number, b: [text] }], exit: [0, 3] }', 't')).toHaveLength(1);
  for (const [text, message] of [
    ['[]', 'is an empty list'],
    ['- { name: a, exti: 1 }', 'unknown key "exti"'],
    ['- { name: a, exit: 256 }', 'from 0 to 255'],
    ['- { name: a, json: string }', 'must be text or number'],
    ['- { name: a, json: [text, text] }', 'the one shape'],
    ['- { name: a, params: { x: [1] } }', 'must be text'],
  ] as const)
    expect(() => loadCases(text, 't'), text).toThrow(message);
});
