import type { DisplayHandlers } from './display.ts';
import { KeyParser } from './keys.ts';

const ENTER = '\u001b[?1049h\u001b[?2004h\u001b[?25l';
const LEAVE = '\u001b[?2026l\u001b[0m\u001b[?25h\u001b[?2004l\u001b[?1049l';
/** A lone Escape is one when nothing has come for so long. */
const ESCAPE_MS = 40;
const NOT_STOPPED_MS = 100;

/**
 * The real terminal: raw mode, the alternate screen, bracketed paste. However the session ends, `leave` puts everything back,
 * once; it also runs when the process exits in any other way.
 */
export class Terminal {
  private readonly handlers: DisplayHandlers;
  private readonly parser = new KeyParser();
  private isEntered = false;
  private isHandedOver = false;
  private isClosed = false;
  private escapeTimer: NodeJS.Timeout | undefined;
  private readonly onData = (chunk: Uint8Array): void => this.received(chunk);
  private readonly onResize = (): void => this.handlers.resized();
  private readonly onEnd = (): void => this.handlers.ended();
  private readonly onExit = (): void => this.leave();
  private readonly onContinue = (): void => this.comeBack();

  constructor(handlers: DisplayHandlers) {
    this.handlers = handlers;
  }

  get columns(): number {
    return process.stdout.columns ?? 80;
  }

  get rows(): number {
    return process.stdout.rows ?? 24;
  }

  enter(): void {
    const { stdin, stdout } = process;
    process.on('exit', this.onExit);
    for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, this.onEnd);
    process.on('SIGCONT', this.onContinue);
    stdout.on('error', this.onEnd);
    stdin.on('error', this.onEnd);
    stdin.on('end', this.onEnd);
    stdin.on('data', this.onData);
    stdout.on('resize', this.onResize);
    this.take();
  }

  write(text: string): void {
    if (this.isEntered && text !== '') process.stdout.write(text);
  }

  /** Whether the terminal still has to take what was written: then nothing more is drawn for the moment. */
  get isBehind(): boolean {
    return process.stdout.writableNeedDrain;
  }

  leave(): void {
    if (!this.isEntered) return;
    this.isEntered = false;
    clearTimeout(this.escapeTimer);
    try {
      process.stdin.setRawMode(false);
      process.stdout.write(LEAVE);
    } catch {
      // A terminal that is gone needs nothing put back.
    }
    process.stdin.pause();
  }

  /** Ends the use of the terminal for good. */
  close(): void {
    this.isClosed = true;
    this.leave();
    const { stdin, stdout } = process;
    process.off('exit', this.onExit);
    for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.off(signal, this.onEnd);
    process.off('SIGCONT', this.onContinue);
    stdin.off('data', this.onData);
    stdin.off('end', this.onEnd);
    stdout.off('resize', this.onResize);
  }

  /** Ctrl-Z: gives the terminal back to the shell until `fg`. */
  suspend(): void {
    this.leave();
    process.kill(0, 'SIGTSTP');
    // Where no shell waits to bring it back, the system does not stop a process: then the session goes on.
    setTimeout(() => this.comeBack(), NOT_STOPPED_MS);
  }

  /** Lets another program have the terminal, such as a pager. */
  async handOver(use: () => Promise<void>): Promise<void> {
    this.isHandedOver = true;
    // Ctrl-C is for the other program: it goes to all that hang on this terminal.
    const ignore = (): void => {};
    process.on('SIGINT', ignore);
    this.leave();
    process.stdin.off('data', this.onData);
    try {
      await use();
    } finally {
      process.off('SIGINT', ignore);
      this.isHandedOver = false;
      if (!this.isClosed) {
        process.stdin.on('data', this.onData);
        this.take();
        this.handlers.returned();
      }
    }
  }

  private take(): void {
    this.isEntered = true;
    process.stdin.setRawMode(true);
    process.stdin.resume();
    process.stdout.write(ENTER);
  }

  private comeBack(): void {
    if (this.isEntered || this.isHandedOver || this.isClosed) return;
    this.take();
    this.handlers.returned();
  }

  private received(chunk: Uint8Array): void {
    clearTimeout(this.escapeTimer);
    const events = this.parser.push(chunk, performance.now());
    if (events.length > 0) this.handlers.keys(events);
    if (!this.parser.isWaiting) return;
    this.escapeTimer = setTimeout(() => {
      const rest = this.parser.flush();
      if (rest.length > 0) this.handlers.keys(rest);
    }, ESCAPE_MS);
  }
}
