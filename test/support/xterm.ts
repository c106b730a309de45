import xterm from '@xterm/headless';

/** A terminal in memory: what a person would see of the bytes that were written to it. */
export class Xterm {
  private readonly terminal: xterm.Terminal;
  /** Everything that was written. */
  written = '';

  constructor(columns = 80, rows = 24) {
    this.terminal = new xterm.Terminal({ cols: columns, rows, allowProposedApi: true, scrollback: 100 });
  }

  write(text: string): Promise<void> {
    this.written += text;
    return new Promise((resolve) => this.terminal.write(text, resolve));
  }

  resize(columns: number, rows: number): void {
    this.terminal.resize(columns, rows);
  }

  /** The lines of the screen, without blanks at their ends. */
  get screen(): string[] {
    const { active } = this.terminal.buffer;
    return Array.from({ length: this.terminal.rows }, (_, row) =>
      (active.getLine(active.viewportY + row)?.translateToString(true) ?? '').trimEnd(),
    );
  }

  get cursor(): { row: number; column: number } {
    const { cursorX, cursorY } = this.terminal.buffer.active;
    return { row: cursorY, column: cursorX };
  }

  /** Lines that have scrolled out: none, when a screen is painted in place. */
  get scrolled(): number {
    return this.terminal.buffer.active.baseY;
  }

  /** The screen as an SVG picture: one text per run of equal attributes, the same bytes for the same screen. */
  svg(title: string): string {
    const [width, height] = [8.4, 17];
    const { active } = this.terminal.buffer;
    const parts: string[] = [];
    for (let row = 0; row < this.terminal.rows; row++) {
      const line = active.getLine(active.viewportY + row);
      if (line === undefined) continue;
      let run = { text: '', at: 0, css: '' };
      const flush = (): void => {
        const blank = run.text.trim() === '';
        const inverse = run.css.includes('i');
        const x = (12 + run.at * width).toFixed(1);
        const y = 46 + row * height;
        if (inverse) {
          const size = (run.text.length * width).toFixed(1);
          parts.push(`<rect class="i" x="${x}" y="${y - 13}" width="${size}" height="${height}"/>`);
        }
        if (!blank) {
          const size = (run.text.trimEnd().length * width).toFixed(1);
          const css = run.css === '' ? '' : ` class="${inverse ? 'v' : run.css}"`;
          parts.push(
            `<text${css} x="${x}" y="${y}" textLength="${size}">${escaped(run.text.trimEnd())}</text>`,
          );
        }
      };
      for (let column = 0; column < this.terminal.cols; column++) {
        const cell = line.getCell(column);
        if (cell === undefined || cell.getWidth() === 0) continue;
        const css = classOf(cell);
        if (css !== run.css) {
          flush();
          run = { text: '', at: column, css };
        }
        run.text += cell.getChars() || ' ';
      }
      flush();
    }
    const [w, h] = [24 + this.terminal.cols * width, 46 + this.terminal.rows * height + 4];
    return `<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve" viewBox="0 0 ${w.toFixed(0)} ${h}" role="img" aria-label="${escaped(title)}">
<style>rect.b{fill:#1b1d23}rect.i{fill:#c9ccd3}text{font:14px ui-monospace,Menlo,Consolas,monospace;fill:#c9ccd3;white-space:pre}.t{fill:#8a8f99}.d{fill:#7d828c}.o{font-weight:bold;fill:#fff}.g{fill:#7ec699}.r{fill:#f08d8d;font-weight:bold}.y{fill:#e2c08d}.c{fill:#78c6d6}.v{fill:#1b1d23}</style>
<rect class="b" width="100%" height="100%" rx="6"/>
<text class="t" x="12" y="22">${escaped(title)}</text>
${parts.join('\n')}
</svg>
`;
  }
}

function classOf(cell: xterm.IBufferCell): string {
  if (cell.isInverse() !== 0) return 'i';
  if (cell.isFgPalette())
    return ({ 1: 'r', 2: 'g', 3: 'y', 6: 'c' } as Record<number, string>)[cell.getFgColor()] ?? '';
  if (cell.isBold() !== 0) return 'o';
  return cell.isDim() !== 0 ? 'd' : '';
}

function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
