// Bundles the command line into dist/: a few files, so that a command reads no more than it needs, and in few pieces.
import { chmod, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'rolldown';

const root = fileURLToPath(new URL('..', import.meta.url));
const outdir = `${root}dist`;

/**
 * The files. Each has the modules that match and all that they import, but for what a file above has already; what matches
 * nothing becomes small files of its own. A file costs a millisecond or two, and so do 50 KB of code in it that are not
 * needed: so the commands that are called most load few files and little in them. `test/packaging/startup.test.ts` counts.
 */
const files = [
  // What every command loads, help included.
  { name: 'main', test: /\/src\/bin\/fanout\.ts$/ },
  // Talking to an agent.
  { name: 'rpc', test: /\/src\/cli\/(members|membership|monitor|rtt|serf-commands)\.ts$/ },
  // Keys, pins, logs and other files of one's own.
  {
    name: 'files',
    test: /\/src\/cli\/(keys|operator|known-nodes|history|audit|audit-show|policy-schema)\.ts$/,
  },
  // Choosing members: the shell waits for this when it completes a word.
  { name: 'selection', test: /\/src\/(asker\/select|cli\/complete)\.ts$/ },
  { name: 'run', test: /\/src\/cli\/(run|plan|request|cluster-keys)\.ts$/ },
  { name: 'policy', test: /\/src\/(policy\/load|cli\/policy[^/]*)\.ts$/ },
  { name: 'agent', test: /\/src\/cli\/agent\.ts$/ },
  { name: 'session', test: /\/src\/tui\/session\.ts$/ },
];

const shared = {
  platform: 'node',
  // Sources say what can wait; which file it waits in is said above.
  checks: { ineffectiveDynamicImport: false },
  // React in production: its development build measures every commit and never forgets a measurement.
  transform: {
    target: 'node20',
    define: { 'process.env.NODE_ENV': '"production"', 'process.env.DEV': '"false"' },
  },
};
const output = { dir: outdir, minify: true, comments: false, sourcemap: true, sourcemapExcludeSources: true };

await rm(outdir, { recursive: true, force: true });
// CommonJS, which Node starts 15 ms sooner than modules.
await build({
  ...shared,
  input: { fanout: `${root}src/bin/fanout.ts` },
  plugins: [
    {
      name: 'canvas apart',
      resolveId: (id) => (id.endsWith('/canvas.tsx') ? { id: './canvas.mjs', external: true } : undefined),
    },
  ],
  output: {
    ...output,
    format: 'cjs',
    entryFileNames: '[name].js',
    chunkFileNames: '[name]-[hash].js',
    codeSplitting: { groups: files.map((file, i) => ({ ...file, priority: files.length - i })) },
  },
});
// All of Ink and React, for the session alone: Ink awaits while it is loaded, which only a module can do.
await build({
  ...shared,
  input: { canvas: `${root}src/tui/terminal/canvas.tsx` },
  // Ink would load it for developers of Ink.
  external: /\/devtools\.js$/,
  output: { ...output, format: 'esm', entryFileNames: '[name].mjs', codeSplitting: false },
});
// Also where dist/ is all that there is, or lies in a package of modules.
await writeFile(`${outdir}/package.json`, '{ "type": "commonjs" }\n');
await chmod(`${outdir}/fanout.js`, 0o755);
