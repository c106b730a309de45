import { FanoutError } from '../lib/errors.ts';
import { checkArgv, parseCommandString } from '../policy/command-string.ts';

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
