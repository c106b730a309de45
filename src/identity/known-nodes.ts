import { closeSync, constants, ftruncateSync, writeSync } from 'node:fs';
import { assert } from '../lib/assert.ts';
import { equalBytes, utf8Text } from '../lib/bytes.ts';
import { FanoutError } from '../lib/errors.ts';
import { IDENTITY_BYTES, identityFingerprint } from './node-key.ts';
import { openOwnedFile, quote, readOpenFile } from './owned-file.ts';

/** Largest file of pins: about 100,000 nodes. */
const FILE_BYTES_MAX = 16 * 1024 * 1024;

const code = 'INTEGRITY' as const;

/** Stands where the identity does. No identity is as short. */
const FORGOTTEN = 'forgotten';
const TIME = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)?$/;

/** What a line says about a node: an identity that it showed, or that what was pinned before counts no more. */
interface Statement {
  readonly node: string;
  readonly environment: string;
  /** Undefined when the pin was forgotten. */
  readonly identity: Uint8Array | undefined;
  /** When, as `2026-11-30T12:00:00Z`; '' in lines that do not say. */
  readonly time: string;
}

interface Pin extends Statement {
  readonly identity: Uint8Array;
  readonly line: number;
}

/** A pin, as people look at it. */
export interface KnownNode {
  readonly node: string;
  readonly environment: string;
  readonly fingerprint: string;
  /** As `2026-11-30T12:00:00Z`; '' when the file does not say. */
  readonly firstSeen: string;
  readonly line: number;
}

/**
 * What a node's identity is to us: pinned, never seen, or another one than the pinned (whose fingerprint is
 * given).
 */
export type PinState = 'known' | 'new' | { readonly changed: string };

/**
 * The identities that nodes showed at first contact, as ssh's known_hosts: lines `NODE ENVIRONMENT
 * base64(identity) [TIME]`. Blanks, `%` and `#` in names are written as in a URL. Empty lines and lines that start
 * with `#` are comments. A pin ends with a line `NODE ENVIRONMENT forgotten [TIME]`: the file is only appended to, so
 * that nothing is lost when several processes write at once, and each reads what the others have added.
 */
export class KnownNodes {
  readonly path: string;
  /** Flags with which "fanout known-nodes" finds this file; '' for the operator's own. */
  private readonly flags: string;
  private readonly pins = new Map<string, Pin>();
  /** Further pins of nodes that have another one. As long as there are any, nothing in the file is to be believed. */
  private readonly conflicts = new Map<string, Pin[]>();
  /** How much of which file is in `pins`: whole lines only. */
  private inode = 0;
  private offset = 0;
  private lines = 0;

  private constructor(path: string, flags: string) {
    this.path = path;
    this.flags = flags;
  }

  /**
   * Reads the file; a missing one holds no pins. Throws FanoutError INTEGRITY with file:line for a broken
   * line.
   */
  static load(path: string, flags = ''): KnownNodes {
    const nodes = new KnownNodes(path, flags);
    nodes.refresh();
    return nodes;
  }

  /**
   * The same to look at and to mend: that a node has two pins is no error, and both are listed. Throws FanoutError
   * INTEGRITY with file:line for a broken line.
   */
  static inspect(path: string): KnownNodes {
    const nodes = new KnownNodes(path, '');
    nodes.readFile();
    return nodes;
  }

  /** All pins, in the order of the file. */
  list(): readonly KnownNode[] {
    const all = [...this.pins.values(), ...[...this.conflicts.values()].flat()];
    return all.sort((a, b) => a.line - b.line).map(shownPin);
  }

  /** Nodes that have a pin. */
  get size(): number {
    return this.pins.size;
  }

  has(environment: string, node: string): boolean {
    return this.pins.has(pinKey(environment, node));
  }

  check(environment: string, node: string, identity: Uint8Array): PinState {
    const pin = this.pins.get(pinKey(environment, node));
    if (pin === undefined) return 'new';
    return equalBytes(pin.identity, identity) ? 'known' : { changed: identityFingerprint(pin.identity) };
  }

  /**
   * What to say when `check` finds another identity than the pinned one: where that is pinned, both fingerprints, and
   * the way out.
   */
  changeOf(environment: string, node: string, identity: Uint8Array): string {
    const pin = this.pins.get(pinKey(environment, node));
    if (pin === undefined) return `the key of "${node}" is not pinned`;
    return (
      `the key of "${node}" has changed: ${this.path}:${pin.line} pins ${identityFingerprint(pin.identity)}, now ` +
      `it shows ${identityFingerprint(identity)}. Somebody may be impersonating it. If its agent ` +
      `prints that node key, run: ${this.forgetCommand(pin)}`
    );
  }

  /** The command that ends the pins of one node, and of no other. */
  forgetCommand({ node, environment }: { node: string; environment: string }): string {
    const others = [...this.pins.values()].some(
      (pin) => pin.node === node && pin.environment !== environment,
    );
    const name = escapeName(node);
    const scope = others ? ` --env ${quote(escapeName(environment))}` : '';
    return `fanout known-nodes forget${this.flags}${scope} ${name.startsWith('-') ? '-- ' : ''}${quote(name)}`;
  }

  /**
   * Ends all pins of a node, in one environment or in all. Returns those that were there. `name` is the name, or as
   * `list` and the file write it. Throws FanoutError INTEGRITY.
   */
  forget(name: string, environment?: string): readonly KnownNode[] {
    this.readFile();
    const node = nameOf(name);
    const where = environment === undefined ? undefined : nameOf(environment);
    const isMeant = (pin: KnownNode): boolean =>
      pin.node === node && (where === undefined || pin.environment === where);
    const gone = this.list().filter(isMeant);
    for (const key of new Set(gone.map((pin) => pinKey(pin.environment, pin.node)))) {
      appendLine(this.path, `${key} ${FORGOTTEN} ${timeNow()}`);
    }
    this.readFile();
    return gone;
  }

  /**
   * Pins an identity unless it is pinned. The file is read again before and after, so that of two processes
   * that pin different identities for one node at the same moment at least one gets an error. Throws
   * FanoutError INTEGRITY when another identity is pinned; it says how to end that pin if the change is
   * wanted.
   */
  remember(environment: string, node: string, identity: Uint8Array): void {
    assert(node !== '' && environment !== '' && identity.length === IDENTITY_BYTES, 'a pin is complete');
    this.refresh();
    const state = this.check(environment, node, identity);
    if (state === 'known') return;
    if (state !== 'new') throw new FanoutError(code, this.changeOf(environment, node, identity));
    const key = pinKey(environment, node);
    appendLine(this.path, `${key} ${Buffer.from(identity).toString('base64')} ${timeNow()}`);
    this.refresh();
  }

  /**
   * Reads what was added since the last time: a run that meets a thousand new nodes must not read all of it
   * each time.
   */
  refresh(): void {
    this.readFile();
    const [conflict] = this.conflicts.values();
    if (conflict !== undefined) throw this.conflictError(conflict);
  }

  private readFile(): void {
    const file = openOwnedFile(this.path, { flags: constants.O_RDONLY, forbidden: 0o022, code });
    if (file === undefined) {
      this.startOver(0);
      return;
    }
    try {
      const { ino, size } = file.stats;
      // Edited, not appended to.
      if (ino !== this.inode || size < this.offset) this.startOver(ino);
      const bytes = readOpenFile(file, { from: this.offset, maxBytes: FILE_BYTES_MAX, code });
      let line = this.lines;
      const wholeLines = bytes.lastIndexOf(0x0a) + 1;
      for (const raw of textOf(this.path, bytes.subarray(0, wholeLines)).split('\n').slice(0, -1)) {
        this.add(raw, ++line);
      }
      this.offset += wholeLines;
      this.lines = line;
      const last = utf8Text(bytes.subarray(wholeLines));
      // Without a newline: written by hand, or by another process that is about to write the rest.
      if (last !== undefined && typeof parseLine(last) !== 'string') this.add(last, this.lines + 1);
    } finally {
      closeSync(file.fd);
    }
  }

  private startOver(inode: number): void {
    this.pins.clear();
    this.conflicts.clear();
    this.inode = inode;
    this.offset = 0;
    this.lines = 0;
  }

  private add(raw: string, line: number): void {
    if (raw.trim() === '' || raw.startsWith('#')) return;
    const said = parseLine(raw);
    if (typeof said === 'string') throw brokenLine(this.path, line, said);
    const key = pinKey(said.environment, said.node);
    const { identity } = said;
    if (identity === undefined) {
      this.pins.delete(key);
      this.conflicts.delete(key);
      return;
    }
    const pin = { ...said, identity, line };
    const earlier = this.pins.get(key);
    if (earlier === undefined) {
      this.pins.set(key, pin);
    } else if (!equalBytes(earlier.identity, identity)) {
      // The last line may be read twice: before its line end was written, and after.
      const others = (this.conflicts.get(key) ?? []).filter((other) => other.line !== line);
      this.conflicts.set(key, [...others, pin]);
    }
  }

  private conflictError([pin]: readonly Pin[]): FanoutError {
    assert(pin !== undefined, 'a conflict has a second pin');
    const first = this.pins.get(pinKey(pin.environment, pin.node));
    assert(first !== undefined, 'a conflict has a first pin');
    return new FanoutError(
      code,
      `${this.path}:${pin.line}: line ${first.line} pins another identity for the same node "${pin.node}": ` +
        `${identityFingerprint(first.identity)} there, ${identityFingerprint(pin.identity)} here`,
      { hint: `Find out which is right, then forget both and meet it again: ${this.forgetCommand(pin)}` },
    );
  }
}

/** The first two fields of a line: unique per node, for the escaped names hold no blank. */
function pinKey(environment: string, node: string): string {
  return `${escapeName(node)} ${escapeName(environment)}`;
}

/** A node chooses its own name: it must not be able to write a second line, or a comment, into this file. */
export function escapeName(name: string): string {
  return name.replace(/[\s\p{C}%#]/gu, (character) => encodeURIComponent(character));
}

/**
 * Whether a field is a name as `escapeName` writes it, here or under another version of Node: which characters beyond ASCII
 * are none (yet) differs. A node could choose such a name, and a newer Node would refuse the whole file.
 */
export function isEscapedName(field: string): boolean {
  try {
    return asciiOf(escapeName(decodeURIComponent(field))) === asciiOf(field);
  } catch {
    return false;
  }
}

function asciiOf(field: string): string {
  return field.replace(/\P{ASCII}/gu, encodeURIComponent);
}

/** The name that a field of the file stands for; a text that is no such field is the name itself. */
function nameOf(text: string): string {
  return isEscapedName(text) ? decodeURIComponent(text) : text;
}

/** What a line says, or what is wrong with it. */
function parseLine(raw: string): Statement | string {
  const fields = raw.trim().split(/[ \t]+/);
  const [node = '', environment = '', what = '', time = ''] = fields;
  const isNamed = isEscapedName(node) && isEscapedName(environment);
  if (fields.length < 3 || fields.length > 4 || !isNamed || !TIME.test(time)) {
    return 'expected NODE ENVIRONMENT IDENTITY';
  }
  const names = { node: decodeURIComponent(node), environment: decodeURIComponent(environment) };
  if (what === FORGOTTEN) return { ...names, identity: undefined, time };
  const identity = Buffer.from(what, 'base64');
  if (identity.length !== IDENTITY_BYTES || identity.toString('base64') !== what) {
    return `the identity must be ${IDENTITY_BYTES} bytes in base64`;
  }
  return { ...names, identity: Uint8Array.from(identity), time };
}

function shownPin({ node, environment, identity, time, line }: Pin): KnownNode {
  return { node, environment, fingerprint: identityFingerprint(identity), firstSeen: time, line };
}

function timeNow(): string {
  return `${new Date().toISOString().slice(0, 19)}Z`;
}

function textOf(path: string, bytes: Uint8Array): string {
  const text = utf8Text(bytes);
  if (text !== undefined) return text;
  throw new FanoutError(code, `${path} is not UTF-8 text`, { hint: 'Is it the right file?' });
}

function brokenLine(path: string, line: number, what: string): FanoutError {
  return new FanoutError(code, `${path}:${line}: ${what}`, {
    hint: `Look at it, and remove it if it is not yours: sed -i ${line}d ${quote(path)}`,
  });
}

function appendLine(path: string, line: string): void {
  const file = openOwnedFile(path, {
    flags: constants.O_RDWR | constants.O_APPEND | constants.O_CREAT,
    createMode: 0o600,
    forbidden: 0o022,
    code,
  });
  if (file === undefined) {
    throw new FanoutError(code, `there is no folder for ${path}`, { hint: 'Make it first, with mode 0700.' });
  }
  try {
    const tail = { from: Math.max(0, file.stats.size - 1), maxBytes: FILE_BYTES_MAX, code };
    const last = readOpenFile(file, tail).at(-1) ?? 0x0a;
    // A line that lost its end (an editor, a full disk) must not swallow ours.
    const start = last === 0x0a ? '' : '\n';
    // One write with O_APPEND: lines of several processes come one after the other, never mixed.
    const bytes = Buffer.from(`${start}${line}\n`);
    if (writeSync(file.fd, bytes) !== bytes.length) {
      // Half a line would make the whole file unreadable as soon as another one follows.
      ftruncateSync(file.fd, file.stats.size);
      throw new FanoutError(code, `${path} was written only in part`, { hint: 'Is the disk full?' });
    }
  } finally {
    closeSync(file.fd);
  }
}
