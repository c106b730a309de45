import { isAlias, isMap, isScalar, isSeq, parseDocument } from 'yaml';
import { FanoutError, type FanoutErrorCode, messageOf } from '../lib/errors.ts';
import { shown } from './characters.ts';
import { caretExcerpt } from './excerpt.ts';

/** Where a value stands: keys and indices from the top of the file. */
export type YamlPath = readonly (string | number)[];

/** Where a value begins, and where its key does. An item of a list is its own key. */
interface Offsets {
  readonly key: number;
  readonly value: number;
}

/** What a source is for, so that its errors say the right words. */
export interface SourceKind {
  /** The code of every error. */
  readonly code: FanoutErrorCode;
  /** The way out of a file without content; undefined: it is a mapping without keys. */
  readonly whenEmpty: string | undefined;
}

const POLICY_SOURCE: SourceKind = {
  code: 'POLICY_INVALID',
  whenEmpty: 'Start from one of the files in policies/.',
};

/** Keys that mean something to JavaScript objects. Nobody needs them. */
const RESERVED_KEYS = new Set(['__proto__', 'constructor', 'prototype']);
/** Deeper than every key of a policy or a configuration; bounds the recursion. */
const DEPTH_MAX = 12;
/**
 * Line ends, tabs and printable text. Control, bidi and invisible characters would show a reviewer another
 * file.
 */
const UNREADABLE = /(?!\r?\n|\t)[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

/** A place in a text as people name it. */
export interface Spot {
  /** From 1. */
  readonly line: number;
  /** From 1, in UTF-16 units. */
  readonly column: number;
  /** The line, and a caret under the place. */
  readonly excerpt: string;
}

/** An error about a place in a file. Its message is what it says, with file, line and excerpt around it. */
export class SourceError extends FanoutError {
  readonly spot: Spot;
  readonly problem: string;

  constructor(code: SourceKind['code'], file: string, spot: Spot, problem: string, hint: string | undefined) {
    super(code, `${file}:${spot.line}: ${problem}\n${spot.excerpt}`, {
      ...(hint === undefined ? {} : { hint }),
    });
    this.spot = spot;
    this.problem = problem;
  }
}

/**
 * A YAML text (JSON is YAML too), and for each of its values the place in the text. Only the part of YAML that reads the same to
 * everybody is taken: one document with text keys, each once; no alias, anchor, tag, merge key, directive or
 * parser warning.
 */
export class YamlSource {
  readonly file: string;
  /** Maps as objects without a prototype, sequences as arrays. */
  readonly value: unknown;
  private readonly kind: SourceKind;
  private readonly text: string;
  private readonly offsets = new Map<string, Offsets>();

  /** Throws FanoutError with the kind's code. `file` is for messages only. */
  constructor(text: string, file: string, kind: SourceKind = POLICY_SOURCE) {
    this.file = file;
    this.kind = kind;
    this.text = text.startsWith('\uFEFF') ? text.slice(1) : text;
    this.value = this.read();
  }

  /** FanoutError about the value at `path` or its key, with line, excerpt and caret. */
  error(path: YamlPath, message: string, options: { hint?: string; atKey?: boolean } = {}): SourceError {
    return this.errorAt(this.offsetOf(path, options.atKey === true), message, options.hint);
  }

  /** Where the value at `path` (or its key) begins; for one that is missing, what it is missing in. */
  offsetOf(path: YamlPath, atKey = false): number {
    for (let length = path.length; length >= 0; length--) {
      const found = this.offsets.get(JSON.stringify(path.slice(0, length)));
      if (found !== undefined) return atKey || length < path.length ? found.key : found.value;
    }
    return 0;
  }

  /** Line, column and excerpt of the value at `path`, or of its key. */
  spotOf(path: YamlPath, atKey = false): Spot {
    return this.spotAt(this.offsetOf(path, atKey));
  }

  private errorAt(offset: number, message: string, hint: string | undefined): SourceError {
    return new SourceError(this.kind.code, this.file, this.spotAt(offset), shown(message), hint);
  }

  private spotAt(offset: number): Spot {
    const start = this.text.lastIndexOf('\n', offset - 1) + 1;
    const end = this.text.indexOf('\n', offset);
    const line = this.text.slice(start, end < 0 ? undefined : end).replace(/\r$/, '');
    const number = this.text.slice(0, start).split('\n').length;
    const column = Math.min(offset - start, line.length);
    return { line: number, column: column + 1, excerpt: caretExcerpt(line, column) };
  }

  private read(): unknown {
    const unreadable = UNREADABLE.exec(this.text);
    if (unreadable !== null) {
      const hint = 'Remove it: it would show a reviewer something else than what is in force.';
      throw this.errorAt(unreadable.index, 'an invisible or control character', hint);
    }
    const directive = /^%/m.exec(this.text);
    if (directive !== null) throw this.errorAt(directive.index, 'a YAML directive', 'Remove this line.');
    const document = this.parse();
    const problem = document.errors[0] ?? document.warnings[0];
    if (problem !== undefined) {
      throw this.errorAt(problem.pos[0], `not valid YAML: ${problem.message}`, YAML_HINTS[problem.code]);
    }
    if (document.contents === null) {
      const { whenEmpty } = this.kind;
      if (whenEmpty === undefined) return Object.create(null);
      throw this.errorAt(0, 'the file is empty', whenEmpty);
    }
    return this.plain(document.contents, [], document.contents.range?.[0] ?? 0);
  }

  private parse(): ReturnType<typeof parseDocument> {
    try {
      return parseDocument(this.text, {
        version: '1.2',
        schema: 'core',
        strict: true,
        uniqueKeys: true,
        merge: false,
        prettyErrors: false,
      });
    } catch (cause) {
      throw this.errorAt(0, `not valid YAML: ${messageOf(cause)}`, undefined);
    }
  }

  private plain(node: unknown, path: YamlPath, keyOffset: number): unknown {
    const place = this.check(node, keyOffset);
    if (path.length > DEPTH_MAX)
      throw this.errorAt(place, 'too many levels', 'Nothing that has a meaning here is as deep.');
    const isItem = typeof path.at(-1) === 'number';
    this.offsets.set(JSON.stringify(path), { key: isItem ? place : keyOffset, value: place });
    if (isMap(node)) return this.plainMap(node.items, path);
    if (isSeq(node)) return node.items.map((item, index) => this.plain(item, [...path, index], place));
    const value = isScalar(node) ? node.value : null;
    if (typeof value === 'string') this.checkText(value, place);
    return value;
  }

  /** What the text of the file may not have, an escape inside double quotes must not bring in either. */
  private checkText(value: string, place: number): void {
    if (UNREADABLE.test(value)) {
      throw this.errorAt(place, 'a control or invisible character, written as an escape', 'Remove it.');
    }
  }

  private plainMap(items: readonly { key: unknown; value: unknown }[], path: YamlPath): object {
    const object: Record<string, unknown> = Object.create(null);
    for (const { key, value } of items) {
      const place = this.check(key, 0);
      const name = isScalar(key) ? key.value : undefined;
      if (typeof name !== 'string') throw this.errorAt(place, 'this key is not text', 'Put it in quotes.');
      if (name === '<<') throw this.errorAt(place, 'a merge key', 'Write the keys out.');
      this.checkText(name, place);
      if (RESERVED_KEYS.has(name))
        throw this.errorAt(place, `the key "${name}" is reserved`, 'Take another name.');
      object[name] = this.plain(value, [...path, name], place);
    }
    return object;
  }

  /** Refuses what makes one place mean another, and returns where the node stands. */
  private check(node: unknown, otherwise: number): number {
    if (isAlias(node)) {
      const hint = 'Write the value out. For a text that begins with *, put it in quotes.';
      throw this.errorAt(node.range?.[0] ?? otherwise, 'a YAML alias', hint);
    }
    if (!isMap(node) && !isSeq(node) && !isScalar(node)) return otherwise;
    const place = node.range?.[0] ?? otherwise;
    if (node.anchor !== undefined)
      throw this.errorAt(place, 'a YAML anchor', 'Write the value out where it is needed.');
    if (node.tag !== undefined) {
      throw this.errorAt(place, 'a YAML tag', 'Remove it. For a text that begins with !, put it in quotes.');
    }
    return place;
  }
}

const YAML_HINTS: Readonly<Record<string, string>> = {
  DUPLICATE_KEY: 'Of two values for one key only one could hold. Remove one.',
  MULTIPLE_DOCS: 'One file is one document. Remove the line ---',
  TAB_AS_INDENT: 'Indent with spaces.',
  TAG_RESOLVE_FAILED: 'Remove the tag. For a text that begins with !, put it in quotes.',
};
