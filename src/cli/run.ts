import { type Asker, launch, openAsker } from '../asker/launch.ts';
import type { RunSession } from '../asker/run-session.ts';
import { selectorFrom, targetsOf } from '../asker/select.ts';
import type { Selector } from '../identity/envelope.ts';
import { createRenderer, type Terminals } from '../report/renderers.ts';
import { exitCode } from '../run/model.ts';
import { argvOf, timeoutOf } from './command-words.ts';
import { StandardSink } from './standard-sink.ts';

export interface RunOptions {
  readonly tag?: readonly string[];
  readonly node?: readonly string[];
  readonly identity?: string;
  readonly timeout: string;
  readonly format: 'text' | 'ndjson' | 'json';
  readonly rpcAddr?: string;
}

/** `fanout "command"` and `fanout -- command...`: runs a command on every matching member. Returns the exit code. */
export async function run(request: {
  words: readonly string[];
  rest: readonly string[] | undefined;
  options: RunOptions;
}): Promise<number> {
  const { options } = request;
  const argv = argvOf(request.words, request.rest);
  const timeoutMs = timeoutOf(options.timeout);
  const selector = selectorFrom(options);
  const asker = await openAsker(options);
  try {
    const targets = targetsOf(selector, await asker.client.members());
    return await carryOut(asker, { argv, selector, targets, timeoutMs }, options.format);
  } finally {
    asker.client.close();
  }
}

interface Prepared {
  readonly argv: readonly string[];
  readonly selector: Selector;
  readonly targets: readonly string[];
  readonly timeoutMs: number;
}

async function carryOut(asker: Asker, run: Prepared, format: RunOptions['format']): Promise<number> {
  const sink = new StandardSink();
  const renderer = createRenderer(format, sink, run, terminals());
  const { session, ended } = await launch(asker, {
    ...run,
    onEvent: (state, event, data) => {
      renderer.event(state, event, data);
      return sink.isReady;
    },
    onReaderReady: (listener) => sink.onReady(listener),
  });
  const restore = stopOnSignals(session, sink);
  const state = await ended;
  restore();
  renderer.end(state);
  await sink.flushed();
  return exitCode(state);
}

function terminals(): Terminals {
  const { stdout, stderr, env } = process;
  const colours = env.NO_COLOR === undefined && env.TERM !== 'dumb' && stdout.isTTY === true;
  return { stdout: stdout.isTTY === true, stderr: stderr.isTTY === true, colours };
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
