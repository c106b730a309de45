import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { fillCommand } from '../policy/manifest.ts';
import { handlerName, queryName } from '../policy/names.ts';
import type { SandboxProfile } from '../policy/policy.ts';
import type { CommandScript } from './command-spec.ts';
import type { LoadedHandler } from './handler-folder.ts';
import { type RealPathCheck, resolveProgram } from './resolve-program.ts';

/** What the owner of this machine has put there for others to use. */
export interface Offers {
  readonly handlers: ReadonlyMap<string, LoadedHandler>;
  /** The line of an event handler for a query, made ready to run; undefined when there is none. */
  readonly script: (query: string, payload: string) => CommandScript | undefined;
}

/** What a command is on this machine, or why it is nothing here. */
export type CommandSource =
  | {
      readonly kind: 'command';
      readonly path: string;
      /** argv[0] included. */
      readonly argv: readonly string[];
      /** Beside those of the policy. */
      readonly paths: readonly RealPathCheck[];
      /** The sandboxes in which it works; undefined: in all of them. */
      readonly profiles?: readonly SandboxProfile[] | undefined;
      readonly needsNetwork?: boolean;
      readonly folder?: string;
      readonly script?: CommandScript;
    }
  | { readonly kind: 'denied'; readonly code: string; readonly reason: string }
  | { readonly kind: 'failed'; readonly reason: string; readonly hint: string };

/** Looks up a program, a handler (`handler:NAME`) or a query (`query:NAME`) that a policy has allowed. */
export function sourceOf(
  argv: readonly string[],
  pinned: string | undefined,
  { handlers, script }: Offers,
): CommandSource {
  const [program = '', ...args] = argv;
  const handler = handlerName(program);
  if (handler !== undefined) return handlerSource(handlers.get(handler), handler, args);
  const query = queryName(program);
  if (query !== undefined) return querySource(query, args[0] ?? '', { handlers, script });
  const found = resolveProgram(program, pinned);
  if ('reason' in found) return { kind: 'failed', ...found };
  return { kind: 'command', path: found.path, argv, paths: [] };
}

/** The handler that answers a query of this name; undefined when none does. */
export function handlerForQuery(
  handlers: ReadonlyMap<string, LoadedHandler>,
  query: string,
): LoadedHandler | undefined {
  for (const handler of handlers.values()) if (handler.manifest.query === query) return handler;
  return undefined;
}

/** The parameters in a query's payload: `name=value`, one a line. */
export function assignmentsIn(payload: string): string[] {
  return payload.split('\n').filter((line) => line !== '');
}

function querySource(query: string, payload: string, { handlers, script }: Offers): CommandSource {
  const handler = handlerForQuery(handlers, query);
  if (handler !== undefined) return handlerSource(handler, handler.manifest.name, assignmentsIn(payload));
  const line = script(query, payload);
  if (line === undefined) {
    return {
      kind: 'failed',
      reason: `this node has no handler for the query "${query}"`,
      hint: `Its owner adds one: fanout agent --event-handler 'query:${query}=...', or --handlers DIR`,
    };
  }
  return { kind: 'command', path: line.path, argv: [`query:${query}`], paths: [], script: line };
}

/** A handler with its values. Throws nothing: what is wrong with it is an answer. */
export function handlerSource(
  handler: LoadedHandler | undefined,
  name: string,
  assignments: readonly string[],
): CommandSource {
  if (handler === undefined) {
    return {
      kind: 'failed',
      reason: `this node has no handler "${name}"`,
      hint: 'Handlers are loaded from a folder: fanout agent --handlers DIR',
    };
  }
  const { manifest, folder } = handler;
  const filled = fillCommand(manifest, assignments);
  if (filled.kind === 'refused') {
    return { kind: 'denied', code: 'parameters', reason: `handler "${name}": ${filled.reason}` };
  }
  const isOwn = manifest.program.startsWith('./');
  const file = isOwn ? join(folder, manifest.program) : manifest.program;
  if (isOwn && lstatSync(file, { throwIfNoEntry: false })?.isSymbolicLink() === true) {
    return {
      kind: 'failed',
      reason: `${file} is a symbolic link, so it is not run`,
      hint: 'Put the program itself into the folder of its handler.',
    };
  }
  const found = resolveProgram(file, undefined);
  if ('reason' in found) return { kind: 'failed', ...found };
  return {
    kind: 'command',
    path: found.path,
    argv: [manifest.program, ...filled.args],
    paths: filled.paths,
    profiles: manifest.profiles,
    needsNetwork: manifest.needsNetwork,
    ...(isOwn ? { folder } : {}),
  };
}
