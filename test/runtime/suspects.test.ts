import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { AuditLog } from '../../src/identity/audit.ts';
import { Suspects } from '../../src/runtime/suspects.ts';

const HOUR_MS = 3_600_000;
const FOUND = /^2027-01-15T/;

let dataDir: string;
let clock: number;

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'fanout-suspects-'));
  clock = Date.UTC(2027, 0, 15, 8);
});
afterEach(() => rmSync(dataDir, { recursive: true }));

const notesFile = (): string => join(dataDir, 'last-run.json');

/** One life of an agent: it starts, does something, and then is told to stop or dies. */
function life(
  act: (agent: {
    suspects: Suspects;
    record: (fields: { event: string; [name: string]: unknown }) => void;
  }) => void,
  how: { dies?: boolean; forgive?: boolean; boot?: string } = {},
): Suspects {
  const audit = AuditLog.open(join(dataDir, 'audit.jsonl'), { unixMs: () => clock });
  const { forgive = false, boot = 'boot-1' } = how;
  const suspects = Suspects.open({ dataDir, audit, unixMs: () => clock, forgive, boot });
  act({ suspects, record: (fields) => audit.append(fields as { event: string }) });
  if (how.dies !== true) expect(suspects.close()).toBe('');
  audit.close();
  return suspects;
}

const start = (id: string, argv: readonly string[], rule = 'all') => ({
  event: 'start',
  id,
  rule,
  argv: [...argv],
});

test('what ran when the agent died is remembered, with its rule and its exact arguments', () => {
  life(
    ({ record }) => {
      record(start('a1', ['eat', '-n', '1']));
      record(start('a2', ['ps', 'ax']));
      record({ event: 'end', id: 'a2' });
      record(start('a3', ['tool']));
      record({ event: 'failed', id: 'a3' });
      record({ event: 'denied', id: 'a4', rule: 'all', argv: ['rm'] });
    },
    { dies: true },
  );
  const { lastEnd } = life(({ suspects }) => {
    expect(suspects.since('all', ['eat', '-n', '1'])).toMatch(FOUND);
    for (const argv of [['eat'], ['eat', '-n', '2'], ['eat', '-n 1'], ['ps', 'ax'], ['tool'], ['rm']]) {
      expect(suspects.since('all', argv)).toBeUndefined();
    }
    expect(suspects.since('other', ['eat', '-n', '1'])).toBeUndefined();
  });
  expect(lastEnd).toMatchObject({ wasClean: false, running: ['a1'], problem: '' });
});

test('it stays so, over stops and further deaths, until it is forgiven', () => {
  life(({ record }) => record(start('a1', ['eat'])), { dies: true });
  life(() => {});
  life(({ record }) => record(start('b1', ['drink'])), { dies: true });
  life(() => {}, { dies: true });
  const both = life(() => {}, { dies: true, boot: 'boot-2' });
  expect(both.since('all', ['eat'])).toMatch(FOUND);
  expect(both.since('all', ['drink'])).toMatch(FOUND);
  const forgiven = life(() => {}, { forgive: true });
  expect(forgiven.size).toBe(0);
  expect(life(() => {}).size).toBe(0);
});

test('a death forgiven at the very start that finds it is forgiven', () => {
  life(({ record }) => record(start('a1', ['eat'])), { dies: true });
  expect(life(() => {}, { forgive: true }).size).toBe(0);
  expect(life(() => {}).size).toBe(0);
});

test('whoever is told to stop holds nothing against anybody', () => {
  life(({ record }) => record(start('a1', ['eat'])));
  const { lastEnd, size } = life(() => {});
  expect(lastEnd).toMatchObject({ wasClean: true, running: [] });
  expect(size).toBe(0);
});

test('when the machine went down, it was no command', () => {
  life(({ record }) => record(start('a1', ['eat'])), { dies: true });
  expect(life(() => {}, { boot: 'boot-2' }).size).toBe(0);
});

test('each death has its own commands: those of an earlier life without an end are not found again', () => {
  life(({ record }) => record(start('a1', ['eat'])), { dies: true });
  life(() => {}, { dies: true, forgive: true });
  expect(life(() => {}, { dies: true }).size).toBe(0);
});

test('what was started before the longest time that a command has is not looked at', () => {
  life(
    ({ record }) => {
      record(start('a1', ['old']));
      clock += 26 * HOUR_MS;
      record(start('a2', ['new']));
    },
    { dies: true },
  );
  const found = life(() => {});
  expect(found.since('all', ['new'])).toBeDefined();
  expect(found.since('all', ['old'])).toBeUndefined();
});

test('of too many the oldest are forgotten', () => {
  life(
    ({ record }) => {
      for (let i = 0; i < 600; i++) record(start(`a${i}`, ['eat', String(i)]));
    },
    { dies: true },
  );
  const found = life(() => {});
  expect(found.size).toBe(500);
  expect(found.since('all', ['eat', '599'])).toBeDefined();
  expect(found.since('all', ['eat', '0'])).toBeUndefined();
});

describe('the notes', () => {
  test('are private, and hold no arguments', () => {
    life(({ record }) => record(start('a1', ['eat', 'secret-word'])), { dies: true });
    life(() => {});
    expect(statSync(notesFile()).mode & 0o777).toBe(0o600);
    expect(readFileSync(notesFile(), 'utf8')).not.toContain('secret-word');
  });

  test.each([
    ['no JSON', 'x'],
    ['an unknown key', '{"version":1,"boot":"","since":0,"clean":true,"suspects":[],"more":1}'],
    [
      'a key that is none',
      '{"version":1,"boot":"","since":0,"clean":true,"suspects":[{"key":"x","found":"2027-01-15T08:00:00.000Z"}]}',
    ],
    ['another version', '{"version":2,"boot":"","since":0,"clean":true,"suspects":[]}'],
    ['a number that is none', '{"version":1,"boot":"","since":-1,"clean":true,"suspects":[]}'],
  ])('that are broken (%s) keep the agent from starting, and it is said what to do', (_what, text) => {
    writeFileSync(notesFile(), text, { mode: 0o600 });
    expect(() => life(() => {})).toThrow(/is not what an agent left there/);
    try {
      life(() => {});
    } catch (error) {
      expect(error).toMatchObject({ code: 'INTEGRITY', hint: expect.stringContaining('rm ') });
    }
  });

  test('that others could write are not believed', () => {
    life(() => {});
    chmodSync(notesFile(), 0o666);
    expect(() => life(() => {})).toThrow(/mode|others/);
  });
});
