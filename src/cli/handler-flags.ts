import type { HandlerSettings } from '../agent/config.ts';
import { FanoutError } from '../lib/errors.ts';
import { isBareShell } from '../runtime/bare-shell.ts';
import { type HandlerLine, parseHandlerLine } from '../runtime/handler-line.ts';
import { durationOf } from './run-flags.ts';

/** The flags of `fanout agent` that are about handlers. */
export interface HandlerOptions {
  readonly eventHandler?: readonly string[];
  readonly handlers?: string;
  readonly handlerTimeout: string;
  readonly allowShellHandler?: boolean;
  readonly allowUnsignedQueries?: boolean;
}

/**
 * What the flags say about handlers, and what whoever starts the agent has to know about them. Throws FanoutError CONFIG for
 * a line that is none, and for one that would give everybody a shell.
 */
export function handlerSettings(options: HandlerOptions): HandlerSettings {
  const lines = (options.eventHandler ?? []).map(parseHandlerLine);
  const warnings = lines.flatMap((line) => shellWarning(line, options.allowShellHandler === true));
  return {
    lines,
    warnings,
    folder: options.handlers,
    timeoutMs: durationOf('--handler-timeout', options.handlerTimeout),
    allowUnsignedQueries: options.allowUnsignedQueries === true,
  };
}

const SAFE_WAY =
  'Instead, let operators sign what they run: give the agent a --policy and ask with: fanout "uptime". For one ' +
  'fixed command, make it the script: --event-handler query:load=uptime';

function shellWarning({ script }: HandlerLine, isAllowed: boolean): string[] {
  if (!isBareShell(script)) return [];
  const what = `the event handler '${script}' is a shell: whoever holds the cluster key runs what they like on this node`;
  if (!isAllowed) {
    throw new FanoutError('CONFIG', what, { hint: `${SAFE_WAY}\n  If you must: --allow-shell-handler` });
  }
  return [`${what}. ${SAFE_WAY}`];
}
