import { FanoutError } from '../lib/errors.ts';
import { formatDuration, parseDuration } from '../lib/time.ts';
import { checkArgv, parseCommandString } from '../policy/command-string.ts';

const TIMEOUT_MS_MAX = 24 * 3_600_000;

/**
 * The command as it was given: in one piece, or as the words after `--`. Throws FanoutError USAGE or COMMAND_REFUSED.
 */
export function argvOf(words: readonly string[], rest: readonly string[] | undefined): string[] {
  if (rest !== undefined) {
    if (words.length > 0) {
      throw new FanoutError('USAGE', `"${words[0]}" stands before --, and the command after it`, {
        hint: 'Give the command once: either quoted, or after --.',
      });
    }
    const unfit = rest.length === 0 ? 'there is no command after --' : checkArgv(rest);
    if (unfit === undefined) return [...rest];
    throw new FanoutError('COMMAND_REFUSED', unfit, { hint: 'For example: fanout -- df -h /' });
  }
  if (words.length === 1) return parseCommandString(words[0] as string);
  const command = words.join(' ');
  throw new FanoutError(
    'USAGE',
    words.length === 0 ? 'there is no command' : 'the command came in several pieces',
    {
      hint:
        words.length === 0
          ? 'For example: fanout "ps ax" --tag role=web'
          : `Quote it, fanout "${command}", or put -- before it: fanout -- ${command}`,
    },
  );
}

/** The length of --timeout. Throws FanoutError USAGE. */
export function timeoutOf(text: string): number {
  const ms = parseDuration(text);
  if (ms !== undefined && ms > 0 && ms <= TIMEOUT_MS_MAX) return ms;
  throw new FanoutError(
    'USAGE',
    `--timeout ${text}: not a duration up to ${formatDuration(TIMEOUT_MS_MAX)}`,
    {
      hint: 'Write 500ms, 10s, 2m or 1m30s.',
    },
  );
}
