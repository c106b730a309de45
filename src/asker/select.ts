import { readFileSync } from 'node:fs';
import { FanoutError } from '../lib/errors.ts';
import { naturalOrder } from '../lib/natural-order.ts';
import { sanitiseText } from '../lib/sanitise.ts';
import {
  allOf,
  matchesSelector,
  type Selector,
  type SelectorNode,
  selectorText,
} from '../policy/selector.ts';
import { parseSelector, type SelectorOptions, termOf } from '../policy/selector-parser.ts';
import type { MemberRecord } from '../rpc/members.ts';
import { savedSelections } from './saved-selections.ts';

/** The flags that choose members. All of them have to hold. */
export interface SelectionFlags {
  /** `name=glob` or `name!=glob`; the same name twice means either. */
  readonly tag?: readonly string[];
  /** Globs or sets; several mean either. */
  readonly node?: readonly string[];
  /** As --node; also `@saved`, `^FILE` and `-`, which read names from a file or standard input. */
  readonly nodes?: readonly string[];
  /** Sets that are left out. */
  readonly exclude?: readonly string[];
  /** The selector language. */
  readonly select?: readonly string[];
}

/** The selector of the flags; everybody when there are none. Throws FanoutError USAGE. */
export function selectorFrom(flags: SelectionFlags): Selector {
  const options = savedOptions();
  const parts: Selector[] = [...tagSelectors(flags.tag ?? [])];
  for (const flag of ['node', 'nodes'] as const) {
    const texts = flags[flag] ?? [];
    if (texts.length > 0) parts.push(either(texts.map((text) => setOf(text, `--${flag}`, options))));
  }
  for (const text of flags.exclude ?? []) {
    const { root } = setOf(text, '--exclude', options);
    if (root !== undefined) parts.push({ root: { kind: 'not', of: root } });
  }
  for (const text of flags.select ?? []) {
    const selector = parseSelector(text, options);
    if (selector.root === undefined) throw empty('--select');
    parts.push(selector);
  }
  return normal(allOf(...parts));
}

/** Saved selections, read only when one is asked for. */
function savedOptions(): SelectorOptions {
  let all: ReadonlyMap<string, string> | undefined;
  const read = (): ReadonlyMap<string, string> => {
    all ??= savedSelections();
    return all;
  };
  return {
    saved: (name) => read().get(name),
    get savedNames() {
      return [...read().keys()];
    },
  };
}

/** Decides whether a member matches the flags. */
export function matcherFrom(flags: SelectionFlags): (member: MemberRecord) => boolean {
  const selector = selectorFrom(flags);
  return (member) => matchesSelector(selector, member);
}

/** Whether any flag chooses members. */
export function hasSelection(flags: SelectionFlags): boolean {
  return [flags.tag, flags.node, flags.nodes, flags.exclude, flags.select].some((one) => one !== undefined);
}

/** Names of the living members that match. Throws FanoutError NO_MATCH, saying who is there, when there is none. */
export function targetsOf(selector: Selector, members: readonly MemberRecord[]): string[] {
  const matching = members
    .filter((member) => matchesSelector(selector, member))
    .sort((a, b) => naturalOrder(a.name, b.name));
  const alive = matching.filter(({ status }) => status === 'alive');
  if (alive.length > 0) return alive.map(({ name }) => name);
  const gone = matching.map(({ name, status }) => `${sanitiseText(name)} (${status})`).join(', ');
  throw new FanoutError(
    'NO_MATCH',
    gone === '' ? 'no member matches' : `no living member matches, only ${gone}`,
    {
      hint: `${members.length} member${members.length === 1 ? ' is' : 's are'} known; "fanout members" lists them with their tags.`,
    },
  );
}

/** `--tag`: the value is a pattern as it stands, blanks and all; commas separate alternatives. */
function tagSelectors(texts: readonly string[]): Selector[] {
  const wanted = new Map<string, string[]>();
  const excluded: SelectorNode[] = [];
  for (const text of texts) {
    const match = /^(\w[\w.:@+/-]*)(!?=)(.*)$/s.exec(text);
    if (match === null) {
      throw new FanoutError('USAGE', `the tag selector "${text}" is not of the form name=pattern`, {
        hint: 'Write --tag role=web, --tag "role=web*" or --tag role!=db.',
      });
    }
    const [, name = '', sign, value = ''] = match;
    const values = alternatives(value);
    if (sign === '=') wanted.set(name, [...(wanted.get(name) ?? []), ...values]);
    else excluded.push({ kind: 'not', of: termOf(name, values) });
  }
  const terms = [...wanted].map(([name, values]): SelectorNode => termOf(name, values));
  return [...terms, ...excluded].map((root) => ({ root }));
}

/** Splits at commas, but not within brackets. */
function alternatives(text: string): string[] {
  return text.match(/(?:\[[^\]]*\]|[^,])+/g) ?? [''];
}

/** Splits at commas and blanks, but not within brackets. */
function namesOf(text: string): string[] {
  return text.split(/[,\s]+(?![^[\]]*\])/).filter((name) => name !== '');
}

/** A set: names, ranges and patterns, `@saved`, `^FILE` and `-`, with commas between them. */
function setOf(text: string, flag: string, options: SelectorOptions): Selector {
  const items = namesOf(text);
  if (items.length === 0) throw empty(flag);
  return either(
    items.map((item): Selector => {
      if (item.startsWith('@')) return parseSelector(item, options);
      if (item === '-') return namesFrom('/dev/stdin', 'standard input');
      if (item.startsWith('^')) return namesFrom(item.slice(1), item.slice(1));
      return nameTerm([item]);
    }),
  );
}

/** One name a line, or several; what follows a # is a comment. */
function namesFrom(path: string, shown: string): Selector {
  let text: string;
  try {
    text = readFileSync(path === '/dev/stdin' ? 0 : path, 'utf8');
  } catch (error) {
    throw new FanoutError('USAGE', `cannot read the names in ${shown}`, {
      hint: 'Give a file with one name a line.',
      cause: error,
    });
  }
  const names = namesOf(text.replace(/(^|\s)#.*$/gm, ''));
  if (names.length === 0) {
    throw new FanoutError('USAGE', `there is no name in ${shown}`, { hint: 'Write one name a line.' });
  }
  return nameTerm(names);
}

function nameTerm(names: readonly string[]): Selector {
  for (const name of names) {
    const outside = name.replace(/\[[^\]]*\]/g, '');
    if (!/[!&]|^[@^]/.test(outside)) continue;
    throw new FanoutError('USAGE', `"${name}" is not a name, a range or a pattern`, {
      hint: 'Leave nodes out with --exclude. Files have names only.',
    });
  }
  return { root: termOf(undefined, names) };
}

/** An empty variable in a script must not mean everybody. */
function empty(flag: string): FanoutError {
  return new FanoutError('USAGE', `${flag} is empty`, {
    hint: 'Leave it out, or say which nodes are meant.',
  });
}

function either(selectors: readonly Selector[]): Selector {
  const roots = selectors.flatMap(({ root }) => (root === undefined ? [] : [root]));
  const patterns = roots.flatMap((root) =>
    root.kind === 'term' && root.tag === undefined ? root.patterns : [],
  );
  const others = roots.filter((root) => root.kind !== 'term' || root.tag !== undefined);
  const of: SelectorNode[] =
    patterns.length > 0 ? [{ kind: 'term', tag: undefined, patterns }, ...others] : others;
  return { root: of.length > 1 ? { kind: 'or', of } : of[0] };
}

/** Through its own text: flags that mean the same make the same selector, and what could not be sent is refused here. */
function normal(selector: Selector): Selector {
  return parseSelector(selectorText(selector));
}
