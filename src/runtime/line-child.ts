import { type ChildProcess, spawn } from 'node:child_process';
import type { Writable } from 'node:stream';
import type { Millis } from '../lib/time.ts';
import { COMMAND_ENVIRONMENT } from './environment.ts';

/** What a child may be behind. Beyond this lines are left out: who writes them must not wait, nor grow. */
const BEHIND_BYTES_MAX = 256 * 1024;
/** A child that ends is started again after this, and after twice as long each time that it ends at once. */
const RESTART_MS: Millis = 1000;
const RESTART_MS_MAX: Millis = 60_000;
/** A child that lived so long has worked. */
const WORKED_MS: Millis = 10_000;
/** How long the last lines may take at the end. */
const FLUSH_MS: Millis = 2000;
const REASON_CHARACTERS_MAX = 200;

export interface LineChildOptions {
  readonly file: string;
  /** Fixed: no part of a line ever becomes an argument. */
  readonly args: readonly string[];
  /** The child ended, or could not be started. It is started again. */
  readonly onEnd: (reason: string) => void;
  /** Told before the next line that is taken: so many lines were lost. */
  readonly onLost: (count: number) => void;
}

/** A program that is fed lines on its standard input as long as the agent lives. It never blocks nor stops the agent. */
export class LineChild {
  private readonly options: LineChildOptions;
  private child: ChildProcess | undefined;
  private input: Writable | undefined;
  private timer: NodeJS.Timeout | undefined;
  private delayMs = RESTART_MS;
  private lost = 0;
  private isClosed = false;

  constructor(options: LineChildOptions) {
    this.options = options;
    this.start();
  }

  /** Hands a line over, without its end. One that cannot be taken now is counted and left out. */
  write(line: string): void {
    const { input } = this;
    if (input === undefined || input.writableLength > BEHIND_BYTES_MAX) {
      this.lost++;
      return;
    }
    const { lost } = this;
    this.lost = 0;
    if (lost > 0) this.options.onLost(lost);
    input.write(`${line.replace(/[\r\n]+/g, ' ')}\n`);
  }

  /** Lets the child read what it was given, and ends it. */
  async close(): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.timer);
    const { child, input } = this;
    this.input = undefined;
    if (child === undefined) return;
    const gone = new Promise<void>((resolve) => child.once('close', () => resolve()));
    input?.end();
    const timer = setTimeout(() => child.kill('SIGKILL'), FLUSH_MS);
    await gone;
    clearTimeout(timer);
  }

  private start(): void {
    const startedAt = performance.now();
    const child = spawn(this.options.file, this.options.args, {
      env: COMMAND_ENVIRONMENT,
      stdio: ['pipe', 'ignore', 'pipe'],
    });
    let reason = '';
    child.stderr.on('data', (chunk) => {
      reason = (reason + String(chunk)).slice(-REASON_CHARACTERS_MAX);
    });
    child.stdin.on('error', () => {});
    child.once('error', (error) => this.ended(startedAt, error.message));
    child.once('close', (code, signal) =>
      this.ended(startedAt, reason.trim() || `it ended with ${signal ?? code}`),
    );
    this.child = child;
    this.input = child.stdin;
  }

  private ended(startedAt: Millis, reason: string): void {
    if (this.child === undefined) return;
    this.child = undefined;
    this.input = undefined;
    if (this.isClosed) return;
    if (performance.now() - startedAt > WORKED_MS) this.delayMs = RESTART_MS;
    this.options.onEnd(reason);
    this.timer = setTimeout(() => this.start(), this.delayMs);
    this.timer.unref();
    this.delayMs = Math.min(RESTART_MS_MAX, this.delayMs * 2);
  }
}
