import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { BINDINGS, contextsOf } from '../../src/tui/model/bindings.ts';
import type { Overlay, ScreenName, SessionState } from '../../src/tui/model/state.ts';
import { ACTION_NAMES } from '../../src/tui/model/update.ts';
import { shownKey } from '../../src/tui/screens/parts.ts';
import { TestSession } from './session-support.ts';

const SCREENS: ScreenName[] = [
  'targets',
  'command',
  'run',
  'groups',
  'diff',
  'pager',
  'search',
  'runs',
  'members',
  'monitor',
];
const field = { text: '', cursor: 0 };
const list = { cursor: 0, top: 0 };
const OVERLAYS: Overlay[] = [
  { kind: 'help', list },
  { kind: 'confirm', command: '', count: 1, notReadOnly: 1, field },
  { kind: 'quit' },
  { kind: 'stop-one', node: 'n' },
  { kind: 'save', format: 'text', field },
  { kind: 'save-selection', field },
  { kind: 'history', field, list },
  { kind: 'find', in: 'outputs', field },
  { kind: 'filter-members', field },
];

/** Every place where keys have a meaning. */
function places(): [string, SessionState][] {
  const { state } = new TestSession();
  const screens = SCREENS.flatMap((screen): [string, SessionState][] => {
    const at = { ...state, screens: [screen] };
    if (screen !== 'targets') return [[screen, at]];
    return (['text', 'tags', 'nodes'] as const).map((focus) => [
      `${screen} ${focus}`,
      { ...at, targets: { ...at.targets, focus } },
    ]);
  });
  return [
    ...screens,
    ...OVERLAYS.map((overlay): [string, SessionState] => [overlay.kind, { ...state, overlay }]),
  ];
}

describe('the bindings', () => {
  test.each(places())('no two of them share a key: %s', (_name, state) => {
    const contexts = contextsOf(state);
    const keys = BINDINGS.filter(({ context }) => contexts.includes(context)).flatMap(
      (binding) => binding.keys,
    );
    expect(keys.filter((key, i) => keys.indexOf(key) !== i)).toEqual([]);
  });

  test('all have an action, and every action a key', () => {
    const bound = new Set(BINDINGS.map(({ action }) => action));
    expect([...bound].filter((action) => !ACTION_NAMES.includes(action))).toEqual([]);
    expect(ACTION_NAMES.filter((action) => !bound.has(action))).toEqual([]);
  });

  test('where text is typed, no printable character is a key', () => {
    for (const [name, state] of places()) {
      const contexts = contextsOf(state);
      if (!contexts.includes('text')) continue;
      const keys = BINDINGS.filter(({ context }) => contexts.includes(context)).flatMap(
        (binding) => binding.keys,
      );
      expect(
        keys.filter((key) => [...key].length === 1 || key === 'space'),
        name,
      ).toEqual([]);
    }
  });

  test('are what docs/keys.md lists', () => {
    const path = fileURLToPath(new URL('../../docs/keys.md', import.meta.url));
    if (process.env.UPDATE_DOCS !== undefined) updateFile(path, keysPage());
    expect(readFileSync(path, 'utf8')).toBe(keysPage());
  });
});

function updateFile(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

function keysPage(): string {
  const contexts = [...new Set(BINDINGS.map(({ context }) => context))];
  const sections = contexts.map((context) => {
    const rows = BINDINGS.filter((binding) => binding.context === context).map(
      ({ keys, help }) => `| ${keys.map((key) => `\`${shownKey(key)}\``).join(' ')} | ${help} |`,
    );
    return `## ${context[0]!.toUpperCase()}${context.slice(1)}\n\n| keys | what they do |\n| --- | --- |\n${rows.join('\n')}\n`;
  });
  return `# Keys of the session\n\nMade from the table that the session itself uses (\`UPDATE_DOCS=1 npx vitest run test/tui\`). \`?\` shows those that work\nwhere you are.\n\n${sections.join('\n')}`;
}
