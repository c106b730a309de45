import type { YamlPath } from '../yaml-source.ts';

/**
 * How bad it is. A danger refuses the file unless its rule says `dangerous: "why"`; a warning is something that the author
 * hardly meant; an information is something to know.
 */
export type Level = 'danger' | 'warn' | 'info';

/** What the lint says about one place of a policy. */
export interface LintFinding {
  readonly level: Level;
  /** One stable word, for whoever counts or filters. */
  readonly code: string;
  /** Where it stands in the file. */
  readonly path: YamlPath;
  /** At the key instead of its value. */
  readonly atKey?: boolean;
  readonly message: string;
  /** The way out. */
  readonly hint: string;
  /** It comes from `defaults`, whose sentence about dangers counts too. */
  readonly isInherited?: boolean;
  /** The rule's own sentence about its dangers; undefined where nobody has said why. */
  readonly accepted?: string | undefined;
}
