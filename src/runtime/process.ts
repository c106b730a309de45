import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { Duplex } from 'node:stream';
import { isMainThread } from 'node:worker_threads';
import { assert } from '../lib/assert.ts';
import { messageOf } from '../lib/errors.ts';
import type { Millis } from '../lib/time.ts';
import type { CommandEnd, CommandSpec } from './command-spec.ts';
import { coverInherited } from './inherited-descriptors.ts';
import { JobGroup } from './job-group.ts';
import { killMarked, killNamespace, programBehind, signal } from './kill-tree.ts';
import { type Launch, planLaunch } from './launch.ts';
import { HeldText, launchFailure } from './launcher-report.ts';
import { startScriptCommand } from './shell-script.ts';

/** Between SIGTERM and SIGKILL: time to remove a lock file, not to finish the work. */
const GRACE_MS: Millis = 2000;
/** How long a pipe may stay silent, once the program is gone, before whoever still holds it is left behind. */
const DRAIN_MS: Millis = 250;
/** The longest time that a timer can wait (24.8 days); a longer one would fire at once. */
const TIMER_MS_MAX: Millis = 2 ** 31 - 1;
/** How often a command's use of memory and processor is looked at. The kernel keeps the bound of memory by itself. */
const BUDGET_CHECK_MS: Millis = 100;
/** bwrap writes two short lines. */
const STATUS_CHARACTERS_MAX = 4096;
const LOOK_AT_NODE = 'Look at the node: fanout agent --check';

type Cause = Extract<CommandEnd, { kind: 'ended' }>['cause'];

/**
 * A command that was started. Its processes are gone at the latest two seconds after its time limit. It counts as
 * ended when its output has been passed on too, which a paused reader can put off until it resumes or cancels.
 */
export interface RunningCommand {
  /** Stops reading stdout and stderr; at most one chunk already on its way may still come. The program then waits. */
  pause(): void;
  resume(): void;
  /** It may run this long from its start. When that is over already, it ends now. */
  limitTo(timeoutMs: Millis): void;
  /** SIGTERM to the program, after two seconds SIGKILL to everything it started. */
  kill(cause: 'cancelled'): void;
  /** Settles once, never rejects, and only after the last call of `onOutput`. */
  readonly ended: Promise<CommandEnd>;
}

/**
 * Starts a command. No shell is involved, stdin is empty, and the environment is a fixed one. Whatever the program
 * leaves running is killed when it ends.
 */
export function startCommand(
  spec: CommandSpec,
  onOutput: (stream: 'stdout' | 'stderr', chunk: Uint8Array) => void,
): RunningCommand {
  // "Die with the parent" means the thread that started the process, not the process of the agent.
  assert(isMainThread, 'commands are started from the main thread');
  try {
    return started(spec, onOutput);
  } catch (error) {
    return failedCommand(`its start could not be prepared: ${messageOf(error)}`, LOOK_AT_NODE);
  }
}

function started(
  spec: CommandSpec,
  onOutput: (stream: 'stdout' | 'stderr', chunk: Uint8Array) => void,
): RunningCommand {
  const { script } = spec;
  if (script !== undefined) return startScriptCommand({ ...spec, script }, onOutput);
  const launch = planLaunch(spec);
  if ('reason' in launch) return failedCommand(launch.reason, launch.hint);
  let group: JobGroup | undefined;
  try {
    group = JobGroup.create(spec.groupHome, spec.budget);
  } catch (error) {
    return failedCommand(`its control group could not be made: ${messageOf(error)}`, LOOK_AT_NODE);
  }
  try {
    return new Command(spec, launch, group, onOutput);
  } catch (error) {
    group?.remove();
    const message = messageOf(error);
    return failedCommand(`${launch.file} could not be started: ${message}`, spawnHint(launch, message));
  }
}

function spawnHint({ account }: Launch, message: string): string {
  return account !== undefined && /EINVAL|EPERM/.test(message)
    ? `The agent cannot become ${account.name} (uid ${account.uid}) here. In a container, that uid must be mapped.`
    : 'Look at the limits of the agent on the node (processes, memory, open files).';
}

function failedCommand(reason: string, hint: string): RunningCommand {
  const nothing = (): void => {};
  const ended = Promise.resolve<CommandEnd>({ kind: 'failed', reason, hint });
  return { pause: nothing, resume: nothing, limitTo: nothing, kill: nothing, ended };
}

class Command implements RunningCommand {
  readonly ended: Promise<CommandEnd>;
  private readonly spec: CommandSpec;
  private readonly launch: Launch;
  private readonly group: JobGroup | undefined;
  private readonly onOutput: (stream: 'stdout' | 'stderr', chunk: Uint8Array) => void;
  private readonly child: ChildProcess;
  private readonly startedAt: Millis = performance.now();
  private readonly held = new HeldText();
  private outputs: readonly Duplex[] = [];
  /** Everything that is to be closed at the end. */
  private readonly pipes: Duplex[] = [];
  private readonly bytes = { stdout: 0, stderr: 0 };
  private status: string | undefined;
  private cause: Cause = 'exit';
  private isPaused = false;
  private exit:
    | { readonly code: number | null; readonly signal: string | null; readonly at: Millis }
    | undefined;
  private openPipes = 0;
  private deadline: NodeJS.Timeout | undefined;
  private grace: NodeJS.Timeout | undefined;
  private watch: NodeJS.Timeout | undefined;
  private drain: NodeJS.Timeout | undefined;
  private settle: (end: CommandEnd) => void = () => {};
  private isOver = false;

  constructor(spec: CommandSpec, launch: Launch, group: JobGroup | undefined, onOutput: Command['onOutput']) {
    this.spec = spec;
    this.launch = launch;
    this.group = group;
    this.onOutput = onOutput;
    this.ended = new Promise((resolve) => {
      this.settle = resolve;
    });
    const extra = Array<'pipe'>((launch.filter === undefined ? 0 : 2) + (launch.isGated ? 1 : 0)).fill(
      'pipe',
    );
    this.child = spawn(launch.file, [...launch.args], {
      // A session of its own: no terminal, and a group to signal.
      detached: true,
      // A sandbox has its own idea of it.
      cwd: spec.sandbox === 'none' ? (spec.cwd ?? '/') : '/',
      env: { ...launch.env },
      shell: false,
      stdio: coverInherited(['ignore', 'pipe', 'pipe', ...extra]),
      ...(launch.account === undefined ? {} : { uid: launch.account.uid, gid: launch.account.gid }),
    });
    this.child.once('error', (error) => this.notStarted(error));
    // Then the reason comes as an event, and there may be no pipes.
    if (this.child.pid === undefined) return;
    this.child.once('exit', (code, name) => this.exited(code, name));
    const [, stdout, stderr, ...others] = this.child.stdio as unknown as (Duplex | undefined)[];
    assert(stdout !== undefined && stderr !== undefined, 'a started command has its pipes');
    this.outputs = [stdout, stderr];
    // When a child exits, Node sets its pipes flowing again.
    for (const output of this.outputs) output.on('resume', () => this.isPaused && output.pause());
    this.listen(stdout, (chunk) => this.received('stdout', chunk));
    this.listen(stderr, (chunk) => this.received('stderr', this.held.push(chunk)));
    if (launch.filter !== undefined) {
      const [status, filter] = others;
      assert(status !== undefined && filter !== undefined, 'a sandbox has its two descriptors');
      this.connectSandbox(status, filter, launch.filter);
    }
    this.deadline = setTimeout(() => this.stop('timeout'), Math.min(spec.timeoutMs, TIMER_MS_MAX));
    if (group !== undefined) this.enter(group, others.at(launch.filter === undefined ? 0 : 2));
  }

  pause(): void {
    this.isPaused = true;
    for (const output of this.outputs) output.pause();
    this.armDrain();
  }

  resume(): void {
    this.isPaused = false;
    for (const output of this.outputs) output.resume();
    this.armDrain();
  }

  limitTo(timeoutMs: Millis): void {
    // What has ended, or is being ended, is not given another time to end.
    if (this.exit !== undefined || this.isOver || this.cause !== 'exit') return;
    clearTimeout(this.deadline);
    const leftMs = this.startedAt + timeoutMs - performance.now();
    // At once, and not by a timer: a later word must not bring back what was over.
    if (leftMs <= 0) this.stop('timeout');
    else this.deadline = setTimeout(() => this.stop('timeout'), Math.min(leftMs, TIMER_MS_MAX));
  }

  kill(cause: 'cancelled'): void {
    // When it has ended already, only output is left, and nobody wants it.
    if (this.exit === undefined) this.stop(cause);
    else this.abandonPipes();
  }

  private listen(pipe: Duplex, onData: (chunk: Uint8Array) => void): void {
    this.pipes.push(pipe);
    this.openPipes++;
    pipe.on('data', onData);
    // A pipe that breaks is a pipe that ends: 'close' follows.
    pipe.on('error', () => {});
    pipe.once('close', () => {
      this.openPipes--;
      this.finishWhenDone();
    });
  }

  private connectSandbox(status: Duplex, filter: Duplex, program: Uint8Array): void {
    this.status = '';
    this.listen(status, (chunk) => {
      const text = Buffer.from(chunk).toString('latin1');
      this.status = ((this.status ?? '') + text).slice(0, STATUS_CHARACTERS_MAX);
    });
    this.pipes.push(filter);
    // bwrap may be gone before it has read the filter: its exit tells why.
    filter.on('error', () => {});
    filter.end(program);
  }

  /** Puts the launcher into its groups, and only then lets it go on. */
  private enter(group: JobGroup, gate: Duplex | undefined): void {
    assert(gate !== undefined && this.child.pid !== undefined, 'a command with a group waits for it');
    this.pipes.push(gate);
    // It may have been killed while it waited.
    gate.on('error', () => {});
    try {
      group.join(this.child.pid);
    } catch (error) {
      signal(this.child.pid, 'SIGKILL');
      const reason = `it could not be put into its control group: ${messageOf(error)}`;
      return this.finish({ kind: 'failed', reason, hint: LOOK_AT_NODE });
    }
    gate.end('\n');
    this.watch = setInterval(() => this.checkBudget(), BUDGET_CHECK_MS);
  }

  private checkBudget(): void {
    const overrun = this.group?.overrun();
    if (overrun === undefined || this.cause !== 'exit' || this.exit !== undefined) return;
    this.cause = overrun;
    // No time to end in: that would be more of what it has had too much of.
    this.killAll();
  }

  private received(stream: 'stdout' | 'stderr', chunk: Uint8Array): void {
    if (this.isOver || chunk.length === 0) return;
    const room = this.spec.outputBytesMax - this.bytes.stdout - this.bytes.stderr;
    const passed = chunk.length <= room ? chunk : chunk.subarray(0, room);
    this.bytes[stream] += passed.length;
    if (passed.length > 0) this.onOutput(stream, passed);
    if (chunk.length > room) this.overflow();
    else this.armDrain();
  }

  private overflow(): void {
    if (this.cause === 'exit') this.cause = 'output-limit';
    // First the end and then the pipes, or a program could still report on the broken pipe.
    this.killAll();
    for (const output of this.outputs) output.destroy();
  }

  private stop(cause: 'timeout' | 'cancelled'): void {
    if (this.exit !== undefined || this.cause !== 'exit') return;
    this.cause = cause;
    this.armDrain();
    if (this.terminate()) this.grace = setTimeout(() => this.killAll(), GRACE_MS);
    else this.killAll();
  }

  /** Asks the program to end. False when it has not come so far that it could be asked. */
  private terminate(): boolean {
    const launcher = this.child.pid;
    if (launcher === undefined) return false;
    // SIGTERM to a launcher would kill everything at once, and process 1 of a namespace ignores it.
    const target = this.launch.killBy === 'namespace' ? programBehind(launcher) : -launcher;
    if (target === undefined) return false;
    signal(target, 'SIGTERM');
    // A stopped program hears nothing else before it goes on.
    signal(target, 'SIGCONT');
    return true;
  }

  private killAll(): void {
    const launcher = this.child.pid;
    if (launcher === undefined || this.exit !== undefined) return;
    const { killBy, marker } = this.launch;
    if (killBy === 'namespace') {
      killNamespace(launcher);
    } else {
      signal(-launcher, 'SIGKILL');
      killMarked(marker, launcher);
    }
    this.group?.kill();
  }

  private exited(code: number | null, name: string | null): void {
    const { killBy, marker } = this.launch;
    // A namespace that was made has died with its launcher. One that a killed launcher was still making may go on without it,
    // since process 1 asks to die with it late; and a group has to be cleared in any case.
    if ((killBy === 'group' || name !== null) && this.child.pid !== undefined) {
      killMarked(marker, this.child.pid);
    }
    clearTimeout(this.deadline);
    clearTimeout(this.grace);
    this.leaveGroup(code, name);
    this.exit = { code, signal: name, at: performance.now() };
    this.armDrain();
    this.finishWhenDone();
  }

  /** The last look at what it used, before the count is gone. */
  private leaveGroup(code: number | null, name: string | null): void {
    clearInterval(this.watch);
    // The kernel's own limit, for each process, ends what the agent had no time to look at.
    const byKernel = name === 'SIGXCPU' || code === 128 + constants.signals.SIGXCPU;
    if (this.cause === 'exit') {
      if (this.group?.overrun() === 'memory-limit') this.cause = 'memory-limit';
      else if (byKernel && this.spec.budget?.cpuMs !== undefined) this.cause = 'cpu-limit';
    }
    this.group?.kill();
    this.group?.remove();
  }

  private notStarted(error: Error): void {
    // Also emitted for signals that could not be sent, which is no news.
    if (this.child.pid !== undefined) return;
    this.group?.remove();
    this.finish({
      kind: 'failed',
      reason: `${this.launch.file} could not be started: ${error.message}`,
      hint: spawnHint(this.launch, error.message),
    });
  }

  /** Somebody who outlived the program may hold a pipe for ever. A reader who takes their time is waited for. */
  private armDrain(): void {
    clearTimeout(this.drain);
    if (this.exit === undefined || this.isOver) return;
    if (this.isPaused && this.cause !== 'cancelled') return;
    this.drain = setTimeout(() => this.abandonPipes(), DRAIN_MS);
  }

  private abandonPipes(): void {
    for (const pipe of this.pipes) pipe.destroy();
  }

  private finishWhenDone(): void {
    if (this.exit === undefined || this.openPipes > 0 || this.isOver) return;
    const { code } = this.exit;
    const exit = { code, text: this.held.text, stdoutBytes: this.bytes.stdout, status: this.status };
    const failure = this.cause === 'exit' ? launchFailure(this.spec, exit) : undefined;
    if (failure === undefined) this.received('stderr', this.held.release());
    this.finish(failure === undefined ? this.endOf(this.exit) : { kind: 'failed', ...failure });
  }

  private endOf(exit: NonNullable<typeof this.exit>): CommandEnd {
    // Launchers report a death by signal n as 128 + n. Only for the signal that was sent from here is it certain.
    const wasTerminated = this.grace !== undefined && exit.code === 128 + constants.signals.SIGTERM;
    return {
      kind: 'ended',
      code: wasTerminated ? null : exit.code,
      signal: wasTerminated ? 'SIGTERM' : exit.signal,
      cause: this.cause,
      ...limitOf(this.cause, this.spec),
      durationMs: exit.at - this.startedAt,
      stdoutBytes: this.bytes.stdout,
      stderrBytes: this.bytes.stderr,
    };
  }

  private finish(end: CommandEnd): void {
    if (this.isOver) return;
    this.isOver = true;
    clearTimeout(this.drain);
    for (const pipe of this.pipes) pipe.destroy();
    this.settle(end);
  }
}

function limitOf(cause: Cause, { outputBytesMax, budget }: CommandSpec): { readonly limit?: number } {
  const limits: Partial<Record<Cause, number | undefined>> = {
    'output-limit': outputBytesMax,
    'cpu-limit': budget?.cpuMs,
    'memory-limit': budget?.memoryBytes,
  };
  const limit = limits[cause];
  return limit === undefined ? {} : { limit };
}
