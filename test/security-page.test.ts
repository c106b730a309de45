import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { LOOK_ALIKES, SMUGGLED } from './policy/hostile-arguments.ts';
import { DENIED, LITERAL, REFUSED } from './policy/hostile-corpus.ts';
import { DANGEROUS_OPTIONS } from './policy/hostile-options.ts';

const ROOT = new URL('..', import.meta.url);
const PAGE = fileURLToPath(new URL('SECURITY.md', ROOT));
const START = '<!-- counts -->\n';
const END = '<!-- /counts -->';

function read(path: string): string {
  return readFileSync(new URL(path, ROOT), 'utf8');
}

/** Tests as they stand in a file; one with a table counts once. */
function testsIn(path: string): number {
  return read(path).match(/^\s*test(?:\.\w+(?:\([^)]*\))?)*(?:<[^\n]*>)?\(/gm)?.length ?? 0;
}

/** The first sentence of what a file is about: its outermost descriptions. */
function subjectOf(path: string): string {
  return [...read(path).matchAll(/^describe(?:\.\w+\([^)]*\))?\('([^']+)'/gm)]
    .map(([, title]) => title)
    .join('; ');
}

function counts(): string {
  const options = Object.values(DANGEROUS_OPTIONS).flat().length;
  const smuggled = Object.values(SMUGGLED).flat().length;
  const programs = Object.keys(DANGEROUS_OPTIONS).length;
  const rows = [
    [
      'command strings for the parser: refused, denied everywhere, harmless',
      REFUSED.length + DENIED.length + LITERAL.length,
      'test/policy/hostile-corpus.test.ts',
    ],
    [
      `dangerous options of the ${programs} programs in the shipped policies, each in all spellings`,
      options,
      'test/policy/hostile-shipped.test.ts',
    ],
    [
      'ways to smuggle an argument past the shipped policies',
      smuggled,
      'test/policy/hostile-shipped.test.ts',
    ],
    ['words that look like an allowed one', LOOK_ALIKES.length, 'test/policy/hostile-shipped.test.ts'],
    ...readdirSync(new URL('test/hostile', ROOT))
      .filter((name) => name.endsWith('.test.ts'))
      .sort()
      .map((name) => {
        const path = `test/hostile/${name}`;
        return [SUBJECTS[path] ?? subjectOf(path), `${testsIn(path)} tests`, path];
      }),
    ...[
      'test/agent/peer-keys.test.ts',
      'test/identity/sealed-hostile.test.ts',
      'test/runtime/hostile-trees.test.ts',
      'test/runtime/sandbox.test.ts',
      'test/serf/hostile-input.test.ts',
      'test/lib/sanitise.test.ts',
    ].map((path) => [SUBJECTS[path], `${testsIn(path)} tests`, path]),
  ];
  const lines = rows.map((cells) => `| ${cells.join(' | ')} |`);
  return ['| what | how many | where |', '| --- | --- | --- |', ...lines, ''].join('\n');
}

/** What the files are about that have no description around their tests. */
const SUBJECTS: Readonly<Record<string, string>> = {
  'test/hostile/runaways.test.ts': 'an agent under fork bombs and floods of output of its own commands',
  'test/agent/peer-keys.test.ts': 'a member that claims the name of another',
  'test/identity/sealed-hostile.test.ts': 'sealed answers that are changed, swapped, cut, repeated or forged',
  'test/runtime/hostile-trees.test.ts': 'commands that do not want to end, and what they leave behind',
  'test/runtime/sandbox.test.ts': 'ways out of the sandboxes, and sandboxes that cannot be had',
  'test/serf/hostile-input.test.ts': 'packets that nobody honest sends',
  'test/lib/sanitise.test.ts': 'texts that would drive a terminal',
};

test('SECURITY.md counts what there is', () => {
  const page = readFileSync(PAGE, 'utf8');
  const [start, end] = [page.indexOf(START) + START.length, page.indexOf(END)];
  expect(start).toBeGreaterThan(START.length);
  expect(end).toBeGreaterThanOrEqual(start);
  if (process.env.UPDATE_DOCS !== undefined) {
    writeFileSync(PAGE, page.slice(0, start) + counts() + page.slice(end));
    return;
  }
  expect(page.slice(start, end)).toBe(counts());
});

test('the files and the commands that it names exist, and the README leads to it', () => {
  const page = readFileSync(PAGE, 'utf8');
  for (const [, path = ''] of page.matchAll(/\b(test\/[\w/.-]+\.ts)\b/g))
    expect(read(path).length).toBeGreaterThan(0);
  for (const [, script = ''] of page.matchAll(/npm run (\w+)/g))
    expect(read('package.json')).toContain(`"${script}":`);
  expect(/## What an attacker can and cannot do\n\n(.*)/.exec(read('README.md'))?.[1]).toContain(
    'SECURITY.md',
  );
});
