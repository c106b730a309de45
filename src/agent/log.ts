import loglevel from 'loglevel';

/** What the agent's rooms log with. */
export interface Log {
  debug(text: string): void;
  info(text: string): void;
  warn(text: string): void;
  error(text: string): void;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

const LABEL: Readonly<Record<string, string>> = { debug: 'DEBUG', info: 'INFO', warn: 'WARN', error: 'ERR' };

/** A log in Serf's line format: `2026/01/02 03:04:05 [INFO] agent: text`. One line an entry, whatever the text holds. */
export function createLog(level: LogLevel, write: (line: string) => void): Log {
  const logger = loglevel.getLogger('agent');
  logger.methodFactory = (method) => (text: string) => {
    write(
      `${timestamp(new Date())} [${LABEL[method] ?? 'INFO'}] agent: ${text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, ' ')}`,
    );
  };
  logger.setLevel(level, false);
  return logger;
}

function timestamp(date: Date): string {
  const two = (number: number): string => String(number).padStart(2, '0');
  const day = `${date.getFullYear()}/${two(date.getMonth() + 1)}/${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}
