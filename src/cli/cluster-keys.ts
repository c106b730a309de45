import { approveKeyChange, type KeyApproval } from '../asker/key-change.ts';
import { readSecretFile } from '../identity/secret-file.ts';
import { EMPTY, utf8Text } from '../lib/bytes.ts';
import { FanoutError } from '../lib/errors.ts';
import { naturalOrder } from '../lib/natural-order.ts';
import { safeJson, sanitiseText } from '../lib/sanitise.ts';
import { parseClusterKey } from '../memberlist/keyring.ts';
import type { KeyReply } from '../rpc/keys.ts';
import { personHere } from './passphrase-terminal.ts';
import { formatTable } from './table.ts';
import { type AgentOptions, withAgent } from './with-agent.ts';

export interface ClusterKeysOptions extends AgentOptions {
  readonly install?: string;
  readonly use?: string;
  readonly remove?: string;
  readonly list?: boolean;
  readonly identity?: string;
  readonly format: 'text' | 'json';
}

/** A key has 44 characters. */
const INPUT_CHARACTERS_MAX = 4096;

type Operation = 'install' | 'use' | 'remove';

/** Serf's words for an operation under way, done and failed. */
const WORDS: Readonly<Record<Operation, readonly [string, string, string]>> = {
  install: ['Installing key on all members...', 'Successfully installed key!', 'Error installing key'],
  use: [
    'Changing primary key on all members...',
    'Successfully changed primary key!',
    'Error changing primary key',
  ],
  remove: ['Removing key on all members...', 'Successfully removed key!', 'Error removing key'],
};

/** `fanout keys`: changes or lists the keys of all members. 0 when all did it, else 1, as Serf's. */
export async function clusterKeys(options: ClusterKeysOptions): Promise<number> {
  const asked = (['install', 'use', 'remove'] as const).filter((name) => options[name] !== undefined);
  if (asked.length + (options.list === true ? 1 : 0) !== 1) {
    throw new FanoutError('USAGE', 'give one of --install, --use, --remove and --list', {
      hint: 'To change keys: --install the new one, --use it, --remove the old one.',
    });
  }
  const [operation] = asked;
  return operation === undefined ? list(options) : change(operation, options[operation] ?? '', options);
}

async function change(operation: Operation, source: string, options: ClusterKeysOptions): Promise<number> {
  const text = await keyText(source);
  const approval = await approveKeyChange({ ...options, ...personHere() }, operation, parseClusterKey(text));
  const [doing, done, failed] = WORDS[operation];
  say(options, `==> ${doing}`);
  const command = `${operation}-key` as const;
  const reply = await withAgent(options, (client) =>
    client.keys({ command, key: text, approval: approval.envelope ?? EMPTY }),
  );
  if (options.format === 'json') process.stdout.write(`${json(reply)}\n`);
  else report(reply, reply.error === '' ? `==> ${done}` : `\n${failed}: ${sanitiseText(reply.error)}`);
  if (reply.error !== '') hint(approval);
  return reply.error === '' ? 0 : 1;
}

async function list(options: ClusterKeysOptions): Promise<number> {
  say(options, '==> Asking all members for installed keys...');
  const reply = await withAgent(options, (client) => client.keys({ command: 'list-keys' }));
  if (options.format === 'json') {
    process.stdout.write(`${json(reply)}\n`);
    return reply.error === '' ? 0 : 1;
  }
  if (reply.error !== '') {
    report(reply, `\nFailed to gather member keys: ${sanitiseText(reply.error)}`);
    return 1;
  }
  say(options, '==> Keys gathered, listing cluster keys...\n');
  const rows = [...(reply.keys ?? [])]
    .sort(([a, aCount], [b, bCount]) => bCount - aCount || naturalOrder(a, b))
    .map(([key, count]) => [sanitiseText(key), `[${count}/${reply.nodes}]`]);
  report(reply, formatTable(rows));
  return 0;
}

/** What went wrong, and whatever members had to say, one line each as Serf prints them; then how it came out. */
function report({ messages, silent, error }: KeyReply, outcome: string): void {
  const label = error === '' ? 'note:' : 'failed:';
  const rows = [
    ...[...messages].map(([node, message]) => [label, node, message]),
    ...silent.map((node) => ['failed:', node, 'no answer']),
  ].sort(([, a = ''], [, b = '']) => naturalOrder(a, b));
  if (rows.length > 0) process.stdout.write(`${formatTable(rows.map((row) => row.map(sanitiseText)))}\n`);
  process.stdout.write(`${outcome}\n`);
}

/** The counters under Serf's names, and what Serf does not tell. */
function json({ error, nodes, responses, errors, messages, keys, primaryKeys, silent }: KeyReply): string {
  const sorted = <T>(map: ReadonlyMap<string, T>): Record<string, T> =>
    Object.fromEntries([...map].sort(([a], [b]) => naturalOrder(a, b)));
  return safeJson(
    {
      error,
      num_nodes: nodes,
      num_resp: responses,
      num_err: errors,
      messages: sorted(messages),
      silent,
      keys: keys === undefined ? undefined : sorted(keys),
      primary_keys: primaryKeys.size === 0 ? undefined : sorted(primaryKeys),
    },
    2,
  );
}

function say({ format }: ClusterKeysOptions, line: string): void {
  if (format === 'text') process.stdout.write(`${line}\n`);
}

function hint(approval: KeyApproval): void {
  if (approval.envelope !== undefined) return;
  process.stderr.write(`fanout: the change was not signed: ${sanitiseText(approval.reason)}\n`);
}

/** A key that stands in the arguments can be read by whoever lists the processes: it may come by file or stdin. */
async function keyText(source: string): Promise<string> {
  if (source === '-') return (await readInput()).trim();
  if (!source.startsWith('@')) return source;
  const text = utf8Text(readSecretFile(source.slice(1)));
  if (text !== undefined) return text.trim();
  throw new FanoutError('KEY_INVALID', `${source.slice(1)} is not text`, { hint: 'Is it the right file?' });
}

async function readInput(): Promise<string> {
  let text = '';
  for await (const chunk of process.stdin.setEncoding('utf8')) {
    text += String(chunk);
    if (text.length > INPUT_CHARACTERS_MAX) break;
  }
  return text;
}
