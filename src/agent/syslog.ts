import { LineChild } from '../runtime/line-child.ts';
import type { LogLevel } from './log.ts';

/** Of RFC 5424, in the order of their numbers. */
const FACILITIES = [
  ...['kern', 'user', 'mail', 'daemon', 'auth', 'syslog', 'lpr', 'news', 'uucp', 'cron', 'authpriv', 'ftp'],
  ...['', '', '', ''],
  ...['local0', 'local1', 'local2', 'local3', 'local4', 'local5', 'local6', 'local7'],
];
const SEVERITY: Readonly<Record<LogLevel, number>> = { debug: 7, info: 6, warn: 4, error: 3 };
/** Longer messages are cut by the system log's own program. */
const MESSAGE_BYTES_MAX = 8192;

export interface SyslogOptions {
  /** A name such as `local0`; one that nobody knows is `user`. */
  readonly facility: string;
  /** Said once for each time that the system log cannot be reached. */
  readonly onTrouble: (text: string) => void;
  /** Another socket than /dev/log. */
  readonly socket?: string;
}

/**
 * The system log, by way of logger(1), because Node has no unix datagram sockets. Lines go to its standard input; when
 * it ends it is started again, and how many lines were lost meanwhile is the next line.
 */
export class Syslog {
  private readonly child: LineChild;
  private readonly facility: number;

  constructor(options: SyslogOptions) {
    const at = FACILITIES.indexOf(options.facility);
    this.facility = at < 0 ? FACILITIES.indexOf('user') : at;
    const socket = options.socket === undefined ? [] : ['--socket', options.socket];
    this.child = new LineChild({
      file: 'logger',
      args: [
        ...['--tag', 'fanout', `--id=${process.pid}`, '--prio-prefix', '--skip-empty'],
        ...['--size', String(MESSAGE_BYTES_MAX), '--socket-errors=on', ...socket],
      ],
      onEnd: (reason) => options.onTrouble(`the system log cannot be reached and is tried again: ${reason}`),
      onLost: (count) => this.write('warn', `${count} lines were lost: the system log did not take them`),
    });
  }

  write(level: LogLevel, text: string): void {
    this.child.write(`<${this.facility * 8 + SEVERITY[level]}>${text}`);
  }

  close(): Promise<void> {
    return this.child.close();
  }
}
