import { RE2JS } from 're2js';

/** Compiled expressions, kept because the same filters come again and again. */
const compiled = new Map<string, RE2JS | undefined>();
const COMPILED_MAX = 256;
/** Longer expressions than fit a query cannot come by wire; over RPC they are refused. */
const EXPRESSION_CHARACTERS_MAX = 1024;

/**
 * Whether a value matches an expression that somebody else chose, in Go's syntax and unanchored as in Serf's queries.
 * RE2 runs in linear time: the platform's own RegExp can be frozen for seconds by one packet. An expression that does
 * not compile matches nothing.
 */
export function matchesExpression(expression: string, value: string): boolean {
  return compile(expression)?.matcher(value).find() ?? false;
}

/** The same for a value as a whole, as Serf's member filters want it; undefined when the expression does not compile. */
export function compileAnchored(expression: string): ((value: string) => boolean) | undefined {
  // Serf anchors by adding ^ and $ without a group, so that a|b means "starts with a, or ends with b". Scripts know it.
  const pattern = compile(`^${expression}$`);
  return pattern === undefined ? undefined : (value) => pattern.matcher(value).find();
}

function compile(expression: string): RE2JS | undefined {
  if (expression.length > EXPRESSION_CHARACTERS_MAX) return undefined;
  if (compiled.has(expression)) return compiled.get(expression);
  let pattern: RE2JS | undefined;
  try {
    pattern = RE2JS.compile(expression);
  } catch {
    pattern = undefined;
  }
  if (compiled.size >= COMPILED_MAX) compiled.clear();
  compiled.set(expression, pattern);
  return pattern;
}
