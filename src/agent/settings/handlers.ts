import { FanoutError } from '../../lib/errors.ts';
import type { Millis } from '../../lib/time.ts';
import { isBareShell } from '../../runtime/bare-shell.ts';
import { type HandlerLine, parseHandlerLine } from '../../runtime/handler-line.ts';
import type { HandlerSettings } from '../config.ts';
import type { Said } from './schema.ts';

const HANDLER_TIMEOUT_MS: Millis = 5 * 60_000;

const SAFE_WAY =
  'Instead, let operators sign what they run: give the agent a --policy and ask with: fanout "uptime". For one ' +
  'fixed command, make it the script: --event-handler query:load=uptime';

/**
 * What was said about handlers, and what whoever starts the agent has to know about it. Throws FanoutError CONFIG for a
 * line that is none, and for one that would give everybody a shell.
 */
export function handlerSettings(said: Said): HandlerSettings {
  const texts = said.event_handlers ?? [];
  const lines = texts.map(parseHandlerLine);
  return {
    texts,
    lines,
    warnings: lines.flatMap((line) => shellWarning(line, said.allow_shell_handler === true)),
    folder: said.handlers,
    timeoutMs: said.handler_timeout ?? HANDLER_TIMEOUT_MS,
    allowUnsignedQueries: said.allow_unsigned_queries ?? false,
  };
}

function shellWarning({ script }: HandlerLine, isAllowed: boolean): string[] {
  if (!isBareShell(script)) return [];
  const what = `the event handler '${script}' is a shell: whoever holds the cluster key runs what they like on this node`;
  if (!isAllowed) {
    throw new FanoutError('CONFIG', what, { hint: `${SAFE_WAY}\n  If you must: --allow-shell-handler` });
  }
  return [`${what}. ${SAFE_WAY}`];
}
