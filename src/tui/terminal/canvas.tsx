import { Box, render } from 'ink';
import { createElement, memo, type ReactElement } from 'react';
import type { Frame } from '../view/line.ts';
import { styled } from './theme.ts';

/** Where Ink believes it writes: it hands over whole frames, which the painter brings to the real terminal. */
class FrameCatcher {
  readonly isTTY = true;
  columns = 80;
  rows = 24;
  frame = '';

  write(text: string): boolean {
    this.frame = text;
    return true;
  }
  on(): this {
    return this;
  }
  off(): this {
    return this;
  }
}

/**
 * One line of the screen. A text node with both dimensions given is not measured by Ink, which keeps every text that it
 * has ever measured.
 */
const ScreenLine = memo(({ text, columns }: { readonly text: string; readonly columns: number }) =>
  createElement(
    'ink-text',
    { style: { width: columns, height: 1, flexShrink: 0, flexGrow: 0, textWrap: 'truncate' } },
    text,
  ),
);

function Screen({
  lines,
  columns,
}: {
  readonly lines: readonly string[];
  readonly columns: number;
}): ReactElement {
  return (
    <Box flexDirection="column" width={columns} height={lines.length}>
      {lines.map((text, row) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a row of the screen is its index
        <ScreenLine key={row} text={text} columns={columns} />
      ))}
    </Box>
  );
}

/** Frames laid out by Ink. */
export class Canvas {
  private readonly catcher = new FrameCatcher();
  private readonly hasColours: boolean;
  private readonly ink: ReturnType<typeof render>;

  constructor(hasColours: boolean) {
    this.hasColours = hasColours;
    this.ink = render(<Screen lines={[]} columns={80} />, {
      stdout: this.catcher as unknown as NodeJS.WriteStream,
      stdin: silentInput() as unknown as NodeJS.ReadStream,
      // Whole frames, at once, and nothing else: no cursor movement, no clearing, no throttle.
      debug: true,
      exitOnCtrlC: false,
      patchConsole: false,
    });
  }

  /** The lines of a frame as the terminal gets them. */
  lines(frame: Frame, columns: number): string[] {
    this.catcher.columns = columns;
    this.catcher.rows = frame.lines.length;
    const lines = frame.lines.map((line) => styled(line, this.hasColours));
    this.ink.rerender(<Screen lines={lines} columns={columns} />);
    return this.catcher.frame.split('\n');
  }

  close(): void {
    this.ink.unmount();
  }
}

/** Ink reads no keys here: they are ours, because a paste must never run anything. */
function silentInput(): object {
  return { isTTY: false, on: () => {}, off: () => {}, setEncoding: () => {}, unref: () => {}, ref: () => {} };
}
