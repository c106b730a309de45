import { closeSync, constants, writeSync } from 'node:fs';
import { utf8Text } from '../lib/bytes.ts';
import { FanoutError } from '../lib/errors.ts';
import type { AuditHead } from './audit-record.ts';
import { escapeName, isEscapedName } from './known-nodes.ts';
import { openOwnedFile, quote, readOpenFile } from './owned-file.ts';
import { writeSecretFile } from './secret-file.ts';

/** Largest file that is read: about 300,000 lines. */
const FILE_BYTES_MAX = 32 * 1024 * 1024;
/** Lines that say nothing any more before the file is written anew. */
const STALE_LINES_MAX = 5000;
const HASH = /^[0-9a-f]{64}$/;

const code = 'INTEGRITY' as const;

/**
 * Where the audit logs of nodes stood when they answered last: lines `NODE ENVIRONMENT NUMBER HASH`, of which the last
 * of a node holds. Names are written as in known_nodes. Number 0 stands for an operator who accepted a new log.
 */
export class KnownHeads {
  private readonly path: string;
  private readonly heads = new Map<string, AuditHead>();
  private lines = 0;

  private constructor(path: string) {
    this.path = path;
    this.read();
  }

  /** Throws FanoutError INTEGRITY with file:line for a broken line. */
  static load(path: string): KnownHeads {
    return new KnownHeads(path);
  }

  /** Undefined for a node that was never heard, or whose new log was accepted. */
  get(environment: string, node: string): AuditHead | undefined {
    const head = this.heads.get(keyOf(environment, node));
    return head?.seq === 0 ? undefined : head;
  }

  /** Nodes whose head is kept, of all environments. */
  get size(): number {
    return [...this.heads.values()].filter(({ seq }) => seq > 0).length;
  }

  /** Keeps heads that are newer than those that are kept. Call it while no other process does. */
  remember(environment: string, heads: ReadonlyMap<string, AuditHead>): void {
    const added: string[] = [];
    for (const [node, head] of heads) {
      const key = keyOf(environment, node);
      if (head.seq <= (this.heads.get(key)?.seq ?? 0)) continue;
      this.heads.set(key, head);
      added.push(lineOf(key, head));
    }
    this.write(added);
  }

  /** Forgets the head of a node, whose log may begin anew. False when none was kept. */
  accept(environment: string, node: string): boolean {
    const key = keyOf(environment, node);
    if ((this.heads.get(key)?.seq ?? 0) === 0) return false;
    const head = { seq: 0, hash: '0'.repeat(64) };
    this.heads.set(key, head);
    this.write([lineOf(key, head)]);
    return true;
  }

  private write(added: readonly string[]): void {
    if (added.length === 0) return;
    this.lines += added.length;
    if (this.lines > STALE_LINES_MAX && this.lines > 2 * this.heads.size) {
      const all = [...this.heads].map(([key, head]) => lineOf(key, head)).join('');
      writeSecretFile(this.path, Buffer.from(all), { overwrite: true });
      this.lines = this.heads.size;
      return;
    }
    const { O_WRONLY, O_APPEND, O_CREAT } = constants;
    const flags = O_WRONLY | O_APPEND | O_CREAT;
    const file = openOwnedFile(this.path, { flags, createMode: 0o600, forbidden: 0o022, code });
    if (file === undefined) {
      throw new FanoutError(code, `there is no folder for ${this.path}`, {
        hint: 'Make it, with mode 0700.',
      });
    }
    try {
      writeSync(file.fd, added.join(''));
    } finally {
      closeSync(file.fd);
    }
  }

  private read(): void {
    const file = openOwnedFile(this.path, { flags: constants.O_RDONLY, forbidden: 0o022, code });
    if (file === undefined) return;
    try {
      const bytes = readOpenFile(file, { from: 0, maxBytes: FILE_BYTES_MAX, code });
      // What has no line end was cut off by a full disk, or is being written: it says nothing.
      const whole = utf8Text(bytes.subarray(0, bytes.lastIndexOf(0x0a) + 1));
      if (whole === undefined) throw this.broken(1, 'the file is not UTF-8 text');
      for (const line of whole.split('\n').slice(0, -1)) {
        this.lines++;
        if (line.trim() !== '' && !line.startsWith('#')) this.add(line);
      }
    } finally {
      closeSync(file.fd);
    }
  }

  private add(line: string): void {
    const [node = '', environment = '', number = '', hash = '', ...more] = line.split(' ');
    const seq = Number(number);
    const isWhole = more.length === 0 && isEscapedName(node) && isEscapedName(environment);
    if (!isWhole || !/^\d{1,16}$/.test(number) || !Number.isSafeInteger(seq) || !HASH.test(hash)) {
      throw this.broken(this.lines, 'expected NODE ENVIRONMENT NUMBER HASH');
    }
    this.heads.set(`${node} ${environment}`, { seq, hash });
  }

  private broken(line: number, what: string): FanoutError {
    return new FanoutError(code, `${this.path}:${line}: ${what}`, {
      hint: `Look at it, and remove the line: sed -i ${line}d ${quote(this.path)}`,
    });
  }
}

/**
 * What a node's audit log has lost since an earlier head, '' when nothing. `now` is the head with the record of a
 * command that ran after `before` was kept, so an honest log has gone on.
 */
export function lostSince(before: AuditHead | undefined, now: AuditHead | null): string {
  if (before === undefined || (now !== null && now.seq > before.seq)) return '';
  if (now === null) {
    return `its audit log has no record of this command: it had record ${before.seq} before`;
  }
  return `its audit log was rewritten or lost: it had record ${before.seq}, now ${now.seq}`;
}

function keyOf(environment: string, node: string): string {
  return `${escapeName(node)} ${escapeName(environment)}`;
}

function lineOf(key: string, { seq, hash }: AuditHead): string {
  return `${key} ${seq} ${hash}\n`;
}
