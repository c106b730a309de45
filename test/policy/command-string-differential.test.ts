import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse as shellQuoteParse } from 'shell-quote';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FanoutError } from '../../src/lib/errors.ts';
import { type Rng, seededRng } from '../../src/lib/rng.ts';
import { parseCommandString } from '../../src/policy/command-string.ts';

const STRINGS = 60_000;
const SEED = 20;
/** Between two commands in a shell's output. Cannot be an argument: control characters are refused. */
const SEPARATOR = '\u001e';

/**
 * Harmless pieces most of the time, so that many strings are accepted; every special character some of the
 * time.
 */
const PIECES = [
  ...[
    'a',
    'b',
    'c1',
    '-x',
    '--y=z',
    '/s/t',
    '.',
    ',',
    ':',
    '=',
    '@',
    '%',
    '^',
    '+',
    '_',
    'é',
    '日',
    '😀',
    '!',
  ],
  ...[
    ' ',
    ' ',
    ' ',
    ' ',
    '  ',
    '\t',
    "''",
    '""',
    "'a b'",
    '"a b"',
    "'$x'",
    '"it\'s"',
    "'\"'",
    "'\\'",
    '"|;&"',
  ],
  ..."'*' \"?\" '`' '#' \"#\" '~' \"{a,b}\" '[a]' '!x' \"!\" \"a\tb\" 'é' '('".split(' '),
  ...['if', 'done', 'time', 'a=b', 'IFS=x', 'x!y', '2', '0x1', 'nul', 'then', '-n', '--'],
];
const HOSTILE = [...'|&;<>()$`\\*?[]{}~#!\'"\n\r\u000b\u000c\u00a0\u2028\u0000\u001b\u202e\ufeff\u3000'];

function randomCommand(rng: Rng): string {
  let text = rng.below(8) === 0 ? 'p' : 'p ';
  const length = 1 + rng.below(14);
  for (let i = 0; i < length; i++) {
    const from = rng.below(12) === 0 ? HOSTILE : PIECES;
    text += from[rng.below(from.length)];
  }
  return text;
}

const accepted: { text: string; argv: string[] }[] = [];
const refusals = new Map<string, number>();
let folder = '';

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'fanout-differential-'));
  const rng = seededRng(SEED);
  for (let i = 0; i < STRINGS; i++) {
    const text = randomCommand(rng);
    try {
      accepted.push({ text, argv: parseCommandString(text) });
    } catch (error) {
      if (!(error instanceof FanoutError)) throw error;
      const kind = error.message.split(/ ?["\n]| at column| U\+/)[0] || 'program name';
      refusals.set(kind, (refusals.get(kind) ?? 0) + 1);
    }
  }
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/**
 * What a shell makes of many command lines, in one process: the words of each as arguments of its own printf.
 */
function splitByShell(shell: string): string[][] {
  // Without a search path the shell can start nothing, should a string be accepted that it takes for a
  // command.
  const script = `PATH=/nonexistent\n${accepted.map(({ text }) => `printf '%s\\0' ${text}\nprintf '\\036\\0'\n`).join('')}`;
  const result = spawnSync(shell, [], {
    input: script,
    cwd: folder,
    env: { PATH: process.env.PATH, LC_ALL: 'C.UTF-8' },
    maxBuffer: 2 ** 28,
    encoding: 'utf8',
  });
  expect(result.status, String(result.stderr).slice(0, 500)).toBe(0);
  const commands: string[][] = [[]];
  for (const word of result.stdout.split('\0').slice(0, -1)) {
    if (word === SEPARATOR) commands.push([]);
    else commands.at(-1)?.push(word);
  }
  return commands.slice(0, -1);
}

function isMissing(shell: string): boolean {
  const missing = spawnSync(shell, ['-c', ':']).error !== undefined;
  if (missing) console.log(`skipped: there is no ${shell} on this machine to compare with`);
  return missing;
}

describe(`${STRINGS} random command strings`, () => {
  test('are neither all accepted nor all refused', () => {
    console.log(
      `accepted ${accepted.length}, refused ${STRINGS - accepted.length}:`,
      Object.fromEntries(refusals),
    );
    expect(accepted.length).toBeGreaterThan(STRINGS / 4);
    expect(accepted.length).toBeLessThan((STRINGS * 3) / 4);
  });

  test.for(['dash', 'bash'])('are split by %s exactly as by fanout, whenever accepted', (shell, { skip }) => {
    skip(isMissing(shell), `no ${shell}`);
    const words = splitByShell(shell);
    expect(words.length).toBe(accepted.length);
    const differences = accepted.filter(({ argv }, index) => argv.join('\0') !== words[index]?.join('\0'));
    expect(differences).toEqual([]);
  });

  test('are split by shell-quote exactly as by fanout, whenever accepted', () => {
    const differences = accepted.filter(
      ({ text, argv }) =>
        JSON.stringify(shellQuoteParse(text, (name) => ({ op: name }))) !== JSON.stringify(argv),
    );
    expect(differences).toEqual([]);
  });

  test('never make the two parsers disagree about what the rules take', () => {
    expect(refusals.get('two parsers disagree about this command')).toBeUndefined();
  });
});
