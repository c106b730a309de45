import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { FanoutError } from '../../src/lib/errors.ts';
import { checkArgv, parseCommandString } from '../../src/policy/command-string.ts';
import { decide } from '../../src/policy/decide.ts';
import { loadPolicy } from '../../src/policy/load.ts';
import { DENIED, LITERAL, REFUSED } from './hostile-corpus.ts';

const POLICIES = ['development', 'staging', 'production'].map((name) => {
  const file = new URL(`../../policies/${name}.yaml`, import.meta.url);
  return [name, loadPolicy(readFileSync(file, 'utf8'), `${name}.yaml`)] as const;
});

test('the corpus is large, and has nothing twice', () => {
  const commands = [
    ...REFUSED.map(([command]) => command),
    ...DENIED,
    ...LITERAL.map(([command]) => command),
  ];
  expect(commands.length).toBeGreaterThanOrEqual(300);
  expect(new Set(commands).size).toBe(commands.length);
});

describe('what the parser has to refuse', () => {
  test.each(REFUSED)('%j: %s', (command, word) => {
    let refusal: unknown;
    try {
      parseCommandString(command);
    } catch (error) {
      refusal = error;
    }
    expect(refusal).toBeInstanceOf(FanoutError);
    const { code, message, hint } = refusal as FanoutError;
    expect(code).toBe('COMMAND_REFUSED');
    expect(message).toContain(word);
    expect(hint).toBeTruthy();
    // A refusal is shown in a terminal: what was refused must not get there through its own error message.
    expect(`${message}${hint}`).toMatch(/^[\P{C}\n]*$/u);
  });
});

describe('what every shipped policy has to deny', () => {
  test.each(DENIED)('%s', (command) => {
    const argv = parseCommandString(command);
    for (const [name, policy] of POLICIES) {
      for (const operator of policy.operators.keys()) {
        const tags = new Map([['role', 'web']]);
        const decision = decide(policy, { operator, tags, argv, unixMs: 0 });
        expect(decision, `${name} as ${operator}`).toMatchObject({ effect: 'deny' });
        expect((decision as { code: string }).code).toMatch(/^(deny-rule|no-rule)$/);
      }
    }
  });
});

describe('what is harmless as a literal', () => {
  test.each(LITERAL)('%j', (command, argv) => {
    expect(parseCommandString(command)).toEqual(argv);
    expect(checkArgv(argv)).toBeUndefined();
  });
});
