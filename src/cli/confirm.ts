import { createInterface } from 'node:readline';
import { sanitiseText } from '../lib/sanitise.ts';

/**
 * Asks on the terminal: only the number of nodes is a yes. Anything else, the end of the input, and `over` (the run has
 * ended, so that there is nothing to ask any more) is a no.
 */
export function confirmByCount(
  command: string,
  facts: { readonly count: number; readonly notReadOnly: number },
  over: AbortSignal,
  input: NodeJS.ReadableStream = process.stdin,
  output: NodeJS.WritableStream = process.stderr,
): Promise<boolean> {
  const { count, notReadOnly } = facts;
  const which = notReadOnly === count ? 'no rule marks it' : `on ${notReadOnly} no rule marks it`;
  output.write(
    `fanout: about to run on ${count} nodes, and ${which} as read-only: ${sanitiseText(command)}\n`,
  );
  const reader = createInterface({ input, output, terminal: false });
  return new Promise((resolve) => {
    let answer = false;
    over.addEventListener('abort', () => reader.close(), { once: true });
    output.write(`fanout: nothing has run yet. Type ${count} to run it: `);
    reader.once('line', (line) => {
      answer = line.trim() === String(count);
      reader.close();
    });
    reader.once('close', () => {
      // Whoever pressed Ctrl-D is still in the line of the question.
      if (!answer) output.write('\n');
      // An open terminal would keep the process alive after the run.
      input.pause();
      resolve(answer);
    });
  });
}
