import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { FanoutError } from '../lib/errors.ts';
import { sanitiseText } from '../lib/sanitise.ts';
import { formatDuration } from '../lib/time.ts';
import { fillCommand, type Manifest } from '../policy/manifest.ts';
import { HANDLER_NAME } from '../policy/names.ts';
import { type LoadedHandler, loadHandler, loadHandlers, loadTests } from '../runtime/handler-folder.ts';
import { runCases } from '../runtime/handler-test.ts';
import { probeSandboxes } from '../runtime/sandbox-probe.ts';
import { run } from './run.ts';
import type { RunOptions } from './run-flags.ts';
import { formatTable } from './table.ts';

export interface HandlerFolderOptions {
  readonly dir?: string;
  readonly format?: 'text' | 'json';
}

/** `fanout handlers list`. Throws FanoutError CONFIG for a folder that an agent would not take. */
export function listHandlers({ dir, format }: HandlerFolderOptions): number {
  const manifests = [...loadHandlers(folderOf(dir)).values()].map(({ manifest }) => manifest);
  if (format === 'json') {
    process.stdout.write(`${JSON.stringify(manifests.map(manifestJson), null, 2)}\n`);
    return 0;
  }
  const rows = manifests.map((manifest) => [manifest.name, usageOf(manifest), manifest.description]);
  process.stdout.write(`${formatTable([['NAME', 'PARAMETERS', 'DESCRIPTION'], ...rows])}\n`);
  return 0;
}

/** `fanout handlers show`. */
export function showHandler(name: string, { dir, format }: HandlerFolderOptions): number {
  const { manifest, folder } = handlerOf(dir, name);
  if (format === 'json') {
    process.stdout.write(`${JSON.stringify(manifestJson(manifest), null, 2)}\n`);
    return 0;
  }
  const words = manifest.words.map((word) => (word.kind === 'text' ? word.text : `{${word.name}}`));
  const lines = [
    `${manifest.name}: ${manifest.description}`,
    `folder    ${sanitiseText(folder)}`,
    `runs      ${[manifest.program, ...words].join(' ')}`,
    `sandbox   ${manifest.profiles?.join(', ') ?? 'any'}${manifest.needsNetwork ? ', with the network' : ''}`,
    ...(manifest.query === undefined ? [] : [`query     ${manifest.query}`]),
    ...[...manifest.params.values()].map((parameter) => {
      const otherwise = parameter.default === undefined ? 'has to be given' : `else ${parameter.default}`;
      const about = parameter.description === undefined ? '' : `: ${parameter.description}`;
      return `parameter ${parameter.name}, ${parameter.shown} (${otherwise})${about}`;
    }),
    `allow it  commands: [{ handler: ${manifest.name} }]`,
    `run it    fanout run ${manifest.name} ${usageOf(manifest)}`.trimEnd(),
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
  return 0;
}

/** `fanout handlers test`: 0 when every case is as it should be, else 1. */
export async function testHandlers(name: string | undefined, { dir }: HandlerFolderOptions): Promise<number> {
  const handlers = name === undefined ? [...loadHandlers(folderOf(dir)).values()] : [handlerOf(dir, name)];
  const sandboxes = await probeSandboxes();
  let failed = 0;
  let passed = 0;
  for (const handler of handlers) {
    const cases = loadTests(handler);
    if (cases === undefined) {
      process.stdout.write(`--    ${handler.manifest.name}: there is no test.yaml\n`);
      continue;
    }
    for (const { name: label, problem, durationMs } of await runCases(handler, cases, sandboxes)) {
      const what = `${handler.manifest.name}: ${label}`;
      if (problem === undefined) passed++;
      else failed++;
      const line =
        problem === undefined ? `ok    ${what} (${formatDuration(durationMs)})` : `FAIL  ${what}: ${problem}`;
      process.stdout.write(`${sanitiseText(line)}\n`);
    }
  }
  process.stdout.write(`${passed} passed, ${failed} failed\n`);
  return failed === 0 ? 0 : 1;
}

/**
 * `fanout run NAME --param name=value`: a signed command for the handler of that name. Where its manifest is at hand the
 * values are checked before anything is signed; the nodes check them in any case.
 */
export function runHandler(
  name: string,
  options: RunOptions & { readonly param?: readonly string[]; readonly dir?: string },
): Promise<number> {
  checkName(name);
  const { param = [], dir } = options;
  const known = dir === undefined ? knownHandler(name) : handlerOf(dir, name);
  const filled = known === undefined ? undefined : fillCommand(known.manifest, param);
  if (filled?.kind === 'refused') {
    throw new FanoutError('USAGE', `handler "${name}": ${filled.reason}`, {
      hint: `Nothing was sent. "fanout handlers show ${name}" tells what it takes; nodes that have another one of this name: fanout "handler:${name} ..."`,
    });
  }
  return run({ words: [], rest: [`handler:${name}`, ...param], options });
}

/** One that is shipped; a node may have others, and knows them itself. */
function knownHandler(name: string): LoadedHandler | undefined {
  const dir = shippedFolder();
  return dir !== undefined && existsSync(`${dir}/${name}/handler.yaml`) ? loadHandler(dir, name) : undefined;
}

function handlerOf(dir: string | undefined, name: string): LoadedHandler {
  checkName(name);
  return loadHandler(folderOf(dir), name);
}

function checkName(name: string): void {
  if (HANDLER_NAME.test(name)) return;
  throw new FanoutError('USAGE', `"${name}" is not the name of a handler`, {
    hint: 'A name has small letters, digits and dashes: fanout handlers list',
  });
}

function folderOf(dir: string | undefined): string {
  const folder = dir ?? shippedFolder();
  if (folder !== undefined) return folder;
  throw new FanoutError('CONFIG', 'the handlers that come with fanout are not here', {
    hint: 'Say where others are: --dir DIR',
  });
}

/** Beside the built command, or beside the source. */
function shippedFolder(): string | undefined {
  return ['../handlers', '../../handlers']
    .map((path) => fileURLToPath(new URL(path, import.meta.url)))
    .find((path) => existsSync(`${path}/uptime/handler.yaml`));
}

function usageOf({ params }: Manifest): string {
  return [...params.values()]
    .map(({ name, type, default: otherwise }) => `--param ${name}=${otherwise ?? type.toUpperCase()}`)
    .join(' ');
}

function manifestJson(manifest: Manifest): object {
  const { name, description, query, params, program, profiles, needsNetwork, output } = manifest;
  const parameters = [...params.values()].map(({ accepts: _, ...parameter }) => parameter);
  return { name, description, query, params: parameters, program, profiles, needsNetwork, output };
}
