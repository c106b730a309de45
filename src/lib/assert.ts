/** A broken assertion is a bug in fanout itself, never the fault of a peer, a file or a person. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

/** States what must hold. Kept on in production: a wrong state is worse than a stopped one. */
export function assert(condition: unknown, sentence: string): asserts condition {
  if (!condition) throw new AssertionError(`internal error: ${sentence}`);
}

/** Closes a switch over a union: the compiler refuses a case that was forgotten. */
export function unreachable(value: never): never {
  throw new AssertionError(`internal error: unexpected value ${JSON.stringify(value)}`);
}
