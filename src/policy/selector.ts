import type { Selector } from '../identity/envelope.ts';
import { FanoutError } from '../lib/errors.ts';
import { compileGlob, isGlob } from './glob.ts';

/**
 * Patterns with wildcards that one selector may have. A node evaluates selectors before it knows who signed
 * them, and compiling a pattern costs some 30 us: this many stay around half a millisecond. One more, and it
 * matches nobody.
 */
const SELECTOR_GLOBS_MAX = 16;

/** What a selector is about. The tags are the node's own configured ones, never what gossip says about it. */
interface Selectable {
  readonly name: string;
  readonly tags: ReadonlyMap<string, string>;
}

/** Reads `role=web*`. Throws FanoutError USAGE with what is wrong. */
export function parseTagSelector(text: string): readonly [name: string, glob: string] {
  const at = text.indexOf('=');
  if (at < 1) {
    throw new FanoutError('USAGE', `the tag selector "${text}" is not of the form name=pattern`, {
      hint: 'Write --tag role=web, or --tag "role=web*".',
    });
  }
  const [name, pattern] = [text.slice(0, at), text.slice(at + 1)];
  compileGlob(pattern);
  return [name, pattern];
}

/**
 * Whether a member is selected: its name matches one of the node patterns, and each selected tag has a value
 * that matches one of the patterns for that tag. An empty selector selects everybody; a tag that a member
 * lacks never matches. A pattern that cannot be used selects nobody, because what arrives here may be
 * anybody's.
 */
export function matchesSelector(selector: Selector, member: Selectable): boolean {
  const patterns = [...selector.nodes, ...selector.tags.map(([, pattern]) => pattern)];
  if (patterns.filter(isGlob).length > SELECTOR_GLOBS_MAX) return false;
  const byTag = new Map<string, string[]>();
  for (const [name, pattern] of selector.tags) byTag.set(name, [...(byTag.get(name) ?? []), pattern]);
  for (const [name, wanted] of byTag) {
    const value = member.tags.get(name);
    if (value === undefined || !wanted.some((pattern) => matchesPattern(pattern, value))) return false;
  }
  const { nodes } = selector;
  return nodes.length === 0 || nodes.some((pattern) => matchesPattern(pattern, member.name));
}

function matchesPattern(pattern: string, value: string): boolean {
  if (!isGlob(pattern)) return pattern === value;
  try {
    return compileGlob(pattern)(value);
  } catch (error) {
    if (error instanceof FanoutError) return false;
    throw error;
  }
}
