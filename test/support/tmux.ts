import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { eventually, hasProgram } from './processes.ts';

/** Whether tmux is here. In continuous integration it must be: nothing is skipped there. */
export const HAS_TMUX = hasProgram('tmux');

if (!HAS_TMUX) {
  if (process.env.CI === 'true') throw new Error('tmux is missing: apt-get install tmux');
  process.stderr.write('SKIPPED: tests in a real terminal. To run them: apt-get install tmux\n');
}

/** Longer than the session takes a line end for a part of what came before it. */
const AFTER_TEXT_MS = 150;

/** A command in a real terminal: keys in, screens out. */
export class Tmux {
  private readonly server = `fanout-${process.pid}-${randomBytes(4).toString('hex')}`;

  /** Starts a shell line in a terminal of 80 by 24. The terminal stays when the line has ended. */
  constructor(line: string, env: NodeJS.ProcessEnv, columns = 80, rows = 24) {
    // A build machine is no terminal to the session; this one is.
    const clean = { ...env, TERM: 'xterm-256color' };
    for (const name of ['CI', 'NO_COLOR', 'TMUX']) delete (clean as Record<string, string | undefined>)[name];
    const size = ['-x', String(columns), '-y', String(rows)];
    const made = spawnSync(
      'tmux',
      ['-L', this.server, '-f', '/dev/null', 'new-session', '-d', ...size, 'exec bash --norc --noprofile'],
      { env: { ...clean, PS1: '$ ', HISTFILE: '' } },
    );
    if (made.status !== 0) throw new Error(`tmux: ${made.stderr}`);
    this.run('set-option', '-g', 'remain-on-exit', 'on');
    this.type(line);
    this.press('Enter');
  }

  /** Types text as it stands. It arrives at once, as a paste does, and Enter counts as a part of that for 30 ms. */
  type(text: string): void {
    this.run('send-keys', '-l', text);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, AFTER_TEXT_MS);
  }

  /** Presses keys by tmux's names, one after the other. */
  press(...keys: readonly string[]): void {
    for (const key of keys) this.run('send-keys', key);
  }

  /** The lines of the screen. */
  get screen(): string {
    return this.run('capture-pane', '-p');
  }

  /** With the scrollback above it. */
  get everything(): string {
    return this.run('capture-pane', '-p', '-S', '-');
  }

  /** Whether a full-screen program has the terminal, and whether the cursor shows. */
  get flags(): { alternate: boolean; cursor: boolean } {
    const [alternate, cursor] = this.run('display-message', '-p', '#{alternate_on} #{cursor_flag}')
      .trim()
      .split(' ');
    return { alternate: alternate === '1', cursor: cursor === '1' };
  }

  resize(columns: number, rows: number): void {
    this.run('resize-window', '-x', String(columns), '-y', String(rows));
  }

  /** Waits until the screen shows this. */
  async shows(wanted: string | RegExp, timeoutMs = 30_000): Promise<string> {
    let last = '';
    try {
      return await eventually(
        `the screen to show ${wanted}`,
        () => {
          last = this.screen;
          const found = typeof wanted === 'string' ? last.includes(wanted) : wanted.test(last);
          return found ? last : undefined;
        },
        timeoutMs,
      );
    } catch (error) {
      throw new Error(`${(error as Error).message}; it shows:\n${last}`);
    }
  }

  stop(): void {
    spawnSync('tmux', ['-L', this.server, 'kill-server']);
  }

  private run(...args: readonly string[]): string {
    const { status, stdout, stderr } = spawnSync('tmux', ['-L', this.server, ...args], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`tmux ${args[0]}: ${stderr}`);
    return stdout;
  }
}
