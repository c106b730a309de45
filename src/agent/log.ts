import loglevel from 'loglevel';
import { timestamp } from '../lib/timestamp.ts';

/** What the agent's rooms log with. */
export interface Log {
  debug(text: string): void;
  info(text: string): void;
  warn(text: string): void;
  error(text: string): void;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];
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

/** A log in Serf's line format: `2026/01/02 03:04:05 [INFO] agent: text`. One line an entry, whatever the text holds. */
export function createLog(level: LogLevel, write: (line: string) => void, watch = new LogWatch()): Log {
  const logger = loglevel.getLogger('agent');
  const least = LEVELS.indexOf(level);
  logger.methodFactory = (method) => (text: string) => {
    const at = LEVELS.find((known) => known === method) ?? 'info';
    const line = `${timestamp(new Date())} [${LABEL[at]}] agent: ${text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, ' ')}`;
    watch.add(at, line);
    if (LEVELS.indexOf(at) >= least) write(line);
  };
  // Whoever watches may want more than the log itself.
  logger.setLevel('debug', false);
  return logger;
}
