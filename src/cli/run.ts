import { constants } from 'node:os';
import type { Confirmation } from '../asker/holding.ts';
import { Keeper } from '../asker/keep.ts';
import { type Asker, launch, newRunId, openAsker, type PreparedRequest } from '../asker/launch.ts';
import type { RunSession } from '../asker/run-session.ts';
import { targetsOf } from '../asker/select.ts';
import { toHex } from '../lib/bytes.ts';
import { sanitiseText } from '../lib/sanitise.ts';
import type { Millis } from '../lib/time.ts';
import { commandText } from '../policy/command-text.ts';
import { type Selector, selectorText } from '../policy/selector.ts';
import { LiveSink, liveText } from '../report/live-line.ts';
import { createRenderer, type OutputOptions } from '../report/renderers.ts';
import { exitCode, type RunState } from '../run/model.ts';
import { maxRemoteCode } from '../run/remote-code.ts';
import type { RolloutPlan } from '../run/rollout.ts';
import { argvOf } from './command-words.ts';
import { confirmByCount } from './confirm.ts';
import { personHere } from './passphrase-terminal.ts';
import { durationOf, outputOptionsOf, type RunOptions, rolloutOf, selectionOf } from './run-flags.ts';
import { StandardSink } from './standard-sink.ts';
import { isInteractive, terminals } from './terminals.ts';

/** Above so many nodes, what may change things is confirmed by typing their number. */
const CONFIRM_ABOVE = 20;
/** What of a run's output is written down, so that it can be shown again. */
const RECORD_BYTES_MAX = 64 * 1024 * 1024;
const LIVE_LINE_EVERY_MS: Millis = 100;

/** `fanout "command"` and `fanout -- command...`: runs a command on every matching member. Returns the exit code. */
export async function run(request: {
  words: readonly string[];
  rest: readonly string[] | undefined;
  options: RunOptions;
}): Promise<number> {
  const { options } = request;
  const argv = argvOf(request.words, request.rest);
  const timeoutMs = durationOf('--timeout', options.timeout);
  const rollout = rolloutOf(options);
  const selector = selectionOf(options);
  if (options.dryRun === true) {
    const { plan } = await import('./plan.ts');
    return plan(request);
  }
  const asker = await openAsker({ ...options, ...personHere() });
  try {
    const targets = targetsOf(selector, await asker.client.members());
    const output = outputOptionsOf(options);
    return await carryOut(asker, { options, output, argv, selector, targets, timeoutMs, rollout });
  } finally {
    asker.client.close();
  }
}

/** What is to be run, when all flags are read. */
export interface Prepared {
  /** Of a request that was signed before. */
  readonly id?: Uint8Array;
  readonly prepared?: PreparedRequest;
  readonly options: RunOptions;
  readonly output: OutputOptions;
  readonly argv: readonly string[];
  readonly selector: Selector;
  readonly targets: readonly string[];
  readonly timeoutMs: Millis;
  readonly rollout: RolloutPlan | undefined;
}

/** Runs it and shows the answers. Returns the exit code. */
export async function carryOut(asker: Asker, run: Prepared): Promise<number> {
  const { options, argv, selector, targets, timeoutMs } = run;
  const sink = new StandardSink();
  const looks = terminals(options.color);
  const live =
    looks.stderr && options.format === 'text' && options.quiet !== true ? new LiveSink(sink) : undefined;
  const renderer = createRenderer(run.output, live ?? sink, run, looks);
  const id = run.id ?? newRunId();
  const keeper = options.record ? keeperFor(id, asker, run) : undefined;
  let last: RunState | undefined;
  const asking = { now: false, over: new AbortController() };
  const launched = await launch(asker, {
    id,
    argv,
    selector,
    targets,
    timeoutMs,
    rollout: run.rollout,
    prepared: run.prepared,
    confirm: confirmationFor(options, argv, live, asking),
    onEvent: (state, event, data) => {
      last = state;
      renderer.event(state, event, data);
      keeper?.event(performance.now() - state.startedAt, event, data);
      return sink.isReady;
    },
    onReaderReady: (listener) => sink.onReady(listener),
  });
  const restore = stopOnSignals(launched.session, sink);
  const timer =
    live === undefined
      ? undefined
      : setInterval(() => {
          if (!asking.now) drawLive(live, last, launched.session);
        }, LIVE_LINE_EVERY_MS);
  const state = await launched.ended;
  asking.over.abort();
  clearInterval(timer);
  live?.show('');
  restore();
  renderer.end(state);
  keeper?.end(state, performance.now() - state.startedAt);
  if (keeper !== undefined && keeper.problem !== '' && options.quiet !== true) {
    process.stderr.write(`fanout: ${keeper.problem}\n`);
  }
  // However quiet: whoever asked to be warned instead of refused is warned.
  const unrecorded = launched.auditProblem();
  if (unrecorded !== '') process.stderr.write(`fanout: ${sanitiseText(unrecorded)}\n`);
  await sink.flushed();
  if (options.maxrc === true && !state.interrupted) return maxRemoteCode(state, signalNumber);
  return exitCode(state);
}

function keeperFor(id: Uint8Array, asker: Asker, run: Prepared): Keeper {
  const { argv, selector, targets, timeoutMs } = run;
  const head = {
    id: toHex(id),
    argv: [...argv],
    selector: selectorText(selector),
    targets: [...targets],
    timeoutMs,
    unixMs: Date.now(),
    environment: asker.info.environment,
  };
  return new Keeper(head, commandText(argv), { maxBytes: RECORD_BYTES_MAX, isIndexed: false });
}

function drawLive(live: LiveSink, state: RunState | undefined, session: RunSession): void {
  if (state === undefined) return;
  live.show(liveText(state, session.rolloutPhase, performance.now(), process.stderr.columns ?? 80));
}

/** Only somebody who sits there can be asked; a script has been told what it does. */
function confirmationFor(
  options: RunOptions,
  argv: readonly string[],
  live: LiveSink | undefined,
  asking: { now: boolean; over: AbortController },
): Confirmation | undefined {
  if (options.yes === true || !isInteractive()) return undefined;
  return {
    above: CONFIRM_ABOVE,
    ask: (facts) => {
      live?.show('');
      asking.now = true;
      return confirmByCount(commandText(argv), facts, asking.over.signal).finally(() => {
        asking.now = false;
      });
    },
  };
}

/** Ctrl-C and SIGTERM stop the run and its processes; the second time at once. */
function stopOnSignals(session: RunSession, sink: StandardSink): () => void {
  let asked = false;
  const stop = (): void => {
    if (asked) process.exit(130);
    asked = true;
    session.interrupt();
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  process.on('SIGHUP', stop);
  sink.onBroken(stop);
  return () => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, stop);
  };
}

function signalNumber(name: string): number {
  return (constants.signals as Readonly<Record<string, number>>)[name] ?? 0;
}
