import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { boxKeyPair } from '../identity/box.ts';
import { signCommand } from '../identity/envelope.ts';
import { KnownNodes } from '../identity/known-nodes.ts';
import { loadOperatorKey, type OperatorKey } from '../identity/operator-key.ts';
import { keyId } from '../identity/ssh-key.ts';
import { FanoutError } from '../lib/errors.ts';
import type { Millis } from '../lib/time.ts';
import type { ControlAddress } from '../net/control-address.ts';
import { mayMatchName, type Selector, selectorText } from '../policy/selector.ts';
import type { RpcClient } from '../rpc/client.ts';
import type { AgentInfo } from '../rpc/replies.ts';
import type { RunEvent, RunState } from '../run/model.ts';
import type { RolloutPlan } from '../run/rollout.ts';
import { agentAddress, connectAgent, openAnswer } from './connect.ts';
import { configPath, identityPath } from './paths.ts';
import { RunSession } from './run-session.ts';
import type { Confirmation } from './start-gate.ts';

/** How long a signed command may travel. Nodes accept no more than their policy's maximum, a minute by default. */
const TTL_SECONDS = 60;

/** An operator at their agent: who they are, and whom they have met. */
export interface Asker {
  readonly address: ControlAddress;
  readonly client: RpcClient;
  readonly info: AgentInfo;
  readonly key: OperatorKey;
  readonly knownNodes: KnownNodes;
}

/** Loads the operator's key and connects to the agent. Throws FanoutError. The caller closes `client`. */
export async function openAsker(options: { rpcAddr?: string; identity?: string }): Promise<Asker> {
  const key = loadOperatorKey(identityPath(options.identity));
  const address = agentAddress(options.rpcAddr);
  const client = await connectAgent(address);
  try {
    const info = await client.info();
    if (info.environment === '') throw withoutEnvironment(info.node);
    return { address, client, info, key, knownNodes: openKnownNodes() };
  } catch (error) {
    client.close();
    throw error;
  }
}

/** The id of a run that is to be launched: 16 random bytes that nobody has used before. */
export function newRunId(): Uint8Array {
  return new Uint8Array(randomBytes(16));
}

export interface LaunchRequest {
  /** Of `newRunId`, so that the run can be written down from its first event on. */
  readonly id: Uint8Array;
  readonly argv: readonly string[];
  readonly selector: Selector;
  readonly targets: readonly string[];
  readonly timeoutMs: Millis;
  /** Only ask the nodes whether they would run it: each target ends as allowed, denied, ... */
  readonly explainOnly?: boolean;
  readonly rollout?: RolloutPlan | undefined;
  readonly confirm?: Confirmation | undefined;
  /** Every event after it was applied; `data` with output. False holds the node back until the reader is ready. */
  readonly onEvent: (state: RunState, event: RunEvent, data?: Uint8Array) => boolean;
  readonly onReaderReady?: (listener: () => void) => void;
}

export interface LaunchedRun {
  readonly session: RunSession;
  /** Resolves when every target has ended. */
  readonly ended: Promise<RunState>;
}

/**
 * Signs a command and sends it. The run has a control connection of its own, with which it lives and dies: what runs on the
 * nodes ends when this process does. Throws FanoutError when it could not be sent.
 */
export async function launch(asker: Asker, request: LaunchRequest): Promise<LaunchedRun> {
  const { info, key, address } = asker;
  const { id, argv, selector, targets, timeoutMs, explainOnly = false } = request;
  const reply = boxKeyPair(new Uint8Array(randomBytes(32)));
  const envelope = signCommand(
    {
      version: 2,
      cluster: info.cluster,
      environment: info.environment,
      keyId: keyId(key.publicKey),
      issuedAt: Math.floor(Date.now() / 1000),
      ttlSeconds: TTL_SECONDS,
      id,
      selector: selectorText(selector),
      argv,
      replyKey: reply.publicKey,
      replyHost: info.addr,
      replyPort: info.port,
      timeoutMs,
      explainOnly,
    },
    key.sign,
  );
  const client = await connectAgent(address);
  const session = new RunSession({
    targets,
    timeoutMs,
    environment: info.environment,
    requestId: id,
    replySecret: reply.secret,
    knownNodes: asker.knownNodes,
    // Its tags are for the node itself to judge: it runs nothing unless they match. Its name can be checked here.
    mayJoin: (node) => !explainOnly && mayMatchName(selector, node),
    now: () => performance.now(),
    explainOnly,
    rollout: request.rollout,
    confirm: request.confirm,
    onEvent: request.onEvent,
    onReaderReady: request.onReaderReady ?? (() => {}),
  });
  const ended = session.ended.finally(() => client.close());
  try {
    await client.run({ run: id, envelope, targets, timeoutMs }, (record) => {
      if (record.kind === 'ack') session.event({ kind: 'acked', node: record.from });
      else if (record.kind === 'member')
        session.event({ kind: 'member', node: record.name, status: record.status });
      else void fetchAnswer(address, record.stream, session);
    });
  } catch (error) {
    session.event({ kind: 'agent-lost' });
    throw error;
  }
  void client.closed.then(() => session.event({ kind: 'agent-lost' }));
  return { session, ended };
}

/** Claims one answer stream: a connection of its own, so that each node has its own back-pressure. */
async function fetchAnswer(address: ControlAddress, stream: number, session: RunSession): Promise<void> {
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

function openKnownNodes(): KnownNodes {
  const path = configPath('known_nodes');
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  return KnownNodes.load(path);
}
