import { structuredPatch } from 'diff';

export interface DiffLine {
  readonly kind: 'head' | 'context' | 'added' | 'removed';
  readonly text: string;
}

export interface Diff {
  /** Empty when both are the same. */
  readonly lines: readonly DiffLine[];
  /** Why there is no comparison, '' when there is one. */
  readonly problem: string;
}

/** Texts above this are too long to be compared while somebody waits. */
const TEXT_LENGTH_MAX = 4 * 1024 * 1024;
/** Lines added and removed beyond which texts have nothing to do with each other; the cost grows with its square. */
const EDITS_MAX = 2000;
const CONTEXT_LINES = 3;

/** The unified difference of two texts, in three lines of context. Takes a bounded time. */
export function diffTexts(before: string, after: string): Diff {
  if (before === after) return { lines: [], problem: '' };
  if (before.length > TEXT_LENGTH_MAX || after.length > TEXT_LENGTH_MAX) {
    return tooDifferent(before, after, 'too long to compare line by line');
  }
  const options = { context: CONTEXT_LINES, maxEditLength: EDITS_MAX };
  const patch = structuredPatch('', '', before, after, '', '', options);
  if (patch === undefined) return tooDifferent(before, after, 'too different to compare line by line');
  const lines = patch.hunks.flatMap(({ oldStart, oldLines, newStart, newLines, lines: hunk }): DiffLine[] => [
    { kind: 'head', text: `@@ -${oldStart},${oldLines} +${newStart},${newLines} @@` },
    ...hunk.map(diffLine),
  ]);
  return { lines, problem: '' };
}

function diffLine(line: string): DiffLine {
  const sign = line[0];
  const kind = sign === '+' ? 'added' : sign === '-' ? 'removed' : 'context';
  return { kind, text: sign === '\\' ? line : line.slice(1) };
}

function tooDifferent(before: string, after: string, problem: string): Diff {
  const [old, now] = [before.split('\n', 100_000), after.split('\n', 100_000)];
  const at = old.findIndex((line, i) => line !== now[i]);
  const line = at < 0 ? Math.min(old.length, now.length) : at;
  return { lines: [], problem: `${problem}; the first difference is in line ${line + 1}` };
}
