import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { manPages } from '../../scripts/man-pages.ts';
import { loadProgram } from '../../src/cli/main.ts';
import { hasOptional } from '../support/optional.ts';
import { removeFolder, runProgram, temporaryFolder } from '../support/processes.ts';

const HAS_MAN = hasOptional('man', 'the man pages as man(1) shows them', 'man-db');
const HAS_GROFF = hasOptional('groff', 'what groff says to the man pages', 'groff-base');

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const ENV = { ...process.env, LC_ALL: 'C.UTF-8', MANPAGER: 'cat' };

interface Named {
  readonly command: Command;
  /** Of its page. */
  readonly name: string;
}

/** All commands that are not hidden. */
function commandsOf(command: Command, name = 'fanout'): Named[] {
  const visible = command.createHelp().visibleCommands(command);
  const children = command.commands.filter((child) => visible.includes(child));
  return [
    { command, name: `${name}.1` },
    ...children.flatMap((child) => commandsOf(child, `${name}-${child.name()}`)),
  ];
}

function helpOf(command: Command): string {
  let text = '';
  command.configureOutput({
    writeOut: (part) => {
      text += part;
    },
  });
  command.outputHelp();
  return text;
}

const inOneLine = (text: string): string => text.replace(/\s+/g, ' ').trim();

describe('the man pages', () => {
  const dir = temporaryFolder();
  let pages: ReadonlyMap<string, string>;
  let commands: Named[];

  beforeAll(() => {
    const load = () => loadProgram(undefined, undefined, async () => {});
    pages = manPages(load());
    commands = commandsOf(load());
    for (const [name, text] of pages) writeFileSync(join(dir, name), text);
  });
  afterAll(() => removeFolder(dir));

  test('are one for every command', () => {
    expect([...pages.keys()].sort()).toEqual(commands.map(({ name }) => name).sort());
    expect(pages.size).toBeGreaterThan(40);
  });

  test.skipIf(!HAS_GROFF)(
    'are roff in which groff finds no fault, and lose no line of any help',
    async () => {
      for (const { command, name } of commands) {
        // Without overstriking: bold and underlined text is plain.
        const args = ['-ww', '-man', '-Tutf8', '-P-cbou', join(dir, name)];
        const { stdout, stderr } = await runProgram('groff', args, { env: ENV });
        expect(stderr, name).toBe('');
        const shown = inOneLine(stdout).toLowerCase();
        const lines = helpOf(command).split('\n');
        expect(lines.length).toBeGreaterThan(3);
        for (const line of lines) {
          // "Options:" is a heading there, and "Usage:" is the synopsis.
          const wanted = inOneLine(line).replace(/^Usage: |:$/g, '');
          expect(shown, `${name}: ${line}`).toContain(wanted.toLowerCase());
        }
      }
    },
  );

  test.skipIf(!HAS_MAN)('are found by man', async () => {
    const { stdout } = await runProgram('man', ['-l', join(dir, 'fanout-agent.1')], { env: ENV });
    expect(stdout).toMatch(/^FANOUT-AGENT\(1\)/);
    expect(inOneLine(stdout)).toContain('fanout-agent - run an agent on this machine');
  });

  test('are what "npm run man" puts into dist/man', async () => {
    const { stderr } = await runProgram(process.execPath, [join(ROOT, 'scripts', 'man.mjs')]);
    expect(stderr).toBe('');
    const made = join(ROOT, 'dist', 'man');
    expect(readdirSync(made).sort()).toEqual([...pages.keys()].sort());
    for (const [name, text] of pages) expect(readFileSync(join(made, name), 'utf8')).toBe(text);
  });

  test('are named in package.json, which npm does not take as a folder', () => {
    const { man } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { man: string[] };
    expect(man).toEqual([...pages.keys()].sort().map((name) => `dist/man/${name}`));
  });

  test('show quotes, dashes and dots at the start of a line as they are', async () => {
    const { Command: Program } = await import('commander');
    const odd = `.TH is no macro here\n'tis -w \`x\` ~/a^b "c" \\fB\\n`;
    const page = manPages(new Program('odd').description(odd)).get('odd.1') ?? '';
    mkdirSync(join(dir, 'odd'));
    writeFileSync(join(dir, 'odd', 'odd.1'), page);
    expect(page).toContain(
      '\\&.TH is no macro here\n\\(aqtis \\-w \\(gax\\(ga \\(ti/a\\(hab \\(dqc\\(dq \\(rsfB\\(rsn',
    );
    if (!HAS_MAN) return;
    const { stdout } = await runProgram('man', ['-l', join(dir, 'odd', 'odd.1')], { env: ENV });
    expect(inOneLine(stdout)).toContain(inOneLine(odd));
  });
});
