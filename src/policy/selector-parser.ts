import { FanoutError } from '../lib/errors.ts';
import { refusedCharacter } from './characters.ts';
import { caretExcerpt } from './excerpt.ts';
import type { Selector, SelectorNode, ValuePattern } from './selector.ts';
import { didYouMean } from './suggest.ts';
import { checkValue, compileChecked, compileValue } from './value-pattern.ts';

/**
 * Bounds. A node reads selectors before it knows who signed them: 32 KiB of names take it a few milliseconds, and
 * compiling a pattern some 30 us.
 */
const SELECTOR_LENGTH_MAX = 32 * 1024;
const DEPTH_MAX = 32;
const TERMS_MAX = 2048;
const PATTERNS_MAX = 16;

export interface SelectorOptions {
  /** The text of a saved selection; undefined when there is none of that name. Without it `@name` is an error. */
  readonly saved?: (name: string) => string | undefined;
  /** Names of the saved selections, for "did you mean". */
  readonly savedNames?: readonly string[];
}

/**
 * Reads a selector:
 *
 *     role=web*              a tag, by glob                 role!=web         the opposite, also where there is no tag
 *     role=web,api           either                         dc='new york'     quotes around anything unusual
 *     node=web[01-20]        the name                       web[01-20],db1    the same: a word alone is a name
 *     tag.node=x             a tag called node              @canaries         a saved selection
 *     a and b or not (c)     also & | !, && ||; "not" binds tightest, then "and"
 *
 * Throws FanoutError USAGE: what is wrong, the place, the way out.
 */
export function parseSelector(text: string, options: SelectorOptions = {}): Selector {
  return new Parser(text, options, []).whole();
}

/** One term from parts that a flag gave apart, such as `--node` and its value. Throws FanoutError USAGE. */
export function termOf(tag: string | undefined, texts: readonly string[]): SelectorNode {
  return { kind: 'term', tag, patterns: texts.map((text) => ({ text, matches: compileValue(text) })) };
}

interface Budget {
  terms: number;
  patterns: number;
}

class Parser {
  private readonly text: string;
  private readonly options: SelectorOptions;
  /** Saved selections that are being read: one that comes again goes round in circles. */
  private readonly open: readonly string[];
  private readonly budget: Budget;
  private at = 0;
  private depth = 0;

  constructor(text: string, options: SelectorOptions, open: readonly string[], budget?: Budget) {
    this.text = text;
    this.options = options;
    this.open = open;
    this.budget = budget ?? { terms: 0, patterns: 0 };
  }

  whole(): Selector {
    if (this.text.length > SELECTOR_LENGTH_MAX) {
      throw this.error(
        0,
        `the selection is longer than ${SELECTOR_LENGTH_MAX} characters`,
        'Select by a tag.',
      );
    }
    const refused = refusedCharacter(this.text);
    if (refused !== undefined) throw this.error(refused.index, `a ${refused.name}`, 'Remove it.');
    this.blanks();
    if (this.at === this.text.length) return { root: undefined };
    const root = this.either();
    if (this.at < this.text.length) {
      const hint = 'Put "and" or "or" between two conditions, and quotes around a value with blanks.';
      throw this.error(
        this.at,
        this.text[this.at] === ')' ? 'a ) that nothing opens' : 'two conditions side by side',
        hint,
      );
    }
    return { root };
  }

  private either(): SelectorNode {
    return this.list('or', () => this.list('and', () => this.one()));
  }

  private list(kind: 'and' | 'or', part: () => SelectorNode): SelectorNode {
    const first = part();
    const parts = [first];
    while (this.operator(kind)) parts.push(part());
    if (parts.length === 1) return first;
    // (a and b) and c is the same as a and b and c, and has the same text.
    return { kind, of: parts.flatMap((one) => (one.kind === kind ? one.of : [one])) };
  }

  private one(): SelectorNode {
    if (++this.depth > DEPTH_MAX)
      throw this.error(this.at, `nested deeper than ${DEPTH_MAX}`, 'Write it flatter.');
    const node = this.inner();
    this.depth--;
    return node;
  }

  private inner(): SelectorNode {
    if (this.take('(')) {
      const node = this.either();
      if (!this.take(')')) throw this.error(this.at, 'a ( that nothing closes', 'Write the ) as well.');
      return node;
    }
    if (this.operator('not')) return negated(this.one());
    return this.term();
  }

  private term(): SelectorNode {
    const start = this.at;
    if (++this.budget.terms > TERMS_MAX)
      throw this.error(start, `more than ${TERMS_MAX} conditions`, 'Select by a tag.');
    if (this.text[start] === '@') return this.saved();
    const first = this.value(true);
    const isOperator = /^(and|or)$/i.test(first) && /^\w+$/.test(this.text.slice(start, this.at));
    if (isOperator || (first === '' && this.at === start))
      throw this.error(start, 'a condition is missing here', EXAMPLES);
    const sign = /^!?=/.exec(this.text.slice(this.at, this.at + 2))?.[0];
    if (sign === undefined) return { kind: 'term', tag: undefined, patterns: this.patterns(start, first) };
    const key = this.text.slice(start, this.at);
    if (!/^[\w.:@+/-]+$/.test(key)) throw this.error(start, `"${key}" is no name of a tag`, EXAMPLES);
    this.at += sign.length;
    const tag = key === 'node' ? undefined : key.startsWith('tag.') ? key.slice('tag.'.length) : key;
    const valueAt = this.at;
    const value = this.value(false);
    if (this.at === valueAt)
      throw this.error(valueAt, `"${key}" has no value`, `Write ${key}='' for an empty one.`);
    const term: SelectorNode = { kind: 'term', tag, patterns: this.patterns(valueAt, value) };
    return sign === '!=' ? negated(term) : term;
  }

  /** The alternatives of which the first was read already. */
  private patterns(start: number, first: string): ValuePattern[] {
    const patterns = [this.pattern(start, first)];
    while (this.text[this.at] === ',') {
      this.at++;
      const at = this.at;
      const next = this.value(false);
      if (this.at === at) throw this.error(at, 'nothing behind the comma', EXAMPLES);
      patterns.push(this.pattern(at, next));
    }
    this.blanks();
    return patterns;
  }

  private pattern(at: number, text: string): ValuePattern {
    try {
      const cost = checkValue(text);
      this.budget.terms += cost.values;
      if (this.budget.terms > TERMS_MAX)
        throw this.error(at, `more than ${TERMS_MAX} values`, 'Select by a tag.');
      if (cost.isGlob && ++this.budget.patterns > PATTERNS_MAX) {
        throw this.error(
          at,
          `more than ${PATTERNS_MAX} wildcards`,
          'Select by a tag, or by numbers: web[1-20].',
        );
      }
      return { text, matches: compileChecked(text) };
    } catch (error) {
      if (!(error instanceof FanoutError)) throw error;
      throw this.error(at, error.message, error.hint ?? '');
    }
  }

  /** Reads up to the next thing that has a meaning: a blank, a bracket, an operator, a comma, and in a key the sign. */
  private value(isKey: boolean): string {
    let value = '';
    while (this.at < this.text.length) {
      const character = this.text[this.at] as string;
      if (character === "'" || character === '"') {
        value += this.quoted(character);
        continue;
      }
      if (/[\s()&|,]/.test(character)) break;
      if (isKey && (character === '=' || (character === '!' && this.text[this.at + 1] === '='))) break;
      if (character === '[') {
        const close = this.text.indexOf(']', this.at);
        const end = close < 0 ? this.text.length : close + 1;
        value += this.text.slice(this.at, end);
        this.at = end;
        continue;
      }
      value += character;
      this.at++;
    }
    return value;
  }

  private quoted(quote: string): string {
    const close = this.text.indexOf(quote, this.at + 1);
    if (close < 0)
      throw this.error(this.at, 'a quote that is not closed', `Write the second ${quote} as well.`);
    const inner = this.text.slice(this.at + 1, close);
    this.at = close + 1;
    return inner;
  }

  private saved(): SelectorNode {
    const start = this.at;
    const name = /^@([\w.-]*)/.exec(this.text.slice(start))?.[1] ?? '';
    const { saved, savedNames = [] } = this.options;
    if (saved === undefined)
      throw this.error(start, 'a saved selection has no meaning here', 'Write it out.');
    const text = saved(name);
    if (text === undefined) {
      const hint = didYouMean(name, savedNames) ?? 'fanout select list shows them.';
      throw this.error(start, `there is no saved selection "${name}"`, hint);
    }
    if (this.open.includes(name))
      throw this.error(start, `"@${name}" contains itself`, 'Change one of the two.');
    if (this.open.length === DEPTH_MAX)
      throw this.error(
        start,
        `more than ${DEPTH_MAX} saved selections inside each other`,
        'Write it flatter.',
      );
    this.at += name.length + 1;
    this.blanks();
    const { root } = new Parser(text, this.options, [...this.open, name], this.budget).whole();
    if (root === undefined)
      throw this.error(start, `the saved selection "${name}" is empty`, 'Leave it out.');
    return root;
  }

  private take(character: string): boolean {
    if (this.text[this.at] !== character) return false;
    this.at++;
    this.blanks();
    return true;
  }

  private operator(kind: 'and' | 'or' | 'not'): boolean {
    const match = OPERATORS[kind].exec(this.text.slice(this.at, this.at + 4));
    if (match === null) return false;
    this.at += match[0].length;
    this.blanks();
    return true;
  }

  private blanks(): void {
    while (this.text[this.at] === ' ' || this.text[this.at] === '\t') this.at++;
  }

  private error(at: number, problem: string, hint: string): FanoutError {
    return new FanoutError(
      'USAGE',
      `the selection cannot be read: ${problem}\n${caretExcerpt(this.text, at)}`,
      { hint },
    );
  }
}

const OPERATORS = {
  and: /^(?:and(?=[\s('"]|$)|&&?)/i,
  or: /^(?:or(?=[\s('"]|$)|\|\|?)/i,
  not: /^(?:not(?=[\s('"]|$)|!)/i,
};
const EXAMPLES = 'Write it like role=web, node=web[01-20] or role=web and not dc=tyo.';

/** Two negations are none: one meaning, one text. */
function negated(node: SelectorNode): SelectorNode {
  return node.kind === 'not' ? node.of : { kind: 'not', of: node };
}
