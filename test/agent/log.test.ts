import { expect, test } from 'vitest';
import { createLog, type LogFormat, type LogLevel, LogWatch } from '../../src/agent/log.ts';

function logOf(format: LogFormat): {
  say: (level: LogLevel, text: string) => void;
  lines: string[];
  watched: string[];
  syslog: string[];
  setLevel: (level: LogLevel) => void;
} {
  let level: LogLevel = 'info';
  const [lines, watched, syslog]: string[][] = [[], [], []];
  const watch = new LogWatch();
  watch.watch('debug', (line) => watched!.push(line));
  const log = createLog(
    { level: () => level, format, watch },
    { write: (line) => lines!.push(line), syslog: (at, text) => syslog!.push(`${at} ${text}`) },
  );
  return {
    say: (at, text) => log[at](text),
    lines: lines!,
    watched: watched!,
    syslog: syslog!,
    setLevel: (to) => {
      level = to;
    },
  };
}

test("text is in Serf's format; a level that changes counts from then on; who watches gets all", () => {
  const { say, lines, watched, syslog, setLevel } = logOf('text');
  say('debug', 'one');
  say('warn', 'two\nand \u001b[31mred');
  setLevel('debug');
  say('debug', 'three');
  setLevel('error');
  say('warn', 'four');
  say('error', 'five');
  expect(lines.map((line) => line.replace(/^\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d/, 'T'))).toEqual([
    'T [WARN] agent: two and  [31mred',
    'T [DEBUG] agent: three',
    'T [ERR] agent: five',
  ]);
  expect(watched).toHaveLength(5);
  expect(syslog).toEqual(['warn two and  [31mred', 'debug three', 'error five']);
});

test('JSON is an object a line, with nothing that steers a terminal; who watches still gets text', () => {
  const { say, lines, watched } = logOf('json');
  say('info', 'a "quote", \u202e a\nline end and \u009b2J');
  expect(lines).toHaveLength(1);
  expect(JSON.parse(lines[0]!)).toMatchObject({ level: 'info', message: 'a "quote",   a line end and  2J' });
  expect(lines[0]).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  expect(watched[0]).toContain('[INFO] agent: a "quote"');
});
