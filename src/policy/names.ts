/** What a handler can be called; also its folder. */
export const HANDLER_NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;
/** Names of parameters of handlers. */
export const PARAMETER_NAME = /^[a-z][a-z0-9_]{0,31}$/;

const HANDLER = /^handler:([a-z0-9][a-z0-9-]{0,62})$/;
const QUERY = /^query:([A-Za-z0-9._-]{1,128})$/;

/**
 * The handler that a command is for: `handler:NAME` in the place of a program. No program can have such a name, because a
 * program's has no colon, neither in a policy nor in a signed command.
 */
export function handlerName(program: string): string | undefined {
  return HANDLER.exec(program)?.[1];
}

/** The query that a command asks, signed: `query:NAME` in the place of a program. */
export function queryName(program: string): string | undefined {
  return QUERY.exec(program)?.[1];
}

/** An argument of a handler, which is `name=value`; undefined when it is none. */
export function assignmentOf(
  argument: string,
): { readonly name: string; readonly value: string } | undefined {
  const at = argument.indexOf('=');
  const name = argument.slice(0, at);
  return at > 0 && PARAMETER_NAME.test(name) ? { name, value: argument.slice(at + 1) } : undefined;
}
