import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { toHex } from '../lib/bytes.ts';
import { messageOf } from '../lib/errors.ts';
import { TailBuffer } from '../lib/tail-buffer.ts';
import type { Millis } from '../lib/time.ts';
import type { CommandEnd, CommandScript, CommandSpec } from './command-spec.ts';
import { coverInherited } from './inherited-descriptors.ts';
import { killMarked } from './kill-tree.ts';
import { MARKER_VARIABLE } from './launch.ts';
import type { RunningCommand } from './process.ts';

/** What runs a line. */
export const SHELL = '/bin/sh';

/**
 * The one place of fanout where a shell is started: for the lines of `--event-handler`, which the owner of this machine
 * wrote for it, as for Serf's agent. Nothing that came by wire is ever a part of what the shell reads as its program: names
 * and payloads are variables and input.
 */

/** As Serf: of what a script writes, the last 8 KiB are kept. */
const OUTPUT_BYTES_MAX = 8192;
/** The longest time that a timer can wait. */
const TIMER_MS_MAX: Millis = 2 ** 31 - 1;
/** What only the agent says: not even a shell from which the agent was started can say who signed a question. */
const NOBODY_ASKED = { FANOUT_REQUEST_ID: undefined, FANOUT_OPERATOR: undefined, FANOUT_DEADLINE: undefined };
/** Joins both outputs in the order of their writes; the script itself is the shell's program, and sees the same shell. */
const JOIN_OUTPUTS = `exec ${SHELL} -c "$1" 2>&1`;

/** How a script ended. */
export interface ScriptEnd {
  /** `exit`: by itself. `failed`: it could not be started. */
  readonly cause: 'exit' | 'timeout' | 'cancelled' | 'failed';
  /** The exit code; null after a signal, or when nothing was started. */
  readonly code: number | null;
  /** The signal that ended it. */
  readonly signal: string | null;
  /** In a few words, '' for an exit with 0. */
  readonly problem: string;
  /** The last 8 KiB of stdout and stderr together. */
  readonly output: Uint8Array;
  /** How much there was of it. */
  readonly outputBytes: number;
}

export interface RunningScript {
  /** Kills it and everything that it started. */
  kill(cause?: 'timeout' | 'cancelled'): void;
  /** Settles when the script has ended and nobody holds its output any more. Never rejects. */
  readonly ended: Promise<ScriptEnd>;
}

/**
 * Starts a line of shell with the agent's own rights, folder and environment, to which `variables` are added. At the time
 * limit it and everything that it started is killed; what it leaves running before that, as a service that it restarted, is
 * left alone.
 */
export function startScript(script: {
  readonly line: string;
  readonly variables: Readonly<Record<string, string>>;
  readonly input: Uint8Array;
  readonly timeoutMs: Millis;
}): RunningScript {
  const marker = toHex(randomBytes(16));
  try {
    return new Script(script, marker);
  } catch (error) {
    // A name with a NUL in it cannot be a variable.
    return { kill: () => {}, ended: Promise.resolve(notStarted(error)) };
  }
}

/** The value of FANOUT_DEADLINE for an answer that is wanted for so long from now: seconds since 1970. */
export function deadlineAfter(leftMs: Millis, unixMs: number): string {
  return String(Math.floor((unixMs + leftMs) / 1000));
}

function notStarted(error: unknown): ScriptEnd {
  const problem = `could not be started: ${messageOf(error)}`;
  return { cause: 'failed', code: null, signal: null, problem, output: new Uint8Array(0), outputBytes: 0 };
}

/**
 * Starts the line of an event handler as a command that an operator has signed. What it writes, the last 8 KiB of it, comes
 * when it has ended.
 */
export function startScriptCommand(
  { script, timeoutMs, outputBytesMax }: CommandSpec & { readonly script: CommandScript },
  onOutput: (stream: 'stdout', chunk: Uint8Array) => void,
): RunningCommand {
  const startedAt = performance.now();
  const variables = { ...script.variables, FANOUT_DEADLINE: deadlineAfter(timeoutMs, Date.now()) };
  const running = startScript({ ...script, variables, timeoutMs: Math.min(timeoutMs, TIMER_MS_MAX) });
  let timer: NodeJS.Timeout | undefined;
  const nothing = (): void => {};
  const ended = running.ended.then((end): CommandEnd => {
    clearTimeout(timer);
    const { cause, code, signal, problem } = end;
    if (cause === 'failed') return { kind: 'failed', reason: `its script ${problem}`, hint: '' };
    const output = end.output.subarray(0, outputBytesMax);
    if (output.length > 0) onOutput('stdout', output);
    const durationMs = performance.now() - startedAt;
    return { kind: 'ended', code, signal, cause, durationMs, stdoutBytes: output.length, stderrBytes: 0 };
  });
  return {
    pause: nothing,
    resume: nothing,
    limitTo: (limitMs) => {
      clearTimeout(timer);
      const leftMs = Math.max(0, startedAt + limitMs - performance.now());
      timer = setTimeout(() => running.kill('timeout'), Math.min(leftMs, TIMER_MS_MAX));
    },
    kill: (cause) => running.kill(cause),
    ended,
  };
}

class Script implements RunningScript {
  readonly ended: Promise<ScriptEnd>;
  private readonly child: ChildProcess;
  private readonly marker: string;
  private readonly output = new TailBuffer(OUTPUT_BYTES_MAX);
  private cause: ScriptEnd['cause'] = 'exit';
  private settle: (end: ScriptEnd) => void = () => {};

  constructor(script: Parameters<typeof startScript>[0], marker: string) {
    this.marker = marker;
    this.ended = new Promise((resolve) => {
      this.settle = resolve;
    });
    this.child = spawn(SHELL, ['-c', JOIN_OUTPUTS, SHELL, script.line], {
      // A session of its own, by which it is found again.
      detached: true,
      env: { ...process.env, ...NOBODY_ASKED, ...script.variables, [MARKER_VARIABLE]: marker },
      stdio: coverInherited(['pipe', 'pipe', 'pipe']),
    });
    const timer = setTimeout(() => this.end('timeout'), script.timeoutMs);
    this.child.once('error', (error) => {
      clearTimeout(timer);
      this.settle(notStarted(error));
    });
    if (this.child.pid === undefined) return;
    const [input, stdout, stderr] = this.child.stdio as unknown as [Duplex, Duplex, Duplex];
    for (const pipe of [input, stdout, stderr]) pipe.on('error', () => {});
    for (const pipe of [stdout, stderr]) pipe.on('data', (chunk) => this.output.push(chunk));
    // It need not read: then the pipe breaks, and that is all.
    input.end(script.input);
    this.child.once('close', (code, signal) => {
      clearTimeout(timer);
      this.settle(this.endOf(code, signal));
    });
  }

  kill(cause: 'timeout' | 'cancelled' = 'cancelled'): void {
    this.end(cause);
  }

  private end(cause: 'timeout' | 'cancelled'): void {
    const { pid } = this.child;
    if (pid === undefined || this.cause !== 'exit') return;
    this.cause = cause;
    const { exitCode, signalCode } = this.child;
    // Once the shell is gone, its number may belong to somebody else's session.
    killMarked(this.marker, exitCode === null && signalCode === null ? pid : undefined);
    // Somebody who escaped may still hold the pipes.
    for (const pipe of [this.child.stdin, this.child.stdout, this.child.stderr]) pipe?.destroy();
  }

  private endOf(code: number | null, signal: string | null): ScriptEnd {
    const { cause, output } = this;
    const problem =
      cause === 'timeout'
        ? 'took too long and was killed'
        : cause === 'cancelled'
          ? 'was stopped'
          : signal !== null
            ? `signal: ${signal}`
            : code === 0
              ? ''
              : `exit status ${code}`;
    return { cause, code, signal, problem, output: output.tail(), outputBytes: output.totalBytes };
  }
}
