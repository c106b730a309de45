import { spawn } from 'node:child_process';

/** Runs the person's pager on a text, without a shell. Resolves when it has ended; false when it could not be started. */
export function runPager(command: string, lines: Iterable<string>): Promise<boolean> {
  const [file = 'less', ...args] = command.split(/\s+/).filter((word) => word !== '');
  const child = spawn(file, args, { stdio: ['pipe', 'inherit', 'inherit'], shell: false });
  return new Promise((resolve) => {
    child.once('error', () => resolve(false));
    child.once('close', () => resolve(true));
    // Whoever leaves the pager early has seen enough.
    child.stdin.on('error', () => {});
    feed(child.stdin, lines[Symbol.iterator]());
  });
}

function feed(input: NodeJS.WritableStream, lines: Iterator<string>): void {
  for (;;) {
    const next = lines.next();
    if (next.done === true) return void input.end();
    if (!input.write(`${next.value}\n`)) {
      input.once('drain', () => feed(input, lines));
      return;
    }
  }
}
