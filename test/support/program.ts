import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import { afterAll, beforeAll } from 'vitest';
import { removeFolder, temporaryFolder } from './processes.ts';

/**
 * Makes a program in the folder, to be run by a Node of its own: `source` is an ES module in TypeScript, which imports parts
 * of fanout as if it stood in src/. Returns its path.
 */
export function programIn(folder: string, source: string): string {
  const outfile = join(folder, 'program.mjs');
  buildSync({
    stdin: {
      contents: source,
      resolveDir: fileURLToPath(new URL('../../src', import.meta.url)),
      loader: 'ts',
    },
    bundle: true,
    format: 'esm',
    platform: 'node',
    outfile,
    // For libraries that are CommonJS.
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
    logLevel: 'silent',
  });
  return outfile;
}

/** The same in a folder of its own, for all tests of a block. Gives its path, once they run. */
export function sharedProgram(source: string): () => string {
  const folder = temporaryFolder();
  let path = '';
  beforeAll(() => {
    path = programIn(folder, source);
  });
  afterAll(() => removeFolder(folder));
  return () => path;
}
