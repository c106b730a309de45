// Bundles the command line into dist/: one small entry, and lazy parts that load only when a command needs them.
import { chmod, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const outdir = `${root}dist`;

await rm(outdir, { recursive: true, force: true });
await build({
  entryPoints: { fanout: `${root}src/bin/fanout.ts` },
  outdir,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  minify: true,
  sourcemap: 'linked',
  sourcesContent: false,
  legalComments: 'none',
  logLevel: 'warning',
  // React in production: its development build measures every commit and never forgets a measurement.
  define: { 'process.env.NODE_ENV': '"production"', 'process.env.DEV': '"false"' },
  // Ink would load it for developers of Ink.
  external: ['react-devtools-core'],
  // CommonJS dependencies ask for require() at run time.
  banner: {
    js: "import { createRequire as createRequire_ } from 'node:module'; const require = createRequire_(import.meta.url);",
  },
});
await chmod(`${outdir}/fanout.js`, 0o755);
