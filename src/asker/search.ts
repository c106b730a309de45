import type { Outputs } from './outputs.ts';

/** Where a text was found in what one node wrote. */
export interface Found {
  readonly node: string;
  readonly count: number;
  /** The line of the first hit, counted from 0. */
  readonly line: number;
  readonly text: string;
}

/**
 * Searches everything that was written, a chunk at a time so that a screen stays alive meanwhile. Without a capital letter
 * in the text, case does not count.
 */
export class OutputSearch {
  readonly found: Found[] = [];
  private readonly outputs: Outputs;
  private readonly query: string;
  private readonly ignoresCase: boolean;
  private readonly work: Generator<void>;
  private finished = false;

  constructor(outputs: Outputs, names: readonly string[], query: string) {
    this.outputs = outputs;
    this.query = query;
    this.ignoresCase = query === query.toLowerCase();
    this.work = this.chunks(names);
  }

  get isDone(): boolean {
    return this.finished;
  }

  /** Looks through one more chunk. */
  step(): void {
    if (this.work.next().done === true) this.finished = true;
  }

  private *chunks(names: readonly string[]): Generator<void> {
    for (const node of names) {
      let count = 0;
      let line = 0;
      let before = '';
      const decoder = new TextDecoder();
      for (const { data, linesBefore } of this.outputs.chunks(node)) {
        const decoded = decoder.decode(data, { stream: true });
        const text = before + (this.ignoresCase ? decoded.toLowerCase() : decoded);
        for (
          let at = text.indexOf(this.query);
          at >= 0;
          at = text.indexOf(this.query, at + this.query.length)
        ) {
          if (count === 0) line = Math.max(0, linesBefore - endsIn(before) + endsIn(text.slice(0, at)));
          count++;
        }
        // A hit may lie across the border of two chunks.
        before = this.query.length > 1 ? text.slice(-(this.query.length - 1)) : '';
        yield;
      }
      if (count > 0) {
        const [first] = this.outputs.lines(node, line, 1);
        this.found.push({ node, count, line, text: first?.text ?? '' });
      }
    }
  }
}

function endsIn(text: string): number {
  let count = 0;
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) count++;
  return count;
}
