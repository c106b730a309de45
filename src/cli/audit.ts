import { join } from 'node:path';
import { crossCheck, readAskerLog } from '../asker/audit-cross.ts';
import { agentAddress, connectAgent } from '../asker/connect.ts';
import { loadKnownHeads, operatorLogPath, withOperatorLog } from '../asker/operator-log.ts';
import { verifyAuditChain } from '../identity/audit-verify.ts';
import { FanoutError } from '../lib/errors.ts';
import { sanitiseText } from '../lib/sanitise.ts';

/** A log that does not hold, or two that do not agree. */
const EXIT_INTEGRITY = 7;

/** `fanout audit verify`: 0 when every log holds, 7 when one does not. */
export async function verify(
  files: readonly string[],
  options: { readonly dataDir?: string },
): Promise<number> {
  const { dataDir } = options;
  const paths = [...files, ...(dataDir === undefined ? [] : [join(dataDir, 'audit.jsonl')])];
  let code = 0;
  for (const path of paths.length === 0 ? [operatorLogPath()] : paths) {
    const verdict = verifyAuditChain(path);
    if (!verdict.ok) say('stderr', `${verdict.file}:${verdict.line}: ${verdict.reason}`);
    else if (verdict.tornBytes > 0) {
      const line = 'its last line is torn: it has no end. A crash leaves that, and the next record mends it';
      say('stderr', `${path}: after record ${verdict.head.seq}: ${line}`);
    } else say('stdout', wholeText(path, verdict));
    if (!verdict.ok || verdict.tornBytes > 0) code = EXIT_INTEGRITY;
  }
  return code;
}

function wholeText(
  path: string,
  { records, head, firstSeq, files }: Extract<ReturnType<typeof verifyAuditChain>, { ok: true }>,
): string {
  if (records === 0) return `${path}: holds, and is empty`;
  const where = files > 1 ? ` in ${files} files` : '';
  const dropped = firstSeq > 1 ? `; those before ${firstSeq} were dropped with the oldest files` : '';
  return `${path}: holds: records ${firstSeq} to ${head.seq}${where}${dropped}; head ${head.hash}`;
}

/** `fanout audit cross`: 0 when the logs agree, 7 when they do not. */
export async function cross(logs: readonly string[], options: { readonly log?: string }): Promise<number> {
  const own = readAskerLog(options.log ?? operatorLogPath());
  let code = 0;
  const differs = (text: string): void => {
    code = EXIT_INTEGRITY;
    say('stderr', text);
  };
  if (own.problem !== '') differs(own.problem);
  for (const argument of logs) {
    const [, name, file = argument] = /^([^=/]+)=(.+)$/s.exec(argument) ?? [];
    const { node, agreeing, others, differences, notes } = crossCheck(own, file, name);
    const who = node === '' ? file : node;
    for (const what of differences) differs(`${who}: ${what}`);
    const parts = [`${agreeing} agree`, `${differences.length} differ`, `${others} of other operators`];
    if (notes.length > 0) parts.push(`${notes.length} cannot be compared`);
    say('stdout', `${who}: ${parts.join(', ')}`);
  }
  return code;
}

/** `fanout audit accept NODE`: the node's log may begin anew. */
export async function accept(
  node: string,
  options: { readonly env?: string; readonly rpcAddr?: string },
): Promise<number> {
  const environment = options.env ?? (await environmentOf(options.rpcAddr));
  const isKnown = await withOperatorLog(() => loadKnownHeads().accept(environment, node));
  if (!isKnown) {
    throw new FanoutError('USAGE', `no record of the audit log of "${node}" in "${environment}" is kept`, {
      hint: 'There is nothing to accept: the next answer of that node is taken as it is.',
    });
  }
  say('stdout', `${node} (${environment}): its audit log may begin anew`);
  return 0;
}

async function environmentOf(rpcAddr: string | undefined): Promise<string> {
  const client = await connectAgent(agentAddress(rpcAddr));
  try {
    return (await client.info()).environment;
  } finally {
    client.close();
  }
}

function say(stream: 'stdout' | 'stderr', text: string): void {
  process[stream].write(stream === 'stdout' ? `${sanitiseText(text)}\n` : `fanout: ${sanitiseText(text)}\n`);
}
