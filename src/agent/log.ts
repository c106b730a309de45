import loglevel from 'loglevel';
import { safeJson } from '../lib/sanitise.ts';
import { timestamp } from '../lib/timestamp.ts';

/** What the agent's rooms log with. */
export interface Log {
  debug(text: string): void;
  info(text: string): void;
  warn(text: string): void;
  error(text: string): void;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFormat = 'text' | 'json';

const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];
/** Serf's words for levels, and the one that others write, in small letters. Nothing is said below debug. */
export const LOG_LEVELS: Readonly<Record<string, LogLevel>> = {
  trace: 'debug',
  debug: 'debug',
  info: 'info',
  warn: 'warn',
  err: 'error',
  error: 'error',
};
const LABEL: Readonly<Record<LogLevel, string>> = {
  debug: 'DEBUG',
  info: 'INFO',
  warn: 'WARN',
  error: 'ERR',
};
/** Lines that whoever starts to watch gets first, as Serf keeps them. */
const RECENT_LINES = 512;
/** A line can quote a whole command; so much of it is kept for them. */
const LINE_CHARACTERS_MAX = 4096;

/** The lines of the log for those who watch it, whatever the level of the log itself. */
export class LogWatch {
  private recent: { readonly level: LogLevel; readonly line: string }[] = [];
  private readonly watchers = new Set<(level: LogLevel, line: string) => void>();

  add(level: LogLevel, text: string): void {
    const line = text.slice(0, LINE_CHARACTERS_MAX);
    this.recent.push({ level, line });
    if (this.recent.length >= 2 * RECENT_LINES) this.recent = this.recent.slice(-RECENT_LINES);
    for (const watcher of this.watchers) watcher(level, line);
  }

  /** Calls back with each line from a level on, the recent ones first, until the function that comes back is called. */
  watch(from: LogLevel, listener: (line: string) => void): () => void {
    const least = LEVELS.indexOf(from);
    const watcher = (level: LogLevel, line: string): void => {
      if (LEVELS.indexOf(level) >= least) listener(line);
    };
    for (const { level, line } of this.recent.slice(-RECENT_LINES)) watcher(level, line);
    this.watchers.add(watcher);
    return () => void this.watchers.delete(watcher);
  }
}

export interface LogSink {
  /** One line, without its end, as the format says. */
  readonly write: (line: string) => void;
  /** The same for the system log: the text alone, in one line. */
  readonly syslog?: (level: LogLevel, text: string) => void;
}

export interface LogOptions {
  /** Asked for each entry: SIGHUP may change it. */
  readonly level: () => LogLevel;
  readonly format: LogFormat;
  readonly watch: LogWatch;
}

/**
 * A log in Serf's line format, `2026/01/02 03:04:05 [INFO] agent: text`, or as JSON objects. One line an entry, whatever
 * the text holds. Those who watch get Serf's format always.
 */
export function createLog(options: LogOptions, sink: LogSink): Log {
  const logger = loglevel.getLogger('agent');
  logger.methodFactory = (method) => (text: string) => {
    const level = LEVELS.find((known) => known === method) ?? 'info';
    const now = new Date();
    const clean = text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, ' ');
    const line = `${timestamp(now)} [${LABEL[level]}] agent: ${clean}`;
    options.watch.add(level, line);
    if (LEVELS.indexOf(level) < LEVELS.indexOf(options.level())) return;
    sink.write(options.format === 'json' ? jsonLine(now, level, clean) : line);
    sink.syslog?.(level, clean);
  };
  // Whoever watches may want more than the log itself.
  logger.setLevel('debug', false);
  return logger;
}

function jsonLine(time: Date, level: LogLevel, message: string): string {
  return safeJson({ time: time.toISOString(), level, subsystem: 'agent', message });
}
