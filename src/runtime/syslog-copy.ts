import { type ChildProcess, spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import { parseAuditLine } from '../identity/audit-record.ts';
import { utf8 } from '../lib/bytes.ts';
import { FanoutError } from '../lib/errors.ts';
import type { Millis } from '../lib/time.ts';

/** Debian's bsdutils. Node has no unix datagram sockets. */
const LOGGER = '/usr/bin/logger';
/** What rsyslog takes by default. A record above it is sent without its longest part, the command. */
const LINE_BYTES_MAX = 8000;
/** Lines that wait while the program or the system log is slow. More are counted, not kept. */
const WAITING_BYTES_MAX = 1024 * 1024;
/** Pause before the program is started again. */
const RESTART_MS_MIN: Millis = 1000;
const RESTART_MS_MAX: Millis = 60_000;
/** How long the end of the agent waits for what is still on its way. */
const CLOSE_MS_MAX: Millis = 2000;

export interface SyslogCopyOptions {
  /** Tells the people of this node. */
  readonly warn: (text: string) => void;
  /** The datagram socket of the system log. */
  readonly socket?: string;
  readonly logger?: string;
  readonly restartMs?: Millis;
}

/**
 * A copy of audit records for the system log, as RFC 5424, through a `logger` that lives as long as the agent. It is a
 * copy: what is lost on this way is counted and told, and neither holds the agent up nor stops it.
 */
export class SyslogCopy {
  private readonly options: SyslogCopyOptions;
  private child: ChildProcess | undefined;
  private restartTimer: NodeJS.Timeout | undefined;
  private readonly firstPauseMs: Millis;
  private restartMs: Millis;
  private isClosed = false;
  /** Lines that are not in the program's pipe yet. */
  private onTheWay = 0;
  private hasSent = false;
  private waitingBytes = 0;
  private lost = 0;

  private constructor(options: SyslogCopyOptions) {
    this.options = options;
    this.firstPauseMs = options.restartMs ?? RESTART_MS_MIN;
    this.restartMs = this.firstPauseMs;
    this.start();
  }

  /** Throws FanoutError CONFIG when there is no `logger`. */
  static start(options: SyslogCopyOptions): SyslogCopy {
    const { logger = LOGGER } = options;
    if (statSync(logger, { throwIfNoEntry: false })?.isFile() !== true) {
      throw new FanoutError('CONFIG', `--audit-syslog needs ${logger}, which is not here`, {
        hint: 'Install it: apt-get install bsdutils',
      });
    }
    return new SyslogCopy(options);
  }

  /** Sends a line of the audit log. Never throws and never waits. */
  send(line: Uint8Array): void {
    const child = this.child;
    if (child?.stdin === undefined || child.stdin === null || this.waitingBytes > WAITING_BYTES_MAX) {
      this.lost++;
      return;
    }
    if (this.lost > 0) {
      const lost = this.lost;
      this.lost = 0;
      this.options.warn(`at least ${lost} audit records were not copied to the system log`);
      this.write(child, utf8(JSON.stringify({ event: 'not-copied', records: lost })));
    }
    this.write(child, line.length > LINE_BYTES_MAX ? shortened(line) : line);
  }

  /** Ends the program once it has what was sent; resolves when it is gone. */
  close(): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.restartTimer);
    const { child } = this;
    if (child === undefined) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(() => child.kill('SIGKILL'), CLOSE_MS_MAX);
      child.once('close', () => {
        clearTimeout(timer);
        resolve();
      });
      child.stdin?.end();
    });
  }

  private write(child: ChildProcess, line: Uint8Array): void {
    this.onTheWay++;
    this.hasSent = true;
    this.waitingBytes += line.length;
    child.stdin?.write(Buffer.concat([line, Buffer.from('\n')]), (error) => {
      this.waitingBytes -= line.length;
      // Those of a program that has ended were counted when it did.
      if (child !== this.child || (error !== null && error !== undefined)) return;
      this.onTheWay--;
    });
  }

  private start(): void {
    const { logger = LOGGER, socket = '/dev/log' } = this.options;
    const args = ['--socket', socket, '--socket-errors=on', '--rfc5424', '--tag', 'fanout'];
    args.push('--id', '--priority', 'authpriv.notice', '--size', '65536', '--skip-empty');
    // It inherits neither the agent's environment nor any of its files.
    const child = spawn(logger, args, { stdio: ['pipe', 'ignore', 'pipe'], env: {} });
    this.child = child;
    const startedAt = performance.now();
    let complaint = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      complaint = (complaint + text).slice(-500);
    });
    // The end of the program is told by "close", and a write that failed by its own callback.
    child.stdin?.on('error', () => {});
    child.on('error', (error) => {
      complaint ||= error.message;
    });
    child.on('close', () => {
      if (performance.now() - startedAt > RESTART_MS_MAX) this.restartMs = this.firstPauseMs;
      this.ended(complaint);
    });
  }

  private ended(complaint: string): void {
    // What was in the pipe is gone too, and nobody knows how much that was: at least what it ended over.
    this.lost += Math.max(this.onTheWay, this.hasSent ? 1 : 0);
    this.onTheWay = 0;
    this.hasSent = false;
    this.child = undefined;
    if (this.isClosed) return;
    const why = complaint.trim().split('\n').at(-1) ?? '';
    const pause = `it is started again in ${Math.round(this.restartMs / 1000)} s`;
    this.options.warn(`audit records do not reach the system log${why === '' ? '' : ` (${why})`}; ${pause}`);
    this.restartTimer = setTimeout(() => this.start(), this.restartMs);
    this.restartTimer.unref();
    this.restartMs = Math.min(2 * this.restartMs, RESTART_MS_MAX);
  }
}

/** A record without its command: number, hash of the one before, who and what stay. */
function shortened(line: Uint8Array): Uint8Array {
  const fields = Object.entries(parseAuditLine(line)?.fields ?? {});
  const kept = fields.filter(([name]) => name !== 'argv' && name !== 'reason');
  const text = utf8(JSON.stringify({ ...Object.fromEntries(kept), cut: true }));
  return text.length <= LINE_BYTES_MAX ? text : utf8('{"event":"too-long","cut":true}');
}
