import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { ReadStream } from 'node:tty';
import type { Unlocking } from '../asker/unlock.ts';
import { passphraseProblem } from '../identity/sealed-key.ts';
import { EMPTY } from '../lib/bytes.ts';
import { FanoutError } from '../lib/errors.ts';
import { sanitiseText } from '../lib/sanitise.ts';
import { PassphraseLine } from './passphrase-line.ts';

/** The terminal itself: input and output may come from and go to files and pipes. */
const TERMINAL = '/dev/tty';

const ATTEMPTS = 3;

/** Asks for passphrases on the terminal of this process, without showing them. */
export interface PassphraseTerminal {
  ask(question: string): Promise<string>;
  say(text: string): void;
}

/** How the person at this command line is asked for a passphrase, if there is a terminal, and told things: on stderr. */
export function personHere(): Unlocking {
  const say = (text: string): void => void process.stderr.write(`fanout: ${sanitiseText(text)}\n`);
  try {
    closeSync(openTerminal());
  } catch {
    return { say };
  }
  return { say, askPassphrase: (question) => onTerminal(({ ask }) => ask(question)) };
}

/** Does something that asks on the terminal, and gives it back afterwards. Throws FanoutError USAGE without one. */
export async function onTerminal<T>(work: (terminal: PassphraseTerminal) => Promise<T>): Promise<T> {
  let output: number;
  let input: ReadStream;
  try {
    output = openTerminal();
    input = new ReadStream(openTerminal());
  } catch (cause) {
    throw new FanoutError('USAGE', 'there is no terminal on which a passphrase could be typed', {
      hint: 'A passphrase is never taken from arguments, the environment or a pipe. Run it on a terminal.',
      cause,
    });
  }
  let early: Uint8Array = EMPTY;
  const write = (text: string): void => void writeSync(output, text);
  const ask = async (question: string): Promise<string> => {
    // First silent, then the question: what is typed at once must not be shown either.
    input.setRawMode(true);
    write(question);
    const line = new PassphraseLine();
    try {
      const text = await typed(input, line, early);
      early = line.rest;
      return text;
    } finally {
      input.setRawMode(false);
      write('\n');
    }
  };
  try {
    return await work({ ask, say: (text) => write(`${text}\n`) });
  } finally {
    input.destroy();
    closeSync(output);
  }
}

/** A new passphrase, typed twice. Throws FanoutError USAGE when three times nothing came of it. */
export async function newPassphrase({ ask, say }: PassphraseTerminal): Promise<string> {
  for (let left = ATTEMPTS; left > 0; left--) {
    const passphrase = await ask('new passphrase: ');
    const problem = passphraseProblem(passphrase);
    if (problem !== undefined) say(`fanout: ${problem}`);
    else if ((await ask('the same once more: ')) === passphrase) return passphrase;
    else say('fanout: the two are not the same');
  }
  throw new FanoutError('USAGE', 'there is no new passphrase, and nothing was changed');
}

function openTerminal(): number {
  return openSync(TERMINAL, constants.O_RDWR | constants.O_NOCTTY);
}

function typed(input: ReadStream, line: PassphraseLine, early: Uint8Array): Promise<string> {
  return new Promise((resolve, reject) => {
    const take = (chunk: Uint8Array): void => {
      const result = line.push(chunk);
      if (result === undefined) return;
      input.off('data', take);
      input.pause();
      if (result === 'interrupted') interrupt(input);
      else if (result === 'unreadable') reject(new FanoutError('USAGE', 'what was typed is not text'));
      else resolve(result.text);
    };
    const gone = (): void => reject(new FanoutError('USAGE', 'the terminal is gone'));
    input.once('end', gone).once('error', gone);
    input.on('data', take);
    input.resume();
    if (early.length > 0) take(early);
  });
}

/** In raw mode Ctrl-C is a byte. It does what it does everywhere, once the terminal is as it was. */
function interrupt(input: ReadStream): void {
  input.setRawMode(false);
  writeSync(process.stderr.fd, '\n');
  process.kill(process.pid, 'SIGINT');
}
