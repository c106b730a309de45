import { closeSync, constants, existsSync, openSync } from 'node:fs';
import { codeOf, FanoutError } from '../lib/errors.ts';
import { rotatedFiles } from './audit-files.ts';
import {
  type AuditHead,
  type AuditLine,
  CHAIN_START,
  CONTINUED,
  LINE_BYTES_MAX,
  parseAuditLine,
  sha256Hex,
} from './audit-record.ts';
import { linesForward, TOO_LONG } from './file-lines.ts';
import { quote } from './owned-file.ts';

/** A record whose place in the chain was checked. */
export interface CheckedRecord extends AuditLine {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  readonly hash: string;
}

/** What a check of the whole log found, its rotated files included. `line` counts from 1 in `file`. */
export type AuditVerdict =
  | {
      readonly ok: true;
      readonly records: number;
      readonly head: AuditHead;
      /** What a crash left of a line; the next start of the agent sets it aside. */
      readonly tornBytes: number;
      /** The number of the first record that is kept: above 1, rotation has dropped those before it. */
      readonly firstSeq: number;
      readonly files: number;
    }
  | { readonly ok: false; readonly file: string; readonly line: number; readonly reason: string };

/**
 * Checks every line of a log, from its oldest file on. The chain alone cannot show that the newest lines were cut off,
 * that the very last one was changed, or that all was written anew: for that give heads that were kept elsewhere, and
 * they must be in the chain. Throws FanoutError INTEGRITY only when a file cannot be read.
 */
export function verifyAuditChain(path: string, ...keptHeads: readonly AuditHead[]): AuditVerdict {
  const walk = walkAuditChain(path, keptHeads);
  for (;;) {
    const { done, value } = walk.next();
    if (done === true) return value;
  }
}

/** The records of a log one by one, as long as the chain holds; at the end what `verifyAuditChain` says. */
export function* walkAuditChain(
  path: string,
  keptHeads: readonly AuditHead[] = [],
): Generator<CheckedRecord, AuditVerdict> {
  const kept = new Map(keptHeads.map(({ seq, hash }) => [seq, hash]));
  const rotated = rotatedFiles(path).reverse();
  // A crash between two steps of a rotation leaves no file of the log's own name: the chain ends in the one before.
  const files = rotated.length > 0 && !existsSync(path) ? rotated : [...rotated, path];
  let end = CHAIN_START;
  let firstSeq = 1;
  let records = 0;
  for (const file of files) {
    const isLast = file === files.at(-1);
    const fd = openLog(file);
    let number = 0;
    const broken = (reason: string): AuditVerdict => ({ ok: false, file, line: number, reason });
    try {
      for (const { line: bytes, isWhole } of linesForward(fd, LINE_BYTES_MAX)) {
        number++;
        if (bytes === TOO_LONG) return broken('the line is too long for a record');
        if (!isWhole) {
          if (!isLast && bytes.length > 0) return broken('the line is torn: it has no end');
          if (!isLast) break;
          const missing = [...kept.keys()].find((seq) => seq > end.seq);
          if (missing !== undefined) return broken(`the log ends here, but it once had ${missing} records`);
          const { seq, hash } = end;
          return {
            ok: true,
            records,
            head: { seq, hash },
            tornBytes: bytes.length,
            firstSeq,
            files: files.length,
          };
        }
        const line = parseAuditLine(bytes);
        if (line === undefined) return broken('the line is not a record');
        // Where older files were dropped, the chain begins with the record that says so.
        if (records === 0 && line.event === CONTINUED && line.seq > 1) {
          firstSeq = line.seq;
          end = { seq: line.seq - 1, hash: line.prev, unixMs: 0 };
        }
        const problem = misplaced(line, end);
        if (problem !== undefined) return broken(problem);
        const hash = sha256Hex(bytes);
        if ((kept.get(line.seq) ?? hash) !== hash) return broken('it is not the record it once was');
        end = { seq: line.seq, hash, unixMs: line.unixMs };
        records++;
        yield { ...line, file, line: number, hash };
      }
    } finally {
      closeSync(fd);
    }
  }
  return { ok: false, file: path, line: 0, reason: 'the file could not be read to its end' };
}

/** Why a line cannot come after the end of the chain. */
function misplaced(line: AuditLine, end: { seq: number; hash: string; unixMs: number }): string | undefined {
  const belongs = end.seq + 1;
  if (line.seq > belongs) {
    const count = line.seq - belongs;
    return `record ${line.seq} stands where ${belongs} belongs: ${count} removed, or the lines were reordered`;
  }
  if (line.seq < belongs) {
    return `record ${line.seq} stands where ${belongs} belongs: doubled, or the lines were reordered`;
  }
  if (line.prev !== end.hash) return 'the line before this one was changed or replaced';
  if (line.unixMs < end.unixMs) return 'its time is before that of the line before';
  return undefined;
}

function openLog(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const why = codeOf(error);
    throw new FanoutError('INTEGRITY', `the audit log ${path} cannot be read: ${why}`, {
      hint: `Look at: ls -l ${quote(path)}`,
      cause: error,
    });
  }
}
