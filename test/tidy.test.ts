import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const SRC = join(ROOT, 'src');

/** From the ground up: a floor imports from the floors before it, and from its own. */
const FLOORS = [
  'lib',
  'memberlist',
  'serf',
  'identity',
  'policy',
  'rpc',
  'run',
  'runtime',
  'net',
  'agent',
  'report',
  'asker',
  'tui',
  'cli',
  'bin',
];
/** No clock, timer, randomness, socket, file, process, Promise or await. */
const PURE_FLOORS = ['lib', 'memberlist', 'serf', 'policy', 'run'];
/** So are these rooms of a floor that is not. */
const PURE_ROOMS = ['tui/model/', 'tui/screens/', 'tui/view/'];
/** Modules of the platform that are functions of their arguments. */
const PURE_MODULES = ['node:crypto', 'node:zlib'];
const IMPURE_WORDS =
  /\b(Date\.now|new Date\(\)|performance|setTimeout|setInterval|setImmediate|queueMicrotask|Math\.random|randomBytes|randomUUID|randomFillSync|process|console|Promise|async|await|fetch)\b/;
const FILE_LINES_MAX = 400;
/** Packages that only one place may import, so that their traps are closed once. */
const SOLE_IMPORTERS: Readonly<Record<string, string>> = {
  '@msgpack/msgpack': 'lib/msgpack.ts',
  minimatch: 'policy/glob.ts',
  re2js: 'agent/expression.ts',
  loglevel: 'agent/log.ts',
  'shell-quote': 'policy/command-string.ts',
  diff: 'run/diff.ts',
  ink: 'tui/terminal/canvas.tsx',
  react: 'tui/terminal/canvas.tsx',
};

function filesBelow(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? filesBelow(path) : [path];
  });
}

const sources = filesBelow(SRC)
  .filter((path) => /\.tsx?$/.test(path))
  .map((path) => {
    const text = readFileSync(path, 'utf8');
    const name = relative(SRC, path);
    return { path, name, text, floor: name.split('/')[0]!, code: withoutComments(text) };
  });

function withoutComments(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ' '))
    .replace(/(^|\s)\/\/.*$/gm, '$1');
}

/** Text in quotes is data, not code. */
function withoutStrings(code: string): string {
  return code.replace(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g, "''");
}

function importsOf(code: string): string[] {
  const found = code.matchAll(/(?:\bfrom\s+|\bimport\s*\(\s*|\bimport\s+)'([^']+)'/g);
  return [...found].map((match) => match[1]!);
}

describe('the house', () => {
  test('every file lives on a known floor', () => {
    for (const { name, floor } of sources) expect(FLOORS, name).toContain(floor);
  });

  test('a floor imports only from below', () => {
    const breaches: string[] = [];
    for (const { path, name, floor, code } of sources) {
      for (const target of importsOf(code)) {
        if (!target.startsWith('.')) continue;
        const other = relative(SRC, normalize(join(dirname(path), target))).split('/')[0]!;
        if (FLOORS.indexOf(other) > FLOORS.indexOf(floor)) breaches.push(`${name} imports ${target}`);
      }
    }
    expect(breaches).toEqual([]);
  });

  test('the pure floors have no clock, timer, randomness, socket, file, process or Promise', () => {
    const breaches: string[] = [];
    for (const { name, floor, code } of sources) {
      if (!PURE_FLOORS.includes(floor) && !PURE_ROOMS.some((room) => name.startsWith(room))) continue;
      for (const target of importsOf(code)) {
        if (target.startsWith('node:') && !PURE_MODULES.includes(target))
          breaches.push(`${name} imports ${target}`);
      }
      for (const [index, line] of withoutStrings(code).split('\n').entries()) {
        const word = IMPURE_WORDS.exec(line);
        if (word !== null) breaches.push(`${name}:${index + 1}: ${word[0]}`);
      }
    }
    expect(breaches).toEqual([]);
  });

  test('only net touches the network, and only tui draws with Ink', () => {
    const breaches: string[] = [];
    for (const { name, floor, text, code } of sources) {
      for (const line of code.split('\n')) {
        const target = importsOf(line)[0];
        if (target === undefined || line.trimStart().startsWith('import type')) continue;
        if (
          ['node:net', 'node:dgram', 'node:tls', 'node:http', 'node:dns', 'node:dns/promises'].includes(
            target,
          )
        ) {
          if (floor !== 'net') breaches.push(`${name}: ${target}`);
        }
        if (/^(ink|react)(\/|$)/.test(target) && floor !== 'tui') breaches.push(`${name}: ${target}`);
      }
      expect(text).not.toContain('\t');
    }
    expect(breaches).toEqual([]);
  });

  test('packages with traps are imported in one place', () => {
    for (const [pkg, importer] of Object.entries(SOLE_IMPORTERS)) {
      const users = sources.filter(({ code }) => importsOf(code).includes(pkg)).map(({ name }) => name);
      expect(users, pkg).toEqual([importer]);
    }
  });

  test('no shell is ever asked for', () => {
    // What the owner of a machine wrote for their own agent, as Serf's event handlers, is started in one file alone; the
    // other has one fixed line, which waits until a command is in its control group.
    expect(sources.filter(({ code }) => code.includes('/bin/sh')).map(({ name }) => name)).toEqual([
      'runtime/launch.ts',
      'runtime/shell-script.ts',
    ]);
    for (const { name, code } of sources) {
      expect(/\bshell:\s*(true|'|")/.test(code), name).toBe(false);
      expect(/\b(exec|execSync)\s*\(\s*[`'"]/.test(code), name).toBe(false);
      if (importsOf(code).includes('node:child_process')) {
        // Beside the runtime only the person's own pager is ever started.
        expect(name).toMatch(/^runtime\/|^tui\/terminal\/child\.ts$/);
      }
    }
  });

  test('files stay small enough to have one purpose', () => {
    const large = sources
      .filter(({ text }) => text.split('\n').length > FILE_LINES_MAX + 1)
      .map(({ name }) => name);
    expect(large).toEqual([]);
  });

  test('nothing is left unfinished', () => {
    for (const { name, text } of sources) expect(/\b(TODO|FIXME|XXX)\b/.test(text), name).toBe(false);
  });

  test('the version is stated once and the same everywhere', async () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    const { VERSION } = await import('../src/lib/version.ts');
    expect(VERSION).toBe(version);
  });

  test('the lock file names no registry', () => {
    expect(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')).not.toContain('"resolved": "http');
  });
});
