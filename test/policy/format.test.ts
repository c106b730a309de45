import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { formatPolicy } from '../../src/policy/format.ts';
import { compilePolicy } from '../../src/policy/load.ts';
import { ALICE } from './fixtures.ts';

const UGLY = `# a policy\r
version:   1
environment: 'test'

operators:
    alice:   {key: "${ALICE}",groups: [  sre ]}   # the only one
rules:
- id: look # what it is for
  effect: allow
  # before the list
  commands: [ {program: ps, argv: [[ax,aux,
      "-ef"]] }, # after an item
     { program: 'df', flags: ['-h'] } ]

# the end
`;

const NEAT = `# a policy
version: 1
environment: "test"

operators:
  alice:
    {
      key: "${ALICE}",
      groups: [sre],
    } # the only one
rules:
  - id: look # what it is for
    effect: allow
    # before the list
    commands:
      [
        { program: ps, argv: [[ax, aux, "-ef"]] }, # after an item
        { program: "df", flags: ["-h"] },
      ]

# the end
`;

test('one format, with every comment, and the same policy', () => {
  const formatted = formatPolicy(UGLY, 'x');
  expect(formatted).toBe(NEAT);
  expect(formatPolicy(formatted, 'x')).toBe(formatted);
  const [before, after] = [UGLY, formatted].map((text) => compilePolicy(text, 'x').source.value);
  expect(after).toEqual(before);
});

test.each(['development', 'staging', 'production'])('%s.yaml is in the one format', (name) => {
  const text = readFileSync(new URL(`../../policies/${name}.yaml`, import.meta.url), 'utf8');
  expect(formatPolicy(text, name)).toBe(text);
});

test('what is no sound policy is left alone', () => {
  expect(() => formatPolicy(UGLY.replace('environment', 'enviroment'), 'x')).toThrow('x:');
  expect(() => formatPolicy(UGLY.replace('rules:', 'rules: ['), 'x')).toThrow('not valid YAML');
});

test('text keeps its meaning: quotes, signs, dates, long words and brackets inside of text', () => {
  const odd = [
    `"it's"`,
    `'say "x"'`,
    '"# no comment"',
    '" [ a ] "',
    '"2030-12-31"',
    '"a: b"',
    '"*.log"',
    `"${'x'.repeat(200)}"`,
  ];
  for (const word of odd) {
    const text = NEAT.replace('[[ax, aux, "-ef"]]', `[${word}, [ ${word} , b ]]`);
    const formatted = formatPolicy(text, 'x');
    expect(compilePolicy(formatted, 'x').source.value, word).toEqual(compilePolicy(text, 'x').source.value);
  }
});
