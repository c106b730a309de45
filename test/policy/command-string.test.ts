import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FanoutError } from '../../src/lib/errors.ts';
import { checkArgv, parseCommandString, shownWord } from '../../src/policy/command-string.ts';
import { processorMs } from '../support/cost.ts';

function refusalOf(command: string): FanoutError {
  try {
    parseCommandString(command);
  } catch (error) {
    if (error instanceof FanoutError) return error;
    throw error;
  }
  throw new Error(`accepted: ${command}`);
}

describe('a refusal', () => {
  test('names the character and its column, shows the place under a caret, and says what to do', () => {
    const { message, hint } = refusalOf('ps ax | grep x');
    expect(message).toBe(
      'pipe "|" at column 7: fanout runs one program, not a shell\n  ps ax | grep x\n        ^',
    );
    expect(hint).toContain('fanout "..." | grep x');
  });

  test('counts columns in characters and puts the caret under wide ones', () => {
    const { message } = refusalOf('echo 日本 $x');
    expect(message).toBe(
      'expansion "$" at column 9: fanout runs one program, not a shell\n  echo 日本 $x\n            ^',
    );
  });

  test('shows only the part of a long line that matters', () => {
    const [, line = '', caret = ''] = refusalOf(`${'x'.repeat(300)};${'y'.repeat(300)}`).message.split('\n');
    expect(line.length).toBeLessThanOrEqual(80);
    expect(line.charAt(caret.indexOf('^'))).toBe(';');
  });

  test('spells out a character that cannot be seen', () => {
    expect(refusalOf('ls \u001b[2J').message).toBe(
      'control character U+001B at column 4: not taken, not even in quotes\n  ls <U+001B>[2J\n     ^',
    );
  });

  test('points at the opening quote that is never closed', () => {
    expect(refusalOf('echo "a" "b').message).toContain('quote " at column 10: it is never closed');
  });

  test('knows a variable assignment when it sees one', () => {
    expect(refusalOf('FOO=bar ps').hint).toContain('environment of a command is fixed');
  });
});

describe('checkArgv', () => {
  test.each([
    [[], 'there is no program'],
    [[''], 'is not a program name'],
    [['-x'], 'is not a program name'],
    [['a b'], 'is not a program name'],
    [['ps', 'a\nb'], 'argument 1 has a character that is not taken: line end U+000A'],
    [['ps', 'a', '\u202e'], 'argument 2 has a character that is not taken: invisible character U+202E'],
    [['ps', '\ud800'], 'half a character'],
    [['p\u0000s'], 'the program name has a character that is not taken: control character U+0000'],
    [Array.from({ length: 65 }, () => 'a'), '65 words, at most 64'],
    [['ps', 'é'.repeat(2049)], 'argument 1 has 4098 bytes, at most 4096'],
    [['ps', ...Array.from({ length: 9 }, () => 'x'.repeat(4000))], 'the words have'],
  ])('%j', (argv, reason) => {
    expect(checkArgv(argv)).toContain(reason);
  });

  test('takes whatever is within the bounds, shell characters too: no shell will see them', () => {
    expect(checkArgv(['ps', '', '$(id)', '*', "it's", 'a\tb', '日本', 'x'.repeat(4096)])).toBeUndefined();
    expect(checkArgv(['/usr/bin/ps', ...Array.from({ length: 63 }, () => 'a')])).toBeUndefined();
  });
});

test('every argv that can be quoted comes back as it was', () => {
  const word = fc.string({ unit: 'grapheme', maxLength: 12 }).filter((text) => !text.includes("'"));
  fc.assert(
    fc.property(fc.array(word, { maxLength: 8 }), (args) => {
      fc.pre(checkArgv(['ps', ...args]) === undefined);
      expect(parseCommandString(['ps', ...args.map((arg) => `'${arg}'`)].join(' '))).toEqual(['ps', ...args]);
    }),
    { numRuns: 2000, seed: 1 },
  );
});

test('whatever is accepted passes the check of the node, and nothing crashes the parser', () => {
  const text = fc.string({
    unit: fc.constantFrom(...'ab \t\'"\\$`|&;<>(){}[]*?~#!=-/\n\u00a0é'),
    maxLength: 30,
  });
  fc.assert(
    fc.property(text, (command) => {
      try {
        expect(checkArgv(parseCommandString(command))).toBeUndefined();
      } catch (error) {
        if (!(error instanceof FanoutError)) throw error;
        expect(error.code).toBe('COMMAND_REFUSED');
        expect(error.hint).toBeTruthy();
      }
    }),
    { numRuns: 5000, seed: 2 },
  );
});

test('the longest command is parsed in no time', () => {
  for (const piece of ["'a'", '"a" ', 'a ', 'a\'b\'"c"', '"', "' "]) {
    const command = `ps ${piece.repeat(2000)}`.slice(0, 2048);
    const cost = processorMs(() => {
      try {
        parseCommandString(command);
      } catch (error) {
        expect(error).toBeInstanceOf(FanoutError);
      }
    });
    // Quadratic parsing of this length would take about a hundred times as long as linear parsing does.
    expect(cost).toBeLessThan(500);
  }
});

test('a word is shown bare when it can be, quoted when it must be, and never raw', () => {
  expect(shownWord('/srv/a-1')).toBe('/srv/a-1');
  expect(shownWord('a b')).toBe('"a b"');
  expect(shownWord('')).toBe('""');
  expect(shownWord('\u001b[2J')).toBe('"<U+001B>[2J"');
});
