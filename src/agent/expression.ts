import { RE2JS } from 're2js';

/** Compiled expressions, kept because the same filters come again and again. */
const compiled = new Map<string, RE2JS | undefined>();
const COMPILED_MAX = 256;
/** Longer expressions than fit a query cannot come by wire; over RPC they are refused. */
const EXPRESSION_CHARACTERS_MAX = 1024;
/**
 * Characters of an expression once its counted repeats are written out. Linear time is linear in these as well: within
 * 900 characters, (.*){1000} again and again takes seconds for one value. An address or a UUID needs a tenth of this.
 */
const EXPANDED_CHARACTERS_MAX = 10_000;
const REPEAT = /\{(\d+)(?:,(\d*))?\}/g;

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
  if (expression.length > EXPRESSION_CHARACTERS_MAX || expandedLength(expression) > EXPANDED_CHARACTERS_MAX) {
    return undefined;
  }
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

/** What an expression may grow to, estimated from above: each repeat may repeat nearly all of it. */
function expandedLength(expression: string): number {
  let times = 1;
  for (const [, from, to] of expression.matchAll(REPEAT)) times += Math.max(Number(from), Number(to ?? 0));
  return expression.length * times;
}
