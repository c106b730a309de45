/** What a program can do beside what it is called for. */
export type Harm = 'starts' | 'writes' | 'reads' | 'changes' | 'endless' | 'terminal';

/**
 * Spellings of arguments, with blanks between: `--output` a long option, also abbreviated and with `=value`; `-o` a short
 * one, also in a cluster or with its value attached; `=-i` this word alone; `.e` a letter in a bundle without a dash (`ps
 * auxe`); `~@*` a glob over any argument; everything else a glob over an argument that is not an option.
 */
type Spellings = string;

/** What a word means that stands for an action, as `restart` does for systemctl. */
interface Verbs {
  /** Which of the arguments that are no options it is, from 0. */
  readonly at: number;
  /** Only when one of these stands in front. */
  readonly under?: string;
  /** Harmless words, for `other`. */
  readonly safe?: string;
  /** What the words do that are named nowhere. */
  readonly other?: Harm;
  readonly means: Partial<Record<Harm, string>>;
  /** Whether any beginning of a word stands for it. */
  readonly abbreviates?: boolean;
}

/** What is known of a program. */
export interface ProgramFacts {
  /** Names, with blanks between; globs where there are versions. */
  readonly names: string;
  /** What it does whatever its arguments. */
  readonly does?: Harm;
  /** Except with one of these. */
  readonly unless?: Spellings;
  readonly options?: Partial<Record<Harm, Spellings>>;
  /** Options that take a value, so that the argument behind them is none of its own. */
  readonly valued?: Spellings;
  /** Words that look like an abbreviation of something harmful and are complete. */
  readonly complete?: string;
  /** Options are whole words behind one dash (`find -exec`): no clusters. */
  readonly hasWordOptions?: boolean;
  readonly verbs?: readonly Verbs[];
  /** From this argument on (no options counted) they are files, and what of them is shown. */
  readonly paths?: { readonly from: number; readonly shows: 'content' | 'names' };
  /** From this argument on, each does this: the second file of uniq is written. */
  readonly at?: { readonly from: number; readonly harm: Harm };
  /** Arguments and values that are code. Exact words that are `safe` cannot harm. */
  readonly code?: {
    readonly at?: { readonly from: number; readonly to: number };
    readonly after?: Spellings;
    readonly safe: RegExp;
  };
  /** Words that must not be within reach of a wildcard when something is changed, such as units of the system. */
  readonly guarded?: string;
  /** Never ends with one number alone: vmstat 1. */
  readonly repeatsByNumber?: boolean;
}

export const HARM_TEXT: Readonly<Record<Harm, string>> = {
  starts: 'starts other programs',
  writes: 'writes where it is told to',
  reads: 'reads by the side',
  changes: 'changes something',
  endless: 'never ends by itself',
  terminal: 'drives the terminal of whoever reads the answer',
};
