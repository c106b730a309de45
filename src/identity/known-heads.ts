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
const FINGERPRINT = /^SHA256:[A-Za-z0-9+/]{43}$/;
/** Stands for the key in lines from before there was one: whichever key the node shows next. */
const ANY_KEY = '';

const code = 'INTEGRITY' as const;

/** Where the log of a node stood, and the fingerprint of the node key under which it said so. */
export interface NodeHead {
  readonly key: string;
  readonly head: AuditHead;
}

/**
 * Where the audit logs of nodes stood when they answered last: lines `NODE ENVIRONMENT NUMBER HASH FINGERPRINT`, of which
 * the last of a node and its key holds. A head counts for the key that signed it alone: a machine that was set up anew has
 * another key, and its log begins anew. Names are written as in known_nodes. Number 0, without a fingerprint, ends all heads
 * of a node.
 */
export class KnownHeads {
  private readonly path: string;
  /** By node and environment, then by key. */
  private readonly heads = new Map<string, Map<string, AuditHead>>();
  private lines = 0;

  private constructor(path: string) {
    this.path = path;
    this.read();
  }

  /** Throws FanoutError INTEGRITY with file:line for a broken line. */
  static load(path: string): KnownHeads {
    return new KnownHeads(path);
  }

  /** `key` is the fingerprint of the node's key. Undefined when it was never heard, or its new log was accepted. */
  get(environment: string, node: string, key: string): AuditHead | undefined {
    const known = this.heads.get(keyOf(environment, node));
    return known?.get(key) ?? known?.get(ANY_KEY);
  }

  /** Heads that are kept, of all environments and keys. */
  get size(): number {
    return [...this.heads.values()].reduce((sum, known) => sum + known.size, 0);
  }

  /** Keeps heads that are newer than those that are kept. Call it while no other process does. */
  remember(environment: string, heads: ReadonlyMap<string, NodeHead>): void {
    const added: string[] = [];
    for (const [node, { key, head }] of heads) {
      const name = keyOf(environment, node);
      const known = this.heads.get(name);
      const before = known?.get(key) ?? known?.get(ANY_KEY);
      const isNewer = head.seq > (before?.seq ?? 0);
      // A line from before there were keys is this key's from now on, whatever it shows.
      if (!isNewer && known?.has(ANY_KEY) !== true) continue;
      const kept = isNewer || before === undefined ? head : before;
      this.set(name, key, kept);
      added.push(lineOf(name, key, kept));
    }
    this.write(added);
  }

  /** Forgets all heads of a node, whose log may begin anew. False when none was kept. */
  accept(environment: string, node: string): boolean {
    const name = keyOf(environment, node);
    if (!this.heads.delete(name)) return false;
    this.write([lineOf(name, ANY_KEY, { seq: 0, hash: '0'.repeat(64) })]);
    return true;
  }

  private set(name: string, key: string, head: AuditHead): void {
    const known = this.heads.get(name) ?? new Map<string, AuditHead>();
    if (key !== ANY_KEY) known.delete(ANY_KEY);
    this.heads.set(name, known.set(key, head));
  }

  private write(added: readonly string[]): void {
    if (added.length === 0) return;
    this.lines += added.length;
    if (this.lines > STALE_LINES_MAX && this.lines > 2 * this.size) {
      const all = [...this.heads].flatMap(([name, known]) =>
        [...known].map(([key, head]) => lineOf(name, key, head)),
      );
      writeSecretFile(this.path, Buffer.from(all.join('')), { overwrite: true });
      this.lines = all.length;
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
    const [node = '', environment = '', number = '', hash = '', key = ANY_KEY, ...more] = line.split(' ');
    const seq = Number(number);
    const isWhole = more.length === 0 && isEscapedName(node) && isEscapedName(environment);
    const isKey = key === ANY_KEY || FINGERPRINT.test(key);
    const isSeq = /^\d{1,16}$/.test(number) && Number.isSafeInteger(seq);
    if (!isWhole || !isKey || !isSeq || !HASH.test(hash)) {
      throw this.broken(this.lines, 'expected NODE ENVIRONMENT NUMBER HASH FINGERPRINT');
    }
    // Another version of Node may have written the same name in another form.
    const name = keyOf(decodeURIComponent(environment), decodeURIComponent(node));
    if (seq === 0) this.heads.delete(name);
    else this.set(name, key, { seq, hash });
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

function lineOf(name: string, key: string, { seq, hash }: AuditHead): string {
  return key === ANY_KEY ? `${name} ${seq} ${hash}\n` : `${name} ${seq} ${hash} ${key}\n`;
}
