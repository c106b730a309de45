import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';

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
