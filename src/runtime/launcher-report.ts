import { basename } from 'node:path';
import { concatBytes, EMPTY } from '../lib/bytes.ts';
import type { CommandSpec } from './command-spec.ts';
import { SEARCH_PATH } from './resolve-program.ts';

/** A launcher says why it failed in one line; what is longer than this comes from the program. */
const HELD_BYTES_MAX = 4096;

/** Programs that stand before the command's own and write to the same stderr. */
const LAUNCHERS = ['bwrap', 'prlimit', 'setpriv', 'unshare', 'timeout'];
/** How their lines begin: with the bare name, or with the path they were called by. */
const LAUNCHER_PREFIXES = LAUNCHERS.flatMap((name) =>
  [name, ...SEARCH_PATH.map((directory) => `${directory}/${name}`)].map((called) => `${called}: `),
);
/** What they print when they could not do their part. */
const LAUNCHER_FAILURE =
  /^(?:\/[a-z/]+\/)?(setpriv|unshare|(?:prlimit|timeout)(?=: (?:failed to|fork system call failed))): [^\n]+\n$/;
/** Their exit codes then. */
const LAUNCHER_FAILURE_CODES = [1, 125, 126, 127];

/**
 * Holds back the beginning of stderr while it could be a launcher's complaint. Which of the two it is, is known only
 * at the end; meanwhile a command that merely starts like one has its first bytes delayed.
 */
export class HeldText {
  private held: Uint8Array = EMPTY;
  private isHolding = true;

  /** Takes a chunk and returns what can be passed on, which may be nothing. */
  push(chunk: Uint8Array): Uint8Array {
    if (!this.isHolding) return chunk;
    this.held = concatBytes(this.held, chunk);
    if (this.held.length <= HELD_BYTES_MAX && couldBeLauncher(this.text)) return EMPTY;
    return this.release();
  }

  /** Stops holding back, and returns what was held. */
  release(): Uint8Array {
    const held = this.held;
    this.isHolding = false;
    this.held = EMPTY;
    return held;
  }

  get text(): string {
    return Buffer.from(this.held).toString('utf8');
  }
}

function couldBeLauncher(text: string): boolean {
  return LAUNCHER_PREFIXES.some((prefix) => text.startsWith(prefix) || prefix.startsWith(text));
}

/** What is known when all launchers have ended. */
export interface LauncherExit {
  readonly code: number | null;
  /** Text held back from stderr. */
  readonly text: string;
  readonly stdoutBytes: number;
  /** What bwrap wrote about the sandbox; undefined when it was not used. */
  readonly status: string | undefined;
}

/** Why nothing of the program ran, or undefined when it did. */
export function launchFailure(
  spec: CommandSpec,
  exit: LauncherExit,
): { readonly reason: string; readonly hint: string } | undefined {
  if (exit.status !== undefined && exit.code !== null && !exit.status.includes('"exit-code"')) {
    const text = exit.text.trim() || `bwrap: exit code ${exit.code}`;
    return { reason: `sandbox "${spec.sandbox}" could not be made: ${text}`, hint: sandboxHint(text) };
  }
  if (exit.stdoutBytes > 0 || exit.code === null || !LAUNCHER_FAILURE_CODES.includes(exit.code))
    return undefined;
  const match = LAUNCHER_FAILURE.exec(exit.text);
  if (match === null || match[1] === basename(spec.path)) return undefined;
  return {
    reason: `${spec.path} could not be started: ${match[0].trim()}`,
    hint:
      spec.sandbox === 'none'
        ? `Check that ${spec.user?.name ?? 'the user of the agent'} may execute it: namei -l ${spec.path}`
        : `Check that ${spec.user?.name ?? 'the user of the agent'} may execute it, and that it lies where sandbox "${spec.sandbox}" can see it.`,
  };
}

/** The way out of a complaint of bwrap's. */
export function sandboxHint(text: string): string {
  if (/Can't find source path/.test(text)) {
    return 'The account of the command must be able to reach what its rule opens: namei -l PATH';
  }
  if (/Can't chdir to/.test(text))
    return 'The "cwd" of the rule must exist in its sandbox: open it with "read".';
  if (/Unknown option/.test(text)) return 'Install bubblewrap 0.8 or newer.';
  if (/No space left|max_user_namespaces|nesting/.test(text)) {
    return 'Allow more user namespaces: sysctl -w user.max_user_namespaces=15000';
  }
  if (/namespace|uid map|Operation not permitted|Permission denied/.test(text)) {
    return (
      'Allow user namespaces to unprivileged users: sysctl -w kernel.unprivileged_userns_clone=1 (Debian), ' +
      'kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu); in a container, allow them in its seccomp profile.'
    );
  }
  return 'Run the sandbox by hand on the node to see more: bwrap --unshare-all --ro-bind / / true';
}
