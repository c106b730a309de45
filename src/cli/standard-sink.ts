/** Standard output and error as a run's renderer needs them: with back-pressure, and calm when the reader goes away. */
export class StandardSink {
  private readonly broken: (() => void)[] = [];
  private isBroken = false;

  constructor() {
    for (const stream of [process.stdout, process.stderr]) {
      stream.on('error', (error: NodeJS.ErrnoException) => {
        // `fanout ... | head` is no accident: the reader has what it wanted.
        if (error.code !== 'EPIPE') throw error;
        if (this.isBroken) return;
        this.isBroken = true;
        for (const listener of this.broken) listener();
      });
    }
  }

  write(stream: 'stdout' | 'stderr', bytes: Uint8Array): void {
    if (!this.isBroken) process[stream].write(bytes);
  }

  /** False while the reader is behind. */
  get isReady(): boolean {
    return this.isBroken || !(process.stdout.writableNeedDrain || process.stderr.writableNeedDrain);
  }

  onReady(listener: () => void): void {
    process.stdout.on('drain', listener);
    process.stderr.on('drain', listener);
  }

  /** Called once when the reader of our output has gone; at once when it is gone already. */
  onBroken(listener: () => void): void {
    if (this.isBroken) listener();
    else this.broken.push(listener);
  }

  /** Resolves when everything that was written has left this process. */
  async flushed(): Promise<void> {
    if (this.isBroken) return;
    await Promise.all(
      [process.stdout, process.stderr].map(
        (stream) => new Promise<void>((resolve) => stream.write('', () => resolve())),
      ),
    );
  }
}
