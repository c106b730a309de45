import { expiryOf, type Request } from '../asker/request.ts';
import { fingerprint, type PublicLine } from '../identity/ssh-key.ts';
import { toHex } from '../lib/bytes.ts';
import { sanitiseText } from '../lib/sanitise.ts';
import { formatDuration } from '../lib/time.ts';
import { shownWord } from '../policy/command-string.ts';

/** What an approver has to know before signing: every word of the command, where, by whom, until when. Fit for a terminal. */
export function requestSummary(request: Request, unixMs: number): string {
  const { body, approvals } = request.envelope;
  const leftMs = Math.max(0, expiryOf(request) - unixMs);
  const [program = '', ...args] = body.argv;
  const rows: [string, string][] = [
    ['request', toHex(body.id).slice(0, 8)],
    ['by', person(request.operator)],
    ['command', shownWord(program)],
    ...args.map((word): [string, string] => ['', shownWord(word)]),
    ['environment', body.environment + (body.cluster === '' ? '' : `, cluster ${body.cluster}`)],
    ['nodes', body.selector === '' ? 'everybody' : body.selector],
    ['timeout', formatDuration(body.timeoutMs)],
    ['signed', `${new Date(body.issuedAt * 1000).toISOString()}, runs out in ${formatDuration(leftMs)}`],
    ['approved', approvals.length === 0 ? 'by nobody yet' : request.approvers.map(person).join(', ')],
  ];
  const unknown = approvals.length - request.approvers.length;
  if (unknown > 0) rows.push(['', `and ${unknown} that cannot be checked here`]);
  return rows.map(([name, value]) => `${name.padEnd(13)}${sanitiseText(value)}\n`).join('');
}

/** The name is what the key's file says; the fingerprint is what counts. */
function person({ key, comment }: PublicLine): string {
  return comment === '' ? fingerprint(key) : `${fingerprint(key)} (${comment})`;
}
