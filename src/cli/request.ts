import { readFileSync, writeFileSync } from 'node:fs';
import { type Asker, type AskerOptions, newRunId, openAsker, prepareRequest } from '../asker/launch.ts';
import { openIdentity } from '../asker/operator-identity.ts';
import { planRun } from '../asker/plan.ts';
import {
  expiryOf,
  forgetRequest,
  keepRequest,
  keptSecret,
  type Request,
  readRequest,
  requestText,
} from '../asker/request.ts';
import { type SelectionFlags, targetsOf } from '../asker/select.ts';
import { addApproval, mergeApprovals } from '../identity/envelope.ts';
import type { OperatorKey } from '../identity/operator-key.ts';
import { keyId } from '../identity/ssh-key.ts';
import { equalBytes } from '../lib/bytes.ts';
import { FanoutError } from '../lib/errors.ts';
import { formatDuration, type Millis } from '../lib/time.ts';
import { parseSelector } from '../policy/selector-parser.ts';
import { argvOf } from './command-words.ts';
import { personHere } from './passphrase-terminal.ts';
import { planText } from './plan.ts';
import { requestSummary } from './request-summary.ts';
import { carryOut } from './run.ts';
import { durationOf, outputOptionsOf, type RunOptions, rolloutOf, selectionOf } from './run-flags.ts';
import { isAttended } from './terminals.ts';

const VALID_MS_MAX: Millis = 24 * 3_600_000;
/** Longest input that is read for a request. */
const INPUT_BYTES_MAX = 1024 * 1024;

export interface RequestOptions extends SelectionFlags {
  readonly all?: boolean;
  readonly from?: string;
  readonly identity?: string;
  readonly rpcAddr?: string;
  readonly timeout: string;
  readonly valid: string;
  readonly output?: string;
}

/** `fanout request "command"`: signs a command for others to approve, and runs nothing. */
export async function request(input: {
  words: readonly string[];
  rest: readonly string[] | undefined;
  options: RequestOptions;
}): Promise<number> {
  const { options } = input;
  const argv = argvOf(input.words, input.rest);
  const timeoutMs = durationOf('--timeout', options.timeout);
  const validMs = validity(options.valid);
  const selector = selectionOf(options);
  const asker = await openAsker({ ...options, ...personHere() });
  try {
    const targets = targetsOf(selector, await asker.client.members());
    const plan = await planRun(asker, { argv, selector, targets, timeoutMs }).plan;
    if (plan !== undefined) process.stderr.write(`${planText(plan)}\n`);
    const id = newRunId();
    const prepared = await prepareRequest(
      asker,
      { argv, selector, timeoutMs },
      id,
      Math.ceil(validMs / 1000),
    );
    keepRequest(id, prepared, Date.now() + validMs);
    const text = requestText(prepared.envelope, [publicLine(asker.key)]);
    put(text, options.output);
    process.stderr.write(
      `fanout: nothing has run. For ${formatDuration(validMs)} others can approve it with "fanout approve"; then: fanout submit\n`,
    );
    return 0;
  } finally {
    asker.client.close();
  }
}

function validity(text: string): Millis {
  const validMs = durationOf('--valid', text);
  if (validMs <= VALID_MS_MAX) return validMs;
  throw new FanoutError('USAGE', `--valid ${text}: a day at most`);
}

export interface ApproveOptions {
  readonly identity?: string;
  readonly rpcAddr?: string;
  readonly output?: string;
  readonly yes?: boolean;
}

/** `fanout approve [file]`: shows what a request would do, asks, and countersigns. Needs no agent, but says more with one. */
export async function approve(file: string | undefined, options: ApproveOptions): Promise<number> {
  const asked = readRequest(await textOf(file), file ?? 'standard input');
  if (expiryOf(asked) <= Date.now()) {
    throw new FanoutError('USAGE', 'the request has run out', { hint: 'Have it made anew: fanout request' });
  }
  const key = await openIdentity({ ...options, ...personHere() });
  const { asker, unreachable } = await askerIfAny({ ...options, key });
  try {
    process.stderr.write(requestSummary(asked, Date.now()));
    if (asker === undefined) process.stderr.write(`fanout: no verdicts: ${unreachable}\n`);
    else await showVerdicts(asker, asked);
    if (options.yes !== true && !(await isSure(file))) {
      process.stderr.write('fanout: not approved\n');
      return 1;
    }
    const bytes = await addApproval(asked.envelope, keyId(key.publicKey), key.sign);
    put(requestText(bytes, [asked.operator, ...asked.approvers, publicLine(key)]), options.output);
    process.stderr.write('fanout: approved. Hand this back to whoever asked: fanout submit runs it\n');
    return 0;
  } finally {
    asker?.client.close();
  }
}

/** Approving is possible without a cluster; only what the nodes say is missing then. */
async function askerIfAny(options: AskerOptions): Promise<{ asker: Asker | undefined; unreachable: string }> {
  try {
    return { asker: await openAsker(options), unreachable: '' };
  } catch (error) {
    if (!(error instanceof FanoutError) || error.code !== 'AGENT_UNREACHABLE') throw error;
    return { asker: undefined, unreachable: error.message };
  }
}

async function showVerdicts(asker: Asker, asked: Request): Promise<void> {
  const { body } = asked.envelope;
  if (body.environment !== asker.info.environment) {
    process.stderr.write(`fanout: no verdicts: the agent here belongs to ${asker.info.environment}\n`);
    return;
  }
  const selector = parseSelector(body.selector);
  const targets = targetsOf(selector, await asker.client.members());
  const { argv, timeoutMs } = body;
  const plan = await planRun(asker, { argv, selector, targets, timeoutMs, explainAs: body.keyId }).plan;
  if (plan !== undefined) process.stderr.write(`Once you have approved it:\n${planText(plan)}\n`);
}

async function isSure(file: string | undefined): Promise<boolean> {
  if (file === undefined || file === '-' || !isAttended()) {
    throw new FanoutError('USAGE', 'nobody can be asked here', {
      hint: 'Name the file on a terminal, or add --yes when you have read what stands above.',
    });
  }
  const { createInterface } = await import('node:readline/promises');
  const reader = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return (await reader.question('Type "approve" to sign it: ')).trim() === 'approve';
  } finally {
    reader.close();
  }
}

/** `fanout submit file...`: runs a request of one's own that has been approved. */
export async function submit(files: readonly string[], options: RunOptions): Promise<number> {
  const asked = await merged(files.length === 0 ? ['-'] : files);
  const { body, approvals } = asked.envelope;
  if (expiryOf(asked) <= Date.now()) {
    throw new FanoutError('USAGE', 'the request has run out', { hint: 'Make another one: fanout request' });
  }
  if (approvals.length === 0) {
    throw new FanoutError('USAGE', 'nobody has approved it yet', {
      hint: 'Hand it to somebody whom the policy names; they run: fanout approve FILE',
    });
  }
  const replySecret = keptSecret(body.id);
  const rollout = rolloutOf(options);
  const output = outputOptionsOf(options);
  const asker = await openAsker({ ...options, ...personHere() });
  try {
    checkPlace(asker, asked);
    const selector = parseSelector(body.selector);
    const targets = targetsOf(selector, await asker.client.members());
    forgetRequest(body.id);
    return await carryOut(asker, {
      options,
      output,
      argv: body.argv,
      selector,
      targets,
      timeoutMs: body.timeoutMs,
      rollout,
      id: body.id,
      prepared: { envelope: asked.bytes, replySecret },
    });
  } finally {
    asker.client.close();
  }
}

/** Several people may have approved the same request at the same time. */
async function merged(files: readonly string[]): Promise<Request> {
  let all: Request | undefined;
  for (const file of files) {
    const one = readRequest(await textOf(file), file === '-' ? 'standard input' : file);
    const bytes = all === undefined ? one.bytes : mergeApprovals(all.envelope, one.envelope);
    if (bytes === undefined) throw new FanoutError('USAGE', `${file} is another request than ${files[0]}`);
    const keys = [one.operator, ...(all?.approvers ?? []), ...one.approvers];
    all = readRequest(requestText(bytes, keys), file);
  }
  if (all === undefined) throw new FanoutError('USAGE', 'there is no request');
  return all;
}

/** The nodes answer to the address that was signed. */
function checkPlace({ info, key }: Asker, { envelope: { body } }: Request): void {
  const anew = { hint: 'Make the request anew: fanout request' };
  if (!equalBytes(keyId(key.publicKey), body.keyId)) {
    throw new FanoutError('USAGE', 'this request was made with another key', { hint: 'Name it with -i.' });
  }
  if (body.environment !== info.environment || body.cluster !== info.cluster) {
    throw new FanoutError(
      'USAGE',
      `the request is for ${body.environment}, the agent here is of ${info.environment}`,
    );
  }
  if (!equalBytes(body.replyHost, info.addr) || body.replyPort !== info.port) {
    throw new FanoutError('USAGE', 'the agent here has another address than when the request was made', anew);
  }
}

function publicLine(key: OperatorKey): { key: Uint8Array; comment: string } {
  return { key: key.publicKey, comment: key.name };
}

function put(text: string, output: string | undefined): void {
  if (output === undefined) process.stdout.write(text);
  else writeFileSync(output, text, { mode: 0o644 });
}

async function textOf(file: string | undefined): Promise<string> {
  if (file !== undefined && file !== '-') {
    try {
      return readFileSync(file, 'utf8').slice(0, INPUT_BYTES_MAX);
    } catch (error) {
      throw new FanoutError('USAGE', `${file} cannot be read: ${String(error)}`);
    }
  }
  let text = '';
  for await (const chunk of process.stdin.setEncoding('utf8')) {
    text += String(chunk);
    if (text.length > INPUT_BYTES_MAX) break;
  }
  return text;
}
