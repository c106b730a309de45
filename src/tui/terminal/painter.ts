/** What the terminal shows at the moment, as far as we have painted it. */
interface Painted {
  readonly lines: readonly string[];
  readonly cursor: Cursor | undefined;
}

interface Cursor {
  readonly row: number;
  readonly column: number;
}

const SYNC_START = '\u001b[?2026h';
const SYNC_END = '\u001b[?2026l';
const RESET = '\u001b[0m';
const ERASE_TO_END = '\u001b[K';
const HIDE_CURSOR = '\u001b[?25l';
const SHOW_CURSOR = '\u001b[?25h';

/**
 * Brings a terminal from one screen to the next: only lines that changed are written, each at its place. Never clears
 * the screen (that flickers, and in some terminals takes the scrollback with it) and never lets it scroll. Ink's own writer
 * does both on full-height frames, which is why it does not get to the terminal.
 */
export class Painter {
  private painted: Painted | undefined;

  /** The next screen is written whole: after a resize, a suspension, or when something else has written there. */
  forget(): void {
    this.painted = undefined;
  }

  /** The text that makes the terminal show these lines; '' when it does already. Lines are no wider than the screen. */
  paint(lines: readonly string[], cursor: Cursor | undefined): string {
    const before = this.painted;
    const changes: string[] = [];
    for (const [row, line] of lines.entries()) {
      if (before?.lines[row] === line) continue;
      changes.push(`\u001b[${row + 1};1H${RESET}${line}${RESET}${ERASE_TO_END}`);
    }
    for (let row = lines.length; row < (before?.lines.length ?? 0); row++) {
      changes.push(`\u001b[${row + 1};1H${RESET}${ERASE_TO_END}`);
    }
    const hasMoved = !isSame(before?.cursor, cursor);
    this.painted = { lines, cursor };
    if (changes.length === 0 && !hasMoved && before !== undefined) return '';
    const place = cursor === undefined ? '' : `\u001b[${cursor.row + 1};${cursor.column + 1}H${SHOW_CURSOR}`;
    return `${SYNC_START}${HIDE_CURSOR}${changes.join('')}${place}${SYNC_END}`;
  }
}

function isSame(a: Cursor | undefined, b: Cursor | undefined): boolean {
  return a?.row === b?.row && a?.column === b?.column;
}
