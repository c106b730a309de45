import { FanoutError, type FanoutErrorCode, stackOf } from '../lib/errors.ts';
import { sanitiseText } from '../lib/sanitise.ts';

const EXIT_CODE: Readonly<Record<FanoutErrorCode, number>> = {
  USAGE: 2,
  COMMAND_REFUSED: 2,
  CONFIG: 2,
  POLICY_INVALID: 2,
  KEY_INVALID: 2,
  NO_MATCH: 3,
  INTEGRITY: 7,
  AGENT_ERROR: 1,
  AGENT_UNREACHABLE: 69,
};

/** Exit code of a bug in fanout itself (sysexits' EX_SOFTWARE). */
const EXIT_BUG = 70;

/** Says on stderr what went wrong and what to do, and returns the exit code for it. */
export function reportError(error: unknown): number {
  if (!(error instanceof FanoutError)) {
    const text = stackOf(error);
    process.stderr.write(`fanout: this is a bug in fanout, please report it:\n${text}\n`);
    return EXIT_BUG;
  }
  process.stderr.write(`fanout: ${shown(error.message)}\n`);
  if (error.hint !== undefined) process.stderr.write(`  ${shown(error.hint)}\n`);
  return EXIT_CODE[error.code];
}

/** Errors quote names and texts of other machines, and come in several lines where they quote a policy. */
function shown(text: string): string {
  return text.split('\n').map(sanitiseText).join('\n');
}
