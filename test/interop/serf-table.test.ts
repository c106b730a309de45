import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { FIXED, IGNORED, settingRows } from '../../src/agent/settings/table.ts';
import { serfFlagsOf } from '../../src/cli/go-flags.ts';
import { FANOUT, runProgram } from '../support/processes.ts';
import { HAS_SERF } from '../support/real-serf.ts';
import { COMMAND_NOTES, EVENT_NOTES, FLAG_NOTES, KEY_NOTES, type Note } from './serf-notes.ts';

const PAGE = fileURLToPath(new URL('../../docs/serf.md', import.meta.url));
const EVENTS = [
  'member-join',
  'member-leave',
  'member-failed',
  'member-update',
  'member-reap',
  'user',
  'query',
];

const HEAD = `# Serf's commands, flags, settings and events

Made by \`npx vitest run test/interop\` from what the real program (Debian's serf 0.9.4) lists itself. "The same" is held against
real agents and the real command line by the tests beside it: texts, JSON and exit codes.
`;

/** The subcommands of the real program. */
async function realCommands(): Promise<string[]> {
  const { stdout, stderr } = await runProgram('serf', ['--help']);
  return [...`${stdout}${stderr}`.matchAll(/^ {4}([a-z-]+) /gm)].map(([, name = '']) => name);
}

/** The flags of one of them. */
async function realFlags(command: string): Promise<string[]> {
  const { stdout, stderr } = await runProgram('serf', [command, '-h']);
  const found = [...`${stdout}${stderr}`.matchAll(/^ +-([a-z-]+)/gm)].map(([, name = '']) => name);
  return [...new Set(found)].sort();
}

/** The keys of its configuration: the program has the names of its fields in it. */
function realKeys(path: string): string[] {
  const found = readFileSync(path, 'latin1').matchAll(/mapstructure:"([a-z0-9_]+)"/g);
  return [...new Set([...found].map(([, key = '']) => key))].sort();
}

function rows(names: readonly string[], noteOf: (name: string) => Note | undefined): string[] {
  return names.map((name) => {
    const note = noteOf(name);
    const said = note === undefined ? 'the same | ' : `${note.verdict} | ${note.text}`;
    return `| \`${name}\` | ${said} |`;
  });
}

function section(title: string, lines: readonly string[]): string {
  return `\n## ${title}\n\n| | | |\n| --- | --- | --- |\n${lines.join('\n')}\n`;
}

describe.skipIf(!HAS_SERF)('everything that the real program lists', () => {
  test('is here, and docs/serf.md says how', async () => {
    const commands = (await realCommands()).sort();
    expect(commands.length).toBeGreaterThan(14);
    const flags = new Map<string, string[]>();
    for (const command of commands) flags.set(command, await realFlags(command));
    const program = (await runProgram('which', ['serf'])).stdout.trim();
    const keys = realKeys(program);
    expect(keys.length).toBeGreaterThan(35);

    const help = (await runProgram(process.execPath, [FANOUT, '--help'])).stdout;
    for (const [command, names] of flags) {
      expect(help, command).toMatch(new RegExp(`^  ${command}\\b`, 'm'));
      const ours = serfFlagsOf(command) ?? {};
      for (const name of names) expect(Object.keys(ours), command).toContain(name);
    }
    const known = new Set<string>([
      ...settingRows().flatMap(({ key, isSerf }) => (isSerf === true ? [key.split('.')[0] ?? key] : [])),
      ...Object.keys(IGNORED),
      ...Object.keys(FIXED),
    ]);
    for (const key of keys) expect([...known], key).toContain(key);

    const all = [...flags].flatMap(([command, names]) => names.map((name) => `${command} -${name}`));
    const page = [
      HEAD,
      section(
        'Commands',
        rows(commands, (name) => COMMAND_NOTES[name]),
      ),
      section(
        'Flags',
        rows(all, (name) => FLAG_NOTES[name]),
      ),
      section(
        'Settings',
        rows(keys, (name) => KEY_NOTES[name]),
      ),
      section(
        'Events',
        rows(EVENTS, (name) => EVENT_NOTES[name]),
      ),
    ].join('');
    if (process.env.UPDATE_DOCS !== undefined) writeFileSync(PAGE, page);
    expect(readFileSync(PAGE, 'utf8')).toBe(page);
    // A note about what is not there says nothing to anybody.
    for (const name of Object.keys(COMMAND_NOTES)) expect(commands).toContain(name);
    for (const name of Object.keys(FLAG_NOTES)) expect(all).toContain(name);
    for (const name of Object.keys(KEY_NOTES)) expect(keys).toContain(name);
    process.stdout.write(
      `interop: ${commands.length} commands, ${all.length} flags, ${keys.length} settings and ${EVENTS.length} events of Serf are accounted for\n`,
    );
  });
});
