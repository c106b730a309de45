import { closeSync, constants, writeSync } from 'node:fs';
import { assert } from '../lib/assert.ts';
import { equalBytes, utf8Text } from '../lib/bytes.ts';
import { FanoutError } from '../lib/errors.ts';
import { IDENTITY_BYTES, identityFingerprint } from './node-key.ts';
import { openOwnedFile, quote, readOpenFile } from './owned-file.ts';

/** Largest file of pins: about 100,000 nodes. */
const FILE_BYTES_MAX = 16 * 1024 * 1024;

const code = 'INTEGRITY' as const;

interface Pin {
  readonly identity: Uint8Array;
  readonly line: number;
}

/**
 * What a node's identity is to us: pinned, never seen, or another one than the pinned (whose fingerprint is
 * given).
 */
export type PinState = 'known' | 'new' | { readonly changed: string };

/**
 * The identities that nodes showed at first contact, as ssh's known_hosts: lines `NODE ENVIRONMENT
 * base64(identity)`. Blanks, `%` and `#` in names are written as in a URL. Empty lines and lines that start
 * with `#` are comments.
 */
export class KnownNodes {
  private readonly path: string;
  private readonly pins = new Map<string, Pin>();
  /** How much of which file is in `pins`: whole lines only. */
  private inode = 0;
  private offset = 0;
  private lines = 0;

  private constructor(path: string) {
    this.path = path;
    this.refresh();
  }

  /**
   * Reads the file; a missing one holds no pins. Throws FanoutError INTEGRITY with file:line for a broken
   * line.
   */
  static load(path: string): KnownNodes {
    return new KnownNodes(path);
  }

  check(environment: string, node: string, identity: Uint8Array): PinState {
    const pin = this.pins.get(pinKey(environment, node));
    if (pin === undefined) return 'new';
    return equalBytes(pin.identity, identity) ? 'known' : { changed: identityFingerprint(pin.identity) };
  }

  /**
   * Pins an identity unless it is pinned. The file is read again before and after, so that of two processes
   * that pin different identities for one node at the same moment at least one gets an error. Throws
   * FanoutError INTEGRITY when another identity is pinned; the hint says which line to remove if the change
   * is wanted.
   */
  remember(environment: string, node: string, identity: Uint8Array): void {
    assert(node !== '' && environment !== '' && identity.length === IDENTITY_BYTES, 'a pin is complete');
    this.refresh();
    const state = this.check(environment, node, identity);
    if (state === 'known') return;
    if (state !== 'new') throw this.changedError(environment, node, identity, state.changed);
    const key = pinKey(environment, node);
    appendLine(this.path, `${key} ${Buffer.from(identity).toString('base64')}`);
    this.refresh();
  }

  /**
   * Reads what was added since the last time: a run that meets a thousand new nodes must not read all of it
   * each time.
   */
  refresh(): void {
    const file = openOwnedFile(this.path, { flags: constants.O_RDONLY, forbidden: 0o022, code });
    if (file === undefined) {
      this.forget(0);
      return;
    }
    try {
      const { ino, size } = file.stats;
      // Edited, not appended to.
      if (ino !== this.inode || size < this.offset) this.forget(ino);
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

  private forget(inode: number): void {
    this.pins.clear();
    this.inode = inode;
    this.offset = 0;
    this.lines = 0;
  }

  private add(raw: string, line: number): void {
    if (raw.trim() === '' || raw.startsWith('#')) return;
    const pin = parseLine(raw);
    if (typeof pin === 'string') throw brokenLine(this.path, line, pin);
    const earlier = this.pins.get(pin.key);
    if (earlier === undefined) {
      this.pins.set(pin.key, { identity: pin.identity, line });
    } else if (!equalBytes(earlier.identity, pin.identity)) {
      const what = `line ${earlier.line} pins another identity for the same node`;
      throw brokenLine(this.path, line, what);
    }
  }

  private changedError(environment: string, node: string, identity: Uint8Array, old: string): FanoutError {
    const line = this.pins.get(pinKey(environment, node))?.line ?? 0;
    const shown = `${identityFingerprint(identity)}, pinned is ${old}`;
    return new FanoutError(code, `the identity of node ${node} has changed: it shows ${shown}`, {
      hint:
        'Either the node was set up anew, or somebody answers in its place. Compare its fingerprint on the ' +
        'node itself. ' +
        `If it is right, remove the old pin: sed -i ${line}d ${quote(this.path)}`,
    });
  }
}

/** The first two fields of a line: unique per node, for the escaped names hold no blank. */
function pinKey(environment: string, node: string): string {
  return `${escapeName(node)} ${escapeName(environment)}`;
}

/** A node chooses its own name: it must not be able to write a second line, or a comment, into this file. */
function escapeName(name: string): string {
  return name.replace(/[\s\p{C}%#]/gu, (character) => encodeURIComponent(character));
}

function isEscapedName(field: string): boolean {
  try {
    return escapeName(decodeURIComponent(field)) === field;
  } catch {
    return false;
  }
}

/** The pin of a line, or what is wrong with it. */
function parseLine(raw: string): { key: string; identity: Uint8Array } | string {
  const fields = raw.trim().split(/[ \t]+/);
  const [node = '', environment = '', encoded = ''] = fields;
  if (fields.length !== 3 || !isEscapedName(node) || !isEscapedName(environment)) {
    return 'expected NODE ENVIRONMENT IDENTITY';
  }
  const identity = Buffer.from(encoded, 'base64');
  if (identity.length !== IDENTITY_BYTES || identity.toString('base64') !== encoded) {
    return `the identity must be ${IDENTITY_BYTES} bytes in base64`;
  }
  return { key: `${node} ${environment}`, identity: Uint8Array.from(identity) };
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
      throw new FanoutError(code, `${path} was written only in part`, { hint: 'Is the disk full?' });
    }
  } finally {
    closeSync(file.fd);
  }
}
