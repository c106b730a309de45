import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { agentAddress, connectAgent, openAnswer } from '../asker/connect.ts';
import { configPath, identityPath } from '../asker/paths.ts';
import { RunSession } from '../asker/run-session.ts';
import { selectorFrom, targetsOf } from '../asker/select.ts';
import { boxKeyPair } from '../identity/box.ts';
import { signCommand } from '../identity/envelope.ts';
import { KnownNodes } from '../identity/known-nodes.ts';
import { loadOperatorKey } from '../identity/operator-key.ts';
import { keyId } from '../identity/ssh-key.ts';
import { FanoutError } from '../lib/errors.ts';
import { formatDuration, parseDuration } from '../lib/time.ts';
import { checkArgv, parseCommandString } from '../policy/command-string.ts';
import { matchesSelector } from '../policy/selector.ts';
import { createRenderer, type Terminals } from '../report/renderers.ts';
import type { RpcClient } from '../rpc/client.ts';
import { exitCode } from '../run/model.ts';
import { StandardSink } from './standard-sink.ts';

/** How long a signed command may travel. Nodes accept no more than their policy's maximum, a minute by default. */
const TTL_SECONDS = 60;
const TIMEOUT_MS_MAX = 24 * 3_600_000;

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
  const key = loadOperatorKey(identityPath(options.identity));
  const address = agentAddress(options.rpcAddr);
  const client = await connectAgent(address);
  try {
    const [info, members] = await Promise.all([client.info(), client.members()]);
    if (info.environment === '') throw withoutEnvironment(info.node);
    const targets = targetsOf(selector, members);
    const reply = boxKeyPair(new Uint8Array(randomBytes(32)));
    const id = new Uint8Array(randomBytes(16));
    const envelope = signCommand(
      {
        version: 1,
        cluster: info.cluster,
        environment: info.environment,
        keyId: keyId(key.publicKey),
        issuedAt: Math.floor(Date.now() / 1000),
        ttlSeconds: TTL_SECONDS,
        id,
        selector,
        argv,
        replyKey: reply.publicKey,
        replyHost: info.addr,
        replyPort: info.port,
        timeoutMs,
        explainOnly: false,
      },
      key.sign,
    );
    return await carryOut(client, {
      address,
      options,
      argv,
      targets,
      nodes: selector.nodes,
      id,
      envelope,
      timeoutMs,
      info,
      secret: reply.secret,
    });
  } finally {
    client.close();
  }
}

interface Prepared {
  readonly address: ReturnType<typeof agentAddress>;
  readonly options: RunOptions;
  readonly argv: readonly string[];
  readonly targets: readonly string[];
  /** The name patterns of the selector. */
  readonly nodes: readonly string[];
  readonly id: Uint8Array;
  readonly envelope: Uint8Array;
  readonly timeoutMs: number;
  readonly info: { readonly environment: string };
  readonly secret: Uint8Array;
}

async function carryOut(client: RpcClient, run: Prepared): Promise<number> {
  const sink = new StandardSink();
  const renderer = createRenderer(run.options.format, sink, run, terminals());
  const session = new RunSession({
    targets: run.targets,
    timeoutMs: run.timeoutMs,
    environment: run.info.environment,
    requestId: run.id,
    replySecret: run.secret,
    knownNodes: openKnownNodes(),
    // Its tags are for the node itself to judge: it runs nothing unless they match. Its name can be checked here.
    mayJoin: (node) => matchesSelector({ tags: [], nodes: run.nodes }, { name: node, tags: new Map() }),
    now: () => performance.now(),
    onEvent: (state, event, data) => {
      renderer.event(state, event, data);
      return sink.isReady;
    },
    onReaderReady: (listener) => sink.onReady(listener),
  });
  const restore = stopOnSignals(session, sink);
  const { id, envelope, targets, timeoutMs } = run;
  await client.run({ run: id, envelope, targets, timeoutMs }, (record) => {
    if (record.kind === 'ack') session.event({ kind: 'acked', node: record.from });
    else if (record.kind === 'member')
      session.event({ kind: 'member', node: record.name, status: record.status });
    else if (record.kind === 'answer') void fetchAnswer(run.address, record.stream, session);
  });
  void client.closed.then(() => session.event({ kind: 'agent-lost' }));
  const state = await session.ended;
  restore();
  renderer.end(state);
  await sink.flushed();
  return exitCode(state);
}

/** Claims one answer stream: a connection of its own, so that each node has its own back-pressure. */
async function fetchAnswer(address: Prepared['address'], stream: number, session: RunSession): Promise<void> {
  try {
    const { connection, rest } = await openAnswer(address, stream);
    session.answer(connection, rest);
  } catch (error) {
    // The stream ended before we came for it, or the agent is gone: the run model learns of both elsewhere.
    if (!(error instanceof FanoutError)) throw error;
  }
}

function withoutEnvironment(node: string): FanoutError {
  return new FanoutError(
    'CONFIG',
    `the agent ${node} belongs to no environment, so no node would accept its commands`,
    {
      hint: 'Start it with --env NAME, or with the --policy of its environment.',
    },
  );
}

function terminals(): Terminals {
  const { stdout, stderr, env } = process;
  const colours = env.NO_COLOR === undefined && env.TERM !== 'dumb' && stdout.isTTY === true;
  return { stdout: stdout.isTTY === true, stderr: stderr.isTTY === true, colours };
}

function openKnownNodes(): KnownNodes {
  const path = configPath('known_nodes');
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  return KnownNodes.load(path);
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

function argvOf(words: readonly string[], rest: readonly string[] | undefined): string[] {
  if (rest !== undefined) {
    if (words.length > 0) {
      throw new FanoutError('USAGE', `"${words[0]}" stands before --, and the command after it`, {
        hint: 'Give the command once: either quoted, or after --.',
      });
    }
    const unfit = rest.length === 0 ? 'there is no command after --' : checkArgv(rest);
    if (unfit === undefined) return [...rest];
    throw new FanoutError('COMMAND_REFUSED', unfit, { hint: 'For example: fanout -- df -h /' });
  }
  if (words.length === 1) return parseCommandString(words[0] as string);
  const command = words.join(' ');
  throw new FanoutError(
    'USAGE',
    words.length === 0 ? 'there is no command' : 'the command came in several pieces',
    {
      hint:
        words.length === 0
          ? 'For example: fanout "ps ax" --tag role=web'
          : `Quote it, fanout "${command}", or put -- before it: fanout -- ${command}`,
    },
  );
}

function timeoutOf(text: string): number {
  const ms = parseDuration(text);
  if (ms !== undefined && ms > 0 && ms <= TIMEOUT_MS_MAX) return ms;
  throw new FanoutError(
    'USAGE',
    `--timeout ${text}: not a duration up to ${formatDuration(TIMEOUT_MS_MAX)}`,
    {
      hint: 'Write 500ms, 10s, 2m or 1m30s.',
    },
  );
}
