// Makes the man pages of all commands, from the same definitions as --help: dist/man/*.1.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const outdir = join(root, 'dist', 'man');

await rm(outdir, { recursive: true, force: true });
await mkdir(outdir, { recursive: true });
// Beside the pages, so that it finds the packages.
const folder = await mkdtemp(join(root, 'dist', 'man-'));
try {
  const file = join(folder, 'pages.mjs');
  await build({
    stdin: {
      contents: `export { loadProgram } from './src/cli/main.ts'; export { manPages } from './scripts/man-pages.ts';`,
      resolveDir: root,
    },
    outfile: file,
    bundle: true,
    packages: 'external',
    format: 'esm',
    platform: 'node',
    target: 'node20',
    logLevel: 'warning',
  });
  const { loadProgram, manPages } = await import(pathToFileURL(file).href);
  const program = loadProgram(undefined, undefined, async () => {});
  for (const [name, text] of manPages(program)) await writeFile(join(outdir, name), text);
} finally {
  await rm(folder, { recursive: true, force: true });
}
