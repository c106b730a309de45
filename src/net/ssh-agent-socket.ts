import { realpathSync, type Stats, statSync } from 'node:fs';
import type { Socket } from 'node:net';
import { dirname } from 'node:path';
import { checkFolders, quote } from '../identity/owned-file.ts';
import { AgentReplyReader } from '../identity/ssh-agent-messages.ts';
import { codeOf, DecodeError, errnoOf, FanoutError } from '../lib/errors.ts';
import type { Millis } from '../lib/time.ts';
import { connectTcp } from './tcp.ts';

const CONNECT_TIMEOUT_MS: Millis = 5000;
/** An agent that answers at once does so far sooner. Whoever is asked to confirm something should then know by whom. */
const WAITING_MS: Millis = 1500;

const code = 'KEY_INVALID';

/** How long an agent may take, and what to do when that is long. */
export interface AgentPatience {
  readonly timeoutMs: Millis;
  /** Called once, after a moment: a person may be asked to confirm the use of the key, or to touch something. */
  onWaiting?(): void;
}

/**
 * Sends one request to the ssh-agent behind a socket and returns its answer, without the length in front. One connection
 * for each: an agent may close an idle one. Throws FanoutError KEY_INVALID: no socket, somebody else's, nobody listens, no
 * answer in time, or one that is none.
 */
export async function askSshAgent(
  path: string,
  request: Uint8Array,
  patience: AgentPatience,
): Promise<Uint8Array> {
  const real = checkSocket(path);
  let socket: Socket;
  try {
    socket = await connectTcp({ path: real }, CONNECT_TIMEOUT_MS);
  } catch (cause) {
    throw new FanoutError(code, `no ssh-agent answers at ${path}: ${codeOf(cause)}`, {
      hint: NO_AGENT,
      cause,
    });
  }
  const waiting = setTimeout(() => patience.onWaiting?.(), WAITING_MS);
  try {
    return await replyOf(socket, path, request, patience.timeoutMs);
  } finally {
    clearTimeout(waiting);
    socket.destroy();
  }
}

function replyOf(socket: Socket, path: string, request: Uint8Array, timeoutMs: Millis): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const reader = new AgentReplyReader();
    const fail = (what: string, hint: string = NO_AGENT): void => {
      clearTimeout(timer);
      reject(new FanoutError(code, `the ssh-agent at ${path} ${what}`, { hint }));
    };
    // Over all of the answer, not from piece to piece: one that comes byte by byte must end as well.
    const timer = setTimeout(() => {
      const seconds = Math.round(timeoutMs / 1000);
      fail(
        `has not answered within ${seconds} s`,
        'If it asks for a confirmation or a touch, give it sooner.',
      );
    }, timeoutMs);
    socket.on('data', (chunk) => {
      try {
        const reply = reader.push(chunk);
        if (reply === undefined) return;
        clearTimeout(timer);
        resolve(reply);
      } catch (error) {
        if (error instanceof DecodeError) fail(`does not speak its protocol: ${error.message}`);
        else reject(error);
      }
    });
    socket.on('error', (error) => fail(`broke off: ${errnoOf(error) ?? error.message}`));
    socket.on('close', () => fail('closed the connection without an answer'));
    socket.write(request);
  });
}

const NO_AGENT =
  'SSH_AUTH_SOCK names it. Look with: ssh-add -l; start one with: eval "$(ssh-agent)"; ssh-add';

/**
 * The socket with every link resolved. Whoever else could have put it there would learn what is signed, and could keep
 * a person waiting.
 */
function checkSocket(path: string): string {
  let real: string;
  let stats: Stats;
  try {
    real = realpathSync(path);
    stats = statSync(real);
  } catch (cause) {
    throw new FanoutError(code, `there is no ssh-agent at ${path}: ${codeOf(cause)}`, {
      hint: NO_AGENT,
      cause,
    });
  }
  if (!stats.isSocket()) {
    const what = stats.isDirectory() ? 'a folder' : 'not a socket';
    throw new FanoutError(code, `SSH_AUTH_SOCK names ${path}, which is ${what}`, { hint: NO_AGENT });
  }
  const me = process.geteuid?.() ?? 0;
  if (stats.uid !== me && stats.uid !== 0) {
    throw new FanoutError(code, `the ssh-agent at ${path} belongs to user ${stats.uid}, not to you or root`, {
      hint: `Use an agent of your own. Look at: ls -l ${quote(path)}`,
    });
  }
  checkFolders(dirname(real), code);
  return real;
}
