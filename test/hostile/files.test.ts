import { lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fileWriters } from '../../src/cli/output-files.ts';
import { FanoutError } from '../../src/lib/errors.ts';
import { type AgentProcess, TestCluster } from '../support/cluster.ts';
import { removeFolder, temporaryFolder } from '../support/processes.ts';
import { Rogue } from './rogue.ts';

/** Names that mean something to a file system, to a shell or to our own files. */
const NAMES = [
  '../../x',
  '..',
  '.',
  '.hidden',
  '/etc/passwd',
  'a/b',
  'a\\b',
  'con',
  'nul.txt',
  '-rf',
  ' ',
  '~',
  '%2E%2E',
  'a\u0000b',
  'a\nb',
  '\u001b[2Jx',
  '\u202egpj.x',
  'ｅｖｉｌ',
  'evil',
  'EVIL',
  'evil.rc',
  'evil.err',
  'n'.repeat(200),
  `${'n'.repeat(199)}m`,
  'ö'.repeat(100),
];

describe('what hostile nodes write into the files of the operator', () => {
  const cluster = new TestCluster();
  const rogues: Rogue[] = [];
  let ops: AgentProcess;

  beforeAll(async () => {
    await cluster.operator();
    ops = await cluster.start({ name: 'ops', args: ['--env', 'test'] });
    for (const name of NAMES) rogues.push(await Rogue.join(cluster, ops, { name, tags: { role: 'evil' } }));
    await cluster.complete(NAMES.length + 1);
  });

  afterAll(async () => {
    for (const rogue of rogues) await rogue.leave();
    await cluster.stop();
  });

  test('-o DIR has exactly three files for each, of its own, in the folder and nowhere else', async () => {
    const parent = join(cluster.dir, 'parent');
    mkdirSync(parent);
    const outer = join(parent, 'inner');
    mkdirSync(outer);
    const folder = join(outer, 'out');
    const args = ['-o', folder, '-e', folder, '--tag', 'role=evil', '--timeout', '8s', '--', 'echo', 'whose'];
    const run = cluster.fanout(args);
    const [first] = rogues;
    const { body } = await first!.capture('echo', 'whose');
    await Promise.all(
      NAMES.map(async (name, i) => {
        const stream = await first!.impersonate(ops, body, name, `out of ${i}\n`);
        await new Promise((resolve) => stream.resume().once('close', resolve));
      }),
    );
    const { code, stdout, stderr } = await run;
    // Under the seal a name has no control characters: whoever is called so is not heard.
    const heard = NAMES.filter((name) => !/\p{Cc}/u.test(name));
    expect([code, stdout], stderr).toEqual([4, '']);
    const files = readdirSync(folder);
    expect(files.filter((name) => name.endsWith('.rc') && !files.includes(`${name}.rc`))).toHaveLength(
      NAMES.length,
    );
    expect(new Set(files.map((name) => name.toLowerCase())).size).toBe(files.length);
    for (const name of files) {
      expect(name).toMatch(/^[A-Za-z0-9_%~-][A-Za-z0-9._%~-]*$/);
      expect(Buffer.from(name).length).toBeLessThan(200);
      const stats = lstatSync(join(folder, name));
      expect([stats.isFile(), stats.mode & 0o777], name).toEqual([true, 0o600]);
    }
    const texts = files
      .map((name) => readFileSync(join(folder, name), 'utf8'))
      .filter((text) => text.startsWith('out of'));
    expect(texts.sort()).toEqual(heard.map((name) => `out of ${NAMES.indexOf(name)}\n`).sort());
    expect([readdirSync(parent), readdirSync(outer)]).toEqual([['inner'], ['out']]);
    expect(stderr).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202e]/u);
  });
});

describe('a folder that somebody else can write to as well', () => {
  const folder = temporaryFolder();
  afterAll(() => removeFolder(folder));
  const treasure = join(folder, 'treasure');
  writeFileSync(treasure, 'precious');

  test('a link that lies in it before refuses the run', () => {
    const dir = join(folder, 'before');
    mkdirSync(dir);
    symlinkSync(treasure, join(dir, 'web1'));
    expect(() => fileWriters(dir, undefined)).toThrow('is not empty');
  });

  test.each<[string, (path: string) => void]>([
    ['a link to a file', (path) => symlinkSync(treasure, path)],
    ['a link to nothing yet', (path) => symlinkSync(join(folder, 'new'), path)],
    ['a file', (path) => writeFileSync(path, 'theirs')],
    ['a folder', (path) => mkdirSync(path)],
  ])('%s that is planted under the name of a node is not written to, and is named', (what, plant) => {
    const dir = join(folder, what.replaceAll(' ', '-'));
    const { stdout } = fileWriters(dir, undefined);
    plant(join(dir, 'web1'));
    const before = readdirSync(folder);
    expect(() => stdout?.('web1', Buffer.from('x'))).toThrow(FanoutError);
    expect(() => stdout?.('web1', Buffer.from('x'))).toThrow(join(dir, 'web1'));
    expect(readFileSync(treasure, 'utf8')).toBe('precious');
    expect(readdirSync(folder)).toEqual(before);
    if (what === 'a file') expect(readFileSync(join(dir, 'web1'), 'utf8')).toBe('theirs');
  });
});
