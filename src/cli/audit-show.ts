import { operatorLogPath } from '../asker/operator-log.ts';
import { type CheckedRecord, walkAuditChain } from '../identity/audit-verify.ts';
import { FanoutError } from '../lib/errors.ts';
import { safeJson, sanitiseText } from '../lib/sanitise.ts';
import { parseDuration } from '../lib/time.ts';
import { commandText } from '../policy/command-text.ts';
import { formatTable } from './table.ts';

export interface AuditShowOptions {
  readonly node?: string;
  readonly id?: string;
  readonly since?: string;
  readonly operator?: string;
  readonly format: 'text' | 'json' | 'ndjson';
}

/** Rows that are laid out together: their columns line up, and a long log still fits into memory. */
const ROWS_AT_ONCE = 1000;

/** `fanout audit show`: the records of a log that match. 7 when its chain breaks; what comes before that is shown. */
export async function showAudit(file: string | undefined, options: AuditShowOptions): Promise<number> {
  const path = file ?? operatorLogPath();
  const matches = matcherOf(options, Date.now());
  const walk = walkAuditChain(path);
  const printer = printerOf(options.format);
  for (;;) {
    const { done, value } = walk.next();
    if (done !== true) {
      if (matches(value)) printer.record(value);
      continue;
    }
    printer.end();
    if (value.ok) return 0;
    process.stderr.write(`fanout: ${sanitiseText(`${value.file}:${value.line}: ${value.reason}`)}\n`);
    return 7;
  }
}

function matcherOf(options: AuditShowOptions, nowUnixMs: number): (record: CheckedRecord) => boolean {
  const { node, id, since, operator } = options;
  const ageMs = since === undefined ? undefined : parseDuration(since);
  if (since !== undefined && ageMs === undefined) {
    throw new FanoutError('USAGE', `--since ${since}: not a duration`, { hint: 'Write 30m, 1h or 24h.' });
  }
  return ({ fields, unixMs }) => {
    if (ageMs !== undefined && unixMs < nowUnixMs - ageMs) return false;
    if (id !== undefined && !textOf(fields.id).startsWith(id)) return false;
    if (operator !== undefined && fields.operator !== operator && fields.key !== operator) return false;
    return node === undefined || fields.node === node || listOf(fields.targets).includes(node);
  };
}

interface Printer {
  record(record: CheckedRecord): void;
  end(): void;
}

function printerOf(format: AuditShowOptions['format']): Printer {
  if (format === 'ndjson') {
    return { record: ({ fields }) => write(`${safeJson(fields)}\n`), end: () => {} };
  }
  if (format === 'json') {
    let separator = '{"records":[\n';
    const record = ({ fields }: CheckedRecord): void => {
      write(separator + safeJson(fields));
      separator = ',\n';
    };
    return { record, end: () => write(separator.startsWith('{') ? '{"records":[]}\n' : '\n]}\n') };
  }
  let rows: string[][] = [];
  const flush = (): void => {
    if (rows.length > 0) write(`${formatTable(rows)}\n`);
    rows = [];
  };
  return {
    record: (record) => {
      rows.push(rowOf(record));
      if (rows.length === ROWS_AT_ONCE) flush();
    },
    end: flush,
  };
}

function write(text: string): void {
  process.stdout.write(text);
}

/** Time, number, what, run, who and where, and the rest. Whoever wrote the log chose every word of it. */
function rowOf({ seq, unixMs, event, fields }: CheckedRecord): string[] {
  const time = new Date(unixMs).toISOString().slice(0, 19).replace('T', ' ');
  const who = [textOf(fields.operator), textOf(fields.node)].filter((word) => word !== '').join('@');
  const cells = [String(seq), event, textOf(fields.id).slice(0, 8), who === '' ? '-' : who, detailOf(fields)];
  return [time, ...cells.map((cell) => sanitiseText(cell === '' ? '-' : cell))];
}

function detailOf(fields: CheckedRecord['fields']): string {
  const parts: string[] = [];
  const add = (name: string, value: unknown): void => {
    const shown = typeof value === 'object' && value !== null ? JSON.stringify(value) : textOf(value);
    if (shown !== '') parts.push(name === '' ? shown : `${name} ${shown}`);
  };
  const argv = listOf(fields.argv);
  if (argv.length > 0) add('', commandText(argv));
  if (fields.count !== undefined) add('', `on ${textOf(fields.count)} nodes`);
  for (const name of [
    'selector',
    'query',
    'handler',
    'outcome',
    'state',
    'exit',
    'rule',
    'code',
    'signal',
    'cause',
    'reason',
  ]) {
    add(name, fields[name]);
  }
  for (const name of ['auditProblem', 'approvedBy', 'leftOut', 'counts', 'after', 'dropped', 'saved']) {
    add(name, fields[name]);
  }
  return parts.join('  ');
}

function textOf(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

function listOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}
