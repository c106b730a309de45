import { readPolicy } from '../agent/policy-holder.ts';
import { readHistory } from '../asker/history.ts';
import { listRuns } from '../asker/run-record.ts';
import { FanoutError } from '../lib/errors.ts';
import { safeJson } from '../lib/sanitise.ts';
import { parseCommandString } from '../policy/command-string.ts';
import { comparePolicies } from '../policy/difference.ts';
import { differenceText } from '../policy/difference-text.ts';
import { compilePolicy } from '../policy/load.ts';

/** Different commands of the past that are tried, the newest first. */
const PAST_MAX = 500;

/** `fanout policy diff`: 0 the same, 1 different; what cannot be read throws and ends in 2. */
export async function diff(
  before: string,
  after: string,
  options: { history: boolean; format: string },
): Promise<number> {
  const [old, now] = [before, after].map((file) => compilePolicy(readPolicy(file), file));
  if (old === undefined || now === undefined) return 2;
  const difference = comparePolicies(old, now, options.history ? pastCommands() : []);
  const isSame = difference.verdicts.length + difference.names.length === 0;
  if (options.format === 'json') process.stdout.write(`${safeJson({ same: isSame, ...difference }, 2)}\n`);
  else if (!isSame) process.stdout.write(`${differenceText(difference)}\n`);
  return isSame ? 0 : 1;
}

/** What was run from this machine, each command once. */
function pastCommands(): readonly (readonly string[])[] {
  const found = new Map<string, readonly string[]>();
  const add = (argv: readonly string[]): void => {
    if (found.size < PAST_MAX) found.set(JSON.stringify(argv), argv);
  };
  for (const { head } of listRuns()) add(head.argv);
  for (const { command } of readHistory()) {
    try {
      add(parseCommandString(command));
    } catch (error) {
      // A command that was given in words may have no spelling as one string; its record has it, if there is one.
      if (!(error instanceof FanoutError)) throw error;
    }
  }
  return [...found.values()];
}
