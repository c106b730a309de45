import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { FANOUT, removeFolder, runProgram, temporaryFolder } from '../support/processes.ts';

const DIST = dirname(FANOUT);

/** How long a command takes to start is decided by what it loads, which, unlike the time, can be held fast. */
describe('a command loads', () => {
  const dir = temporaryFolder();
  afterAll(() => removeFolder(dir));
  const hook = join(dir, 'hook.cjs');
  const list = join(dir, 'list.json');
  writeFileSync(
    hook,
    `process.on('exit', () => require('node:fs').writeFileSync(${JSON.stringify(list)}, JSON.stringify(Object.keys(require.cache))));`,
  );
  // Nobody is there: what a command loads before it asks its agent is all that it loads.
  const env = { ...process.env, HOME: dir, FANOUT_RPC_ADDR: join(dir, 'nobody.sock') };

  /** The files of dist/ that a command loads, without what tells builds apart, and their size. */
  async function loaded(...args: string[]): Promise<{ names: string[]; bytes: number }> {
    await runProgram(process.execPath, ['--require', hook, FANOUT, ...args], { env });
    const files = (JSON.parse(readFileSync(list, 'utf8')) as string[]).filter((file) => file !== hook);
    return {
      names: files.map((file) => file.slice(DIST.length + 1).replace(/(-.{8})?\.js$/, '')).sort(),
      bytes: files.reduce((sum, file) => sum + readFileSync(file).length, 0),
    };
  }

  test('one file for help', async () => {
    const { names, bytes } = await loaded('--help');
    expect(names).toEqual(['fanout']);
    expect(bytes).toBeLessThan(100_000);
  });

  test.each(['members', 'info', 'version'])('two files for %s', async (command) => {
    const { names, bytes } = await loaded(command);
    expect(names).toEqual(['fanout', 'rpc']);
    expect(bytes).toBeLessThan(190_000);
  });

  test('five files for a run', async () => {
    const { names, bytes } = await loaded('uptime');
    expect(names).toEqual(['fanout', 'files', 'rpc', 'run', 'selection']);
    expect(bytes).toBeLessThan(680_000);
  });

  test('everything but the session for an agent', async () => {
    const { names } = await loaded('agent', '--check-config', '--data-dir', dir);
    expect(names).toEqual(['agent', 'fanout', 'files', 'policy', 'rpc', 'run', 'selection']);
  });

  test('Ink in the session alone', () => {
    const files = readdirSync(DIST).filter((file) => /\.m?js$/.test(file));
    const naming = (what: string): string[] =>
      files.filter((file) => readFileSync(join(DIST, file), 'utf8').includes(what));
    expect(naming('react.element')).toEqual(['canvas.mjs']);
    expect(naming('./canvas.mjs').map((file) => file.replace(/-.*/, ''))).toEqual(['session']);
  });
});
