import type { Millis } from '../../lib/time.ts';
import type { SessionState } from '../model/state.ts';
import { placeOf, spokenLines, spokenNews } from '../screens/spoken.ts';
import type { Display, DisplayHandlers } from './display.ts';

/** Nobody can listen to more than this. */
const BETWEEN_NEWS_MS: Millis = 1000;
/** Longest line that is taken. The kernel's own limit in line mode is 4096. */
const LINE_LENGTH_MAX = 64 * 1024;

const INTRODUCTION = `fanout: the session in lines. A line of text replaces the text that is being edited.
fanout: Keys are typed by name behind a colon: :enter goes on, or runs; :escape goes back; :? lists the keys; :ctrl-c leaves.
`;

/**
 * The session for screen readers and for terminals that cannot move their cursor: what was asked for is said as lines, once;
 * what happens by itself is one sentence, at most one a second. Nothing is redrawn, and nothing but text is written.
 */
export class SpokenDisplay implements Display {
  /** Room enough for everything that a screen has to say. */
  readonly columns = 120;
  readonly rows = 30;
  private readonly handlers: DisplayHandlers;
  private typed = '';
  private said: readonly string[] = [];
  private place = '';
  private news = '';
  private newsAt: Millis = Number.NEGATIVE_INFINITY;
  private newsTimer: NodeJS.Timeout | undefined;
  private isAsked = true;
  private isClosed = false;
  private readonly decoder = new TextDecoder();
  private readonly onData = (chunk: Uint8Array): void => this.received(chunk);
  private readonly onEnd = (): void => this.handlers.ended();
  private readonly onInterrupt = (): void => {
    this.isAsked = true;
    this.handlers.keys([{ kind: 'key', name: 'ctrl-c' }]);
  };

  constructor(handlers: DisplayHandlers) {
    this.handlers = handlers;
  }

  get isBehind(): boolean {
    return process.stdout.writableNeedDrain;
  }

  enter(): void {
    const { stdin, stdout } = process;
    for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, this.onEnd);
    process.on('SIGINT', this.onInterrupt);
    stdout.on('error', this.onEnd);
    stdin.on('error', this.onEnd);
    stdin.on('end', this.onEnd);
    stdin.on('data', this.onData);
    stdout.write(INTRODUCTION);
  }

  show(state: SessionState): void {
    if (this.isClosed) return;
    clearTimeout(this.newsTimer);
    if (this.isAsked) return this.sayScreen(state);
    const news = spokenNews(state);
    if (news === this.news && placeOf(state) === this.place) return;
    const waitMs = this.newsAt + BETWEEN_NEWS_MS - performance.now();
    // The last word counts: what was true in between need not be heard.
    if (waitMs > 0) this.newsTimer = setTimeout(() => this.show(state), waitMs);
    else if (placeOf(state) !== this.place) this.sayScreen(state);
    else this.sayNews(news);
  }

  forget(): void {
    this.place = '';
  }

  suspend(): void {
    process.kill(0, 'SIGTSTP');
  }

  async handOver(use: () => Promise<void>): Promise<void> {
    process.stdin.off('data', this.onData).pause();
    try {
      await use();
    } finally {
      if (!this.isClosed) {
        process.stdin.on('data', this.onData).resume();
        this.handlers.returned();
      }
    }
  }

  close(): void {
    this.isClosed = true;
    clearTimeout(this.newsTimer);
    for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.off(signal, this.onEnd);
    process.off('SIGINT', this.onInterrupt);
    process.stdin.off('data', this.onData).off('end', this.onEnd).pause();
  }

  /** The whole screen where it is a new one, else the lines of it that are new. */
  private sayScreen(state: SessionState): void {
    const lines = spokenLines(state);
    const place = placeOf(state);
    const isNew = place !== this.place;
    const fresh = isNew ? lines : lines.filter((line) => !this.said.includes(line));
    this.write(fresh.length === 0 ? ['no change'] : fresh);
    this.said = lines;
    this.place = place;
    this.news = spokenNews(state);
    this.isAsked = false;
  }

  private sayNews(news: string): void {
    this.news = news;
    if (news !== '') this.write([news]);
  }

  private write(lines: readonly string[]): void {
    this.newsAt = performance.now();
    process.stdout.write(lines.map((line) => `${line}\n`).join(''));
  }

  private received(chunk: Uint8Array): void {
    const lines = (this.typed + this.decoder.decode(chunk, { stream: true })).split(/\r\n|\r|\n/);
    this.typed = (lines.pop() ?? '').slice(0, LINE_LENGTH_MAX);
    for (const line of lines) {
      this.isAsked = true;
      this.handlers.line(line);
    }
  }
}
