import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { boxKeyPair } from '../identity/box.ts';
import { signCommand } from '../identity/envelope.ts';
import { KnownNodes } from '../identity/known-nodes.ts';
import type { OperatorKey } from '../identity/operator-key.ts';
import { fingerprint, keyId } from '../identity/ssh-key.ts';
import { EMPTY, toHex } from '../lib/bytes.ts';
import { FanoutError, messageOf } from '../lib/errors.ts';
import type { Millis } from '../lib/time.ts';
import type { ControlAddress } from '../net/control-address.ts';
import { mayMatchName, type Selector, selectorText } from '../policy/selector.ts';
import type { RpcClient } from '../rpc/client.ts';
import type { AgentInfo, RunRecord } from '../rpc/replies.ts';
import type { RunEvent, RunState } from '../run/model.ts';
import type { RolloutPhase, RolloutPlan } from '../run/rollout.ts';
import { agentAddress, connectAgent, openAnswer } from './connect.ts';
import type { Confirmation } from './holding.ts';
import { type IdentityOptions, openIdentity } from './operator-identity.ts';
import { configPath } from './paths.ts';
import { RunAudit } from './run-audit.ts';
import { RunSession } from './run-session.ts';
import { loadSettings, type Settings } from './settings.ts';

/** How long a signed command may travel. Nodes accept no more than their policy's maximum, a minute by default. */
const TTL_SECONDS = 60;

/** An operator with a key, in conversation with an agent. */
export interface Asker {
  readonly address: ControlAddress;
  readonly client: RpcClient;
  readonly info: AgentInfo;
  /** Signs here, or through the ssh-agent. The private half goes nowhere. */
  readonly key: OperatorKey;
  readonly knownNodes: KnownNodes;
  readonly settings: Settings;
}

/** What is to be run, where and how. */
export interface LaunchRequest {
  /** Of `newRunId`, when the run is to be written down from its first event on. */
  readonly id?: Uint8Array;
  readonly argv: readonly string[];
  readonly selector: Selector;
  readonly targets: readonly string[];
  readonly timeoutMs: Millis;
  /** How long the command may take on each node: `timeoutMs` unless it is given. */
  readonly limitMs?: Millis | undefined;
  /** The nodes only say whether they would run it. */
  readonly explainOnly?: boolean | undefined;
  /** With that: as if the operator with this key id asked and this one approved. */
  readonly explainAs?: Uint8Array | undefined;
  /** Signed already, under `id`: a request that others have approved. */
  readonly prepared?: PreparedRequest | undefined;
  readonly rollout?: RolloutPlan | undefined;
  readonly confirm?: Confirmation | undefined;
  /**
   * Every event of the run, after it was applied; `data` with output events. The first may come before `launch` resolves.
   * False: the reader is slow.
   */
  onEvent(state: RunState, event: RunEvent, data?: Uint8Array): boolean;
  /** Calls back when the reader has caught up. */
  onReaderReady?(listener: () => void): void;
  /** A rollout is somewhere else now. */
  onPhase?(phase: RolloutPhase): void;
}

/** A command that was signed some time before it is sent. */
export interface PreparedRequest {
  readonly envelope: Uint8Array;
  /** Opens the answers. */
  readonly replySecret: Uint8Array;
}

/** The id of a run that is to be launched: 16 random bytes that nobody has used before. */
export function newRunId(): Uint8Array {
  return new Uint8Array(randomBytes(16));
}

/** A run under way. */
export interface LaunchedRun {
  /** 32 hex digits. */
  readonly id: string;
  readonly session: RunSession;
  /** Resolves when every target has ended, and that is in the operator's audit log. Never rejects. */
  readonly ended: Promise<RunState>;
  /** What of the run could not be recorded there, '' when all was. */
  readonly auditProblem: () => string;
}

/** Who asks, and through which agent. */
export interface AskerOptions extends IdentityOptions {
  readonly rpcAddr?: string | undefined;
  /** One that is open already, so that nobody is asked for its passphrase twice. */
  readonly key?: OperatorKey;
}

/**
 * Opens the operator's key, loads the pins and connects to the agent. Close `client` in the end. Throws FanoutError for a
 * key or a file of pins that cannot be used, and AGENT_UNREACHABLE.
 */
export async function openAsker(options: AskerOptions): Promise<Asker> {
  const settings = await loadSettings();
  const key = options.key ?? (await openIdentity(options));
  const knownNodes = openKnownNodes();
  const address = agentAddress(options.rpcAddr);
  const client = await connectAgent(address);
  try {
    const info = await client.info();
    if (info.environment === '') throw withoutEnvironment(info.node);
    return { address, client, info, key, knownNodes, settings };
  } catch (error) {
    client.close();
    throw error;
  }
}

/**
 * Signs the command, records it in the operator's audit log and has the agent spread it, over a control connection that
 * lasts as long as the run. Throws FanoutError: COMMAND_REFUSED when no node could read the command, KEY_INVALID when the
 * ssh-agent does not sign, CONFIG when it cannot be recorded, INTEGRITY when a signature does not hold or the file of pins
 * is broken, and what the agent says.
 */
export async function launch(asker: Asker, request: LaunchRequest): Promise<LaunchedRun> {
  const { info, address, knownNodes } = asker;
  // Another process of this operator may have met nodes since, or the operator may have removed a line.
  knownNodes.refresh();
  const id = request.id ?? newRunId();
  const { targets, timeoutMs, selector } = request;
  const { envelope, replySecret } =
    request.prepared ?? (await prepareRequest(asker, request, id, TTL_SECONDS));
  const client = await connectAgent(address);
  const audit = await beginAudit(asker, request, toHex(id)).catch((error: unknown) => {
    client.close();
    throw error;
  });
  let hasFailed = false;
  const session = new RunSession({
    ...request,
    environment: info.environment,
    requestId: id,
    replySecret,
    knownNodes,
    // Its tags are for the node itself to judge: it runs nothing unless they match. Its name can be checked here.
    mayJoin: (node) => request.explainOnly !== true && mayMatchName(selector, node),
    now: () => performance.now(),
    onEvent: (state, event, data) => {
      if (hasFailed) return true;
      audit.event(state, event);
      return request.onEvent(state, event, data);
    },
    onSignedEnd: (node, key, end) => audit.ended(node, key, end),
    onReaderReady: (listener) => request.onReaderReady?.(listener),
    onPhase: (phase) => request.onPhase?.(phase),
  });
  void client.closed.then(() => session.event({ kind: 'agent-lost' }));
  const ended = session.ended.then(async (state) => {
    client.close();
    if (!hasFailed) await audit.end(state, performance.now() - state.startedAt);
    return state;
  });
  try {
    await client.run({ run: id, envelope, targets, timeoutMs }, (record) => heard(record, session, address));
  } catch (error) {
    hasFailed = true;
    client.close();
    await audit.notSent(messageOf(error));
    throw error;
  }
  return { id: toHex(id), session, ended, auditProblem: () => audit.problem };
}

function beginAudit({ info, key, settings }: Asker, request: LaunchRequest, id: string): Promise<RunAudit> {
  const { argv, selector, targets, timeoutMs, limitMs, explainOnly } = request;
  const facts = {
    id,
    argv,
    selector: selectorText(selector),
    targets,
    cluster: info.cluster,
    environment: info.environment,
    key: fingerprint(key.publicKey),
    agent: info.node,
    timeoutMs: limitMs ?? timeoutMs,
    plan: explainOnly === true,
  };
  return RunAudit.begin(facts, settings.audit.onFailure);
}

/** Signs a command. Throws FanoutError COMMAND_REFUSED when no node could read it. */
export async function prepareRequest(
  { info, key }: Asker,
  request: Pick<LaunchRequest, 'selector' | 'argv' | 'timeoutMs' | 'limitMs' | 'explainOnly' | 'explainAs'>,
  id: Uint8Array,
  ttlSeconds: number,
): Promise<PreparedRequest> {
  const { selector, argv, timeoutMs, limitMs, explainOnly } = request;
  const { publicKey: replyKey, secret: replySecret } = boxKeyPair(new Uint8Array(randomBytes(32)));
  const envelope = await signCommand(
    {
      version: 3,
      cluster: info.cluster,
      environment: info.environment,
      keyId: keyId(key.publicKey),
      issuedAt: Math.floor(Date.now() / 1000),
      ttlSeconds,
      id,
      selector: selectorText(selector),
      argv,
      replyKey,
      replyHost: info.addr,
      replyPort: info.port,
      timeoutMs: limitMs ?? timeoutMs,
      explainOnly: explainOnly === true,
      explainAs: request.explainAs ?? EMPTY,
    },
    key.sign,
  );
  return { envelope, replySecret };
}

function heard(record: RunRecord, session: RunSession, address: ControlAddress): void {
  if (record.kind === 'ack') session.event({ kind: 'acked', node: record.from });
  else if (record.kind === 'member') {
    session.event({ kind: 'member', node: record.name, status: record.status });
  } else session.turns.run(() => void fetchAnswer(address, record, session));
}

/** Claims one answer stream: a connection of its own, so that each node has its own back-pressure. */
async function fetchAnswer(
  address: ControlAddress,
  { stream, from }: Extract<RunRecord, { kind: 'answer' }>,
  session: RunSession,
): Promise<void> {
  try {
    const { connection, rest } = await openAnswer(address, stream);
    session.answer(connection, rest, from);
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
