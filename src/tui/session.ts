import { exportRun } from '../asker/export.ts';
import { readHistory } from '../asker/history.ts';
import { openAsker } from '../asker/launch.ts';
import { findRun, listRuns, RunRecord } from '../asker/run-record.ts';
import { OutputSearch } from '../asker/search.ts';
import type { Unlocking } from '../asker/unlock.ts';
import { isSecurityKey } from '../identity/ssh-key.ts';
import { FanoutError, stackOf } from '../lib/errors.ts';
import { sanitiseText } from '../lib/sanitise.ts';
import { formatDuration, type Millis } from '../lib/time.ts';
import { commandText } from '../policy/command-text.ts';
import { diffTexts } from '../run/diff.ts';
import { exitCode } from '../run/model.ts';
import { countOutcomes } from '../run/outcome.ts';
import { ClusterWatch } from './drivers/cluster.ts';
import { SessionRuns } from './drivers/runs.ts';
import { isRunning } from './model/go.ts';
import type { Effect, Message } from './model/messages.ts';
import { initialState, type SessionState } from './model/state.ts';
import { keysOfLine } from './model/typed-line.ts';
import { update } from './model/update.ts';
import type { Canvas } from './terminal/canvas.tsx';
import { runPager } from './terminal/child.ts';
import type { Display, DisplayHandlers } from './terminal/display.ts';
import { LiveDisplay } from './terminal/live-display.ts';
import { SpokenDisplay } from './terminal/spoken-display.ts';

/** Between two frames: while somebody types, and while only a run goes on. */
const FRAME_MS: Millis = 30;
const STREAM_FRAME_MS: Millis = 100;
const TICK_MS: Millis = 100;
const CLOCK_MS: Millis = 1000;
/** How long leaving waits for the nodes to confirm that what ran is dead. */
const FINISH_MS: Millis = 5000;
/** A search works so long before the keys get their turn. */
const SEARCH_SLICE_MS: Millis = 8;
const RUNS_SHOWN = 200;
const DIFF_LENGTH_MAX = 4 * 1024 * 1024;

export interface SessionOptions extends Unlocking {
  readonly selector: string;
  readonly hasColours: boolean;
  readonly ascii: boolean;
  /** Lines instead of a live screen. */
  readonly isSpoken: boolean;
  readonly identity?: string;
  readonly rpcAddr?: string;
}

/** The interactive session, until the person leaves it. Returns the exit code of the last run, 0 when there was none. */
export async function runSession(options: SessionOptions): Promise<number> {
  let session: Session | undefined;
  // What has to be asked is asked before there is a screen. What is to be said may come later as well.
  const say = (text: string): void => (session === undefined ? options.say?.(text) : session.say(text));
  // Ink alone is loaded apart, and only for a live screen: see scripts/build.mjs.
  const ink = options.isSpoken ? undefined : await import('./terminal/canvas.tsx');
  const asker = await openAsker({ ...options, say });
  session = new Session(options, asker, ink && new ink.Canvas(options.hasColours));
  return session.run();
}

/** The edge of the session: keys and news become messages, effects become deeds, states become frames. */
class Session {
  private readonly display: Display;
  private readonly cluster: ClusterWatch;
  private readonly runs: SessionRuns;
  private state: SessionState;
  private drawTimer: NodeJS.Timeout | undefined;
  private drawnAt: Millis = 0;
  private clock: NodeJS.Timeout | undefined;
  private search: OutputSearch | undefined;
  private end: (code: number) => void = () => {};
  private isOver = false;

  constructor(options: SessionOptions, asker: Awaited<ReturnType<typeof openAsker>>, canvas?: Canvas) {
    const handlers: DisplayHandlers = {
      keys: (events) => {
        for (const key of events) this.dispatch({ kind: 'key', key });
        this.drawSoon(0);
      },
      line: (text) => {
        for (const key of keysOfLine(this.state, text)) this.dispatch({ kind: 'key', key });
        this.drawSoon(0);
      },
      resized: () => {
        const { columns, rows } = this.display;
        this.display.forget();
        this.dispatch({ kind: 'resize', columns, rows });
      },
      returned: () => this.redraw(),
      ended: () => this.quit(false),
    };
    this.display =
      canvas === undefined ? new SpokenDisplay(handlers) : new LiveDisplay(handlers, canvas, options);
    this.state = initialState({
      columns: this.display.columns,
      rows: this.display.rows,
      now: performance.now(),
      unixMs: Date.now(),
      zoneMinutes: -new Date().getTimezoneOffset(),
      selector: options.selector,
      // Each question is signed: a security key would have to be touched at every pause in typing.
      asksByItself: !isSecurityKey(asker.key.publicKey),
    });
    this.runs = new SessionRuns(asker, (message) => this.dispatch(message));
    this.cluster = new ClusterWatch(
      asker,
      (message) => this.dispatch(message),
      (info) => this.runs.agentChanged(info),
    );
  }

  async run(): Promise<number> {
    const code = new Promise<number>((resolve) => {
      this.end = resolve;
    });
    const crashed = (error: unknown): void => this.crash(error);
    process.on('uncaughtException', crashed);
    process.on('unhandledRejection', crashed);
    this.display.enter();
    this.draw();
    this.loadHistory();
    void this.loadSelections();
    this.cluster.start();
    this.tickLater();
    const result = await code;
    process.off('uncaughtException', crashed);
    process.off('unhandledRejection', crashed);
    return result;
  }

  say(text: string): void {
    this.dispatch({ kind: 'said', text, style: 'note' });
  }

  private dispatch(message: Message): void {
    if (this.isOver) return;
    // What it searches is about to be closed.
    if (message.kind === 'run-opened') this.search = undefined;
    const { state, effects } = update(this.state, message);
    const isSame = state === this.state;
    this.state = state;
    for (const effect of effects) this.carryOut(effect);
    if (!isSame) this.drawSoon(message.kind === 'run-changed' ? STREAM_FRAME_MS : FRAME_MS);
  }

  private carryOut(effect: Effect): void {
    this.tell(() => this.deed(effect));
  }

  /** Does it, and tells the person when it could not be done. */
  private tell(deed: () => void): void {
    try {
      deed();
    } catch (error) {
      // What a person asked for and could not be done is told to them; everything else is a bug.
      if (!(error instanceof FanoutError)) throw error;
      const hint = error.hint === undefined ? '' : ` ${error.hint}`;
      this.dispatch({ kind: 'said', text: `${error.message.split('\n')[0]}.${hint}`, style: 'bad' });
    }
  }

  private deed(effect: Effect): void {
    switch (effect.kind) {
      case 'start-run':
        void this.runs.start(effect);
        return;
      case 'answer-confirm':
        return this.runs.answer(effect.yes);
      case 'interrupt-run':
        return this.runs.interrupt();
      case 'cancel-node':
        return this.runs.cancelNode(effect.node);
      case 'move-deadline':
        return this.runs.moveDeadline(effect.timeoutMs);
      case 'ask-verdict':
        void this.runs.askVerdict(effect);
        return;
      case 'drop-verdict':
        return this.runs.dropVerdict();
      case 'load-runs':
        return this.loadRuns();
      case 'load-history':
        return this.loadHistory();
      case 'open-run':
        return this.runs.open(effect.id);
      case 'save-run':
        return this.save(effect);
      case 'save-selection':
        void this.saveSelection(effect.name, effect.text);
        return;
      case 'diff':
        return this.diff(effect);
      case 'search':
        return this.startSearch(effect.query);
      case 'stop-search':
        this.search = undefined;
        return;
      case 'open-pager':
        void this.openPager(effect.node);
        return;
      case 'monitor-level':
        return this.cluster.setLevel(effect.level);
      case 'ask-about':
        return this.cluster.askAbout();
      case 'redraw':
        return this.redraw();
      case 'suspend':
        return this.display.suspend();
      case 'quit':
        return this.quit(true);
    }
  }

  /** The clock: often while something moves, else once a second. */
  private tickLater(): void {
    const { command } = this.state;
    const isBusy =
      isRunning(this.state) || command.verdict.kind === 'waiting' || this.state.pager?.follows === true;
    this.clock = setTimeout(
      () => {
        this.runs.report();
        this.dispatch({ kind: 'tick', now: performance.now(), unixMs: Date.now() });
        this.tickLater();
      },
      isBusy || this.runs.isRunning ? TICK_MS : this.state.notice === undefined ? CLOCK_MS : TICK_MS * 3,
    );
  }

  private drawSoon(after: Millis): void {
    const due = Math.max(this.drawnAt + after, performance.now());
    const delay = due - performance.now();
    if (delay <= 0 && after === 0) {
      clearTimeout(this.drawTimer);
      this.drawTimer = undefined;
      return this.draw();
    }
    this.drawTimer ??= setTimeout(() => {
      this.drawTimer = undefined;
      this.draw();
    }, delay);
  }

  private draw(): void {
    if (this.isOver) return;
    this.drawnAt = performance.now();
    // A terminal that is behind, such as a slow line, gets the next frame instead of all between.
    if (this.display.isBehind) return this.drawSoon(STREAM_FRAME_MS);
    this.display.show(this.state);
  }

  private redraw(): void {
    this.display.forget();
    const { columns, rows } = this.display;
    this.dispatch({ kind: 'resize', columns, rows });
    this.drawSoon(0);
  }

  private loadRuns(): void {
    const runs = listRuns(RUNS_SHOWN).map(({ id, head, trailer }) => ({
      id,
      unixMs: head.unixMs,
      command: commandText(head.argv),
      selector: head.selector,
      targets: head.targets.length,
      ok: trailer?.counts.ok ?? 0,
      exit: trailer?.exit,
    }));
    this.dispatch({ kind: 'runs', runs });
  }

  private loadHistory(): void {
    this.dispatch({ kind: 'history', entries: readHistory() });
  }

  /** Loaded after the first frame: reading YAML is not what a person waits for. */
  private async loadSelections(): Promise<void> {
    const { savedSelections } = await import('../asker/saved-selections.ts');
    this.tell(() => {
      const saved = [...savedSelections()].map(([name, text]) => ({ name, text }));
      this.dispatch({ kind: 'saved-selections', saved });
    });
  }

  private async saveSelection(name: string, text: string): Promise<void> {
    const { saveSelection } = await import('../asker/saved-selections.ts');
    this.tell(() => {
      saveSelection(name, text);
      this.dispatch({ kind: 'said', text: `saved as @${name}`, style: 'good' });
      void this.loadSelections();
    });
  }

  private save(effect: Extract<Effect, { kind: 'save-run' }>): void {
    if (this.runs.isRunning) {
      return this.dispatch({
        kind: 'said',
        text: 'wait until the run has ended, then save it',
        style: 'note',
      });
    }
    const record = RunRecord.open(findRun(effect.id).path);
    try {
      const written = exportRun(record, effect.format, effect.path);
      this.dispatch({ kind: 'said', text: `saved: ${written}`, style: 'good' });
    } finally {
      record.close();
    }
  }

  private diff(effect: Extract<Effect, { kind: 'diff' }>): void {
    const { outputs } = this.runs;
    if (outputs === undefined) return;
    const [before, after] = [effect.reference, effect.node].map((node) =>
      outputs.text(node, DIFF_LENGTH_MAX),
    );
    this.dispatch({ kind: 'diff', group: effect.group, ...diffTexts(before ?? '', after ?? '') });
  }

  private startSearch(query: string): void {
    const { outputs } = this.runs;
    if (outputs === undefined) return;
    const names = [...(this.state.run?.run.targets.keys() ?? [])];
    const search = new OutputSearch(outputs, names, query);
    this.search = search;
    const slice = (): void => {
      if (this.search !== search || this.isOver) return;
      for (const end = performance.now() + SEARCH_SLICE_MS; !search.isDone && performance.now() < end; )
        search.step();
      this.dispatch({ kind: 'search', query, hits: [...search.found], isDone: search.isDone, problem: '' });
      if (!search.isDone) setImmediate(slice);
    };
    slice();
  }

  private async openPager(node: string): Promise<void> {
    const { outputs } = this.runs;
    if (outputs === undefined) return;
    const command = process.env.PAGER ?? 'less';
    let hasRun = true;
    await this.display.handOver(async () => {
      hasRun = await runPager(command, linesOf(outputs, node));
    });
    if (!hasRun)
      this.dispatch({ kind: 'said', text: `${command} could not be started: set PAGER`, style: 'bad' });
  }

  /** Leaves: the terminal first, then what runs, then the process. */
  private quit(canWait: boolean): void {
    if (this.isOver) return;
    this.isOver = true;
    clearTimeout(this.clock);
    clearTimeout(this.drawTimer);
    this.display.close();
    const { isRunning: mustStop } = this.runs;
    if (mustStop && canWait) process.stderr.write('fanout: stopping what runs ...\n');
    const wait = canWait ? FINISH_MS : 0;
    void Promise.race([this.runs.finish(), new Promise((resolve) => setTimeout(resolve, wait))]).then(() => {
      this.cluster.close();
      if (canWait) this.farewell();
      const { last } = this.runs;
      // What could not be stopped in time was interrupted all the same.
      const code = this.runs.isRunning ? 130 : last === undefined ? 0 : exitCode(last.state);
      this.end(code);
      // Connections of answers may still be open; nothing more is to be waited for.
      process.exitCode = code;
      setTimeout(() => process.exit(), 100).unref();
    });
  }

  /** What stays in the scrollback. */
  private farewell(): void {
    const { last } = this.runs;
    if (last === undefined) return;
    const counts = Object.entries(countOutcomes(last.state)).filter(([, count]) => count > 0);
    const words = counts.map(([outcome, count]) => `${count} ${outcome}`).join(', ');
    const where = last.selector === '' ? 'everybody' : last.selector;
    let end = last.state.startedAt;
    for (const { endedAt } of last.state.targets.values()) end = Math.max(end, endedAt ?? 0);
    const text = `fanout: ${last.command}  on ${where}: ${words} in ${formatDuration(end - last.state.startedAt)}`;
    process.stdout.write(`${sanitiseText(text)}  (details: fanout show ${last.id.slice(0, 8)})\n`);
  }

  private crash(error: unknown): void {
    this.isOver = true;
    this.display.close();
    process.stderr.write(`fanout: a bug in fanout itself: ${stackOf(error)}\n`);
    process.exit(70);
  }
}

function* linesOf(outputs: NonNullable<SessionRuns['outputs']>, node: string): Generator<string> {
  const count = outputs.lineCount(node);
  const block = 1000;
  for (let at = 0; at < count; at += block) for (const { text } of outputs.lines(node, at, block)) yield text;
}
