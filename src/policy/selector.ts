import type { Matcher } from './glob.ts';

/** What a selector is about. The tags are the node's own configured ones, never what gossip says about it. */
export interface Selectable {
  readonly name: string;
  readonly tags: ReadonlyMap<string, string>;
}

/** One alternative of a term, compiled, with its text as it was meant (without quotes). */
export interface ValuePattern {
  readonly text: string;
  readonly matches: Matcher;
}

export type SelectorNode =
  /** `tag` undefined: the member's name. */
  | { readonly kind: 'term'; readonly tag: string | undefined; readonly patterns: readonly ValuePattern[] }
  | { readonly kind: 'not'; readonly of: SelectorNode }
  | { readonly kind: 'and' | 'or'; readonly of: readonly SelectorNode[] };

/** Whom something is for. Without a root: everybody. */
export interface Selector {
  readonly root: SelectorNode | undefined;
}

export const EVERYBODY: Selector = { root: undefined };

/** What is known of a member. Undefined: unknown. */
interface KnownOfMember {
  readonly name: string | undefined;
  readonly tags: ReadonlyMap<string, string> | undefined;
}

/** Whether a member is selected. A tag that a member lacks matches no pattern. */
export function matchesSelector(selector: Selector, member: Selectable): boolean {
  return selects(selector, member) === true;
}

/** Whether a member of this name can be meant, whatever its tags: false only when the name alone rules it out. */
export function mayMatchName(selector: Selector, name: string): boolean {
  return selects(selector, { name, tags: undefined }) !== false;
}

/** As `matchesSelector`, for a member of which not everything is known: undefined when it hangs on that. */
export function selects({ root }: Selector, member: KnownOfMember): boolean | undefined {
  return root === undefined || holds(root, member);
}

function holds(node: SelectorNode, member: KnownOfMember): boolean | undefined {
  switch (node.kind) {
    case 'term': {
      const isUnknown = node.tag === undefined ? member.name === undefined : member.tags === undefined;
      if (isUnknown) return undefined;
      const value = node.tag === undefined ? member.name : member.tags?.get(node.tag);
      return value !== undefined && node.patterns.some(({ matches }) => matches(value));
    }
    case 'not': {
      const inner = holds(node.of, member);
      return inner === undefined ? undefined : !inner;
    }
    case 'and':
    case 'or': {
      // One part that is so decides; without one, an unknown part leaves the whole unknown.
      const deciding = node.kind === 'or';
      let result: boolean | undefined = !deciding;
      for (const part of node.of) {
        const one = holds(part, member);
        if (one === deciding) return deciding;
        if (one === undefined) result = undefined;
      }
      return result;
    }
  }
}

/** Selects those whom all of them select. */
export function allOf(...selectors: readonly Selector[]): Selector {
  const nodes = selectors.flatMap(({ root }) =>
    root === undefined ? [] : root.kind === 'and' ? root.of : [root],
  );
  return { root: nodes.length > 1 ? { kind: 'and', of: nodes } : nodes[0] };
}

/** The selector as text, one spelling for each: '' for everybody. Reading it gives the same selector. */
export function selectorText(selector: Selector): string {
  return selector.root === undefined ? '' : nodeText(selector.root);
}

function nodeText(node: SelectorNode): string {
  switch (node.kind) {
    case 'term':
      return termText(node, '=');
    case 'not':
      if (node.of.kind === 'term') return termText(node.of, '!=');
      return `not (${nodeText(node.of)})`;
    case 'and':
      return node.of.map((one) => (one.kind === 'or' ? `(${nodeText(one)})` : nodeText(one))).join(' and ');
    case 'or':
      return node.of.map(nodeText).join(' or ');
  }
}

function termText(term: Extract<SelectorNode, { kind: 'term' }>, sign: '=' | '!='): string {
  const key = term.tag === undefined ? 'node' : term.tag === 'node' ? 'tag.node' : tagKey(term.tag);
  return `${key}${sign}${term.patterns.map(({ text }) => valueText(text)).join(',')}`;
}

function tagKey(tag: string): string {
  return tag.startsWith('tag.') ? `tag.${tag}` : tag;
}

/**
 * A value as selector text that means it and nothing else; undefined when it has wildcards in it, which quotes do not take
 * away. Names are anybody's choice: a member called `*` must not stand for everybody.
 */
export function exactText(value: string): string | undefined {
  return /[*?[\]\\]/.test(value) ? undefined : valueText(value);
}

const BARE_VALUE = /^(?:[\w.:@/+*?-]|\[[^[\]\s'"()]*\])+$/;

/** A value as the language reads it back: bare where nothing in it has a meaning, else in quotes. */
function valueText(text: string): string {
  if (BARE_VALUE.test(text)) return text;
  if (!text.includes("'")) return `'${text}'`;
  return text.includes('"')
    ? text
        .split("'")
        .map((part) => `'${part}'`)
        .join(`"'"`)
    : `"${text}"`;
}
