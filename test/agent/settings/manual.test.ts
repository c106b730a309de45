import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { settingRows } from '../../../src/agent/settings/table.ts';

const PAGE = fileURLToPath(new URL('../../../docs/agent.md', import.meta.url));
const PLACE = /(<!-- settings: [^\n]*-->\n).*(<!-- \/settings -->)/s;

/** A cell of a table: a bar would end it. */
function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

function table(): string {
  const rows = settingRows().map(({ key, flag, about, default: otherwise, isSerf, reloads }) => {
    const notes = [
      otherwise === undefined ? '' : ` Default: ${otherwise}.`,
      reloads === true ? ' SIGHUP.' : '',
      isSerf === true ? '' : " Fanout's own.",
    ].join('');
    const shown = flag === undefined ? '' : `\`${flag}\``;
    return `| \`${key}\` | ${cell(shown)} | ${cell(`${about[0]?.toUpperCase()}${about.slice(1)}.${notes}`)} |`;
  });
  return `| key | flag | |\n| --- | --- | --- |\n${rows.join('\n')}\n`;
}

test('docs/agent.md lists the settings that there are', () => {
  const page = readFileSync(PAGE, 'utf8');
  expect(page).toMatch(PLACE);
  const current = page.replace(
    PLACE,
    (_whole, open: string, close: string) => `${open}\n${table()}\n${close}`,
  );
  if (process.env.UPDATE_DOCS !== undefined) writeFileSync(PAGE, current);
  expect(readFileSync(PAGE, 'utf8')).toBe(current);
});

test('the table of the manual has no key twice, and its flags say what they take', () => {
  const rows = settingRows();
  const flags = rows.flatMap(({ flag }) => (flag === undefined ? [] : [flag.split(' ')[0]]));
  expect(new Set(flags).size).toBe(flags.length);
  for (const { key, kind, flag } of rows) {
    if (flag === undefined) continue;
    expect(/ </.test(flag), key).toBe(kind !== 'switch' && kind !== 'off');
  }
});
