import type { SessionState } from '../model/state.ts';
import { draw } from '../screens/draw.ts';
import type { Canvas } from './canvas.tsx';
import type { Display, DisplayHandlers } from './display.ts';
import { Painter } from './painter.ts';
import { Terminal } from './terminal.ts';

/** The session as a screen of its own: frames laid out by Ink, and of each the lines that changed. */
export class LiveDisplay implements Display {
  private readonly terminal: Terminal;
  private readonly canvas: Canvas;
  private readonly painter = new Painter();
  private readonly ascii: boolean;

  constructor(handlers: DisplayHandlers, canvas: Canvas, options: { readonly ascii: boolean }) {
    this.terminal = new Terminal(handlers);
    this.canvas = canvas;
    this.ascii = options.ascii;
  }

  get columns(): number {
    return this.terminal.columns;
  }

  get rows(): number {
    return this.terminal.rows;
  }

  get isBehind(): boolean {
    return this.terminal.isBehind;
  }

  enter(): void {
    this.terminal.enter();
  }

  show(state: SessionState): void {
    const frame = draw(state, { ascii: this.ascii });
    const lines = this.canvas.lines(frame, state.columns);
    this.terminal.write(this.painter.paint(lines, frame.cursor));
  }

  forget(): void {
    this.painter.forget();
  }

  suspend(): void {
    this.terminal.suspend();
  }

  handOver(use: () => Promise<void>): Promise<void> {
    return this.terminal.handOver(use);
  }

  close(): void {
    this.terminal.close();
    this.canvas.close();
  }
}
