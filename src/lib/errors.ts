/**
 * Broken or hostile bytes. Thrown by decoders only; whoever feeds a decoder catches it, counts `reason` and drops
 * the input. `reason` is a short stable word fit for a counter name; `message` says where and what.
 */
export class DecodeError extends Error {
  override readonly name = 'DecodeError';
  readonly reason: string;

  constructor(reason: string, message: string = reason) {
    super(message);
    this.reason = reason;
  }
}

/** The kinds of operating error that a person meets. The command line turns each into an exit code (cli/exit-codes.ts). */
export type FanoutErrorCode =
  | 'USAGE'
  | 'COMMAND_REFUSED'
  | 'CONFIG'
  | 'POLICY_INVALID'
  | 'KEY_INVALID'
  | 'AGENT_UNREACHABLE'
  | 'AGENT_ERROR'
  | 'NO_MATCH'
  | 'INTEGRITY';

/** An operating error: `message` is what happened and where, `hint` is the way out. */
export class FanoutError extends Error {
  override readonly name = 'FanoutError';
  readonly code: FanoutErrorCode;
  readonly hint: string | undefined;

  constructor(code: FanoutErrorCode, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
  }
}

/** What an error says, or what was thrown in the place of one. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The same with its place in the code, for a bug. */
export function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** The system's short name of an error (`ENOENT`), for a message; or what was thrown instead. */
export function codeOf(error: unknown): string {
  return errnoOf(error) ?? String(error);
}

/** The system's short name of an error (`ENOENT`), or undefined. */
export function errnoOf(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}
