import { expect, test } from 'vitest';
import { createRenderer } from '../../src/report/renderers.ts';
import { type RunEvent, reduceRun, startRun } from '../../src/run/model.ts';
import { accepted } from './renderers-support.ts';

const MIB = 2 ** 20;
const TOTAL_BYTES = 200 * MIB;
/** Far below what is sent, far above what the collector leaves lying about. */
const GROWTH_BYTES_MAX = 130 * MIB;
const CHUNK_BYTES = 65_536;

const KINDS: Readonly<Record<string, Buffer>> = {
  lines: Buffer.alloc(CHUNK_BYTES, 'a line of output as many programs write it\n'),
  'one line without end': Buffer.alloc(CHUNK_BYTES, 'x'),
};

function usedBytes(): number {
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

test.each(
  Object.keys(KINDS).flatMap((kind) => [
    ['text', 'pipe', kind] as const,
    ['text', 'terminal', kind] as const,
    ['ndjson', 'pipe', kind] as const,
  ]),
)('200 MiB of one node as %s to a %s take no memory: %s', (format, place, kind) => {
  const isTerminal = place === 'terminal';
  let writtenBytes = 0;
  const sink = {
    write: (_stream: string, bytes: Uint8Array): void => {
      writtenBytes += bytes.length;
    },
  };
  const head = { argv: ['cat'], targets: ['n'], timeoutMs: 1 };
  const renderer = createRenderer({ format }, sink, head, {
    stdout: isTerminal,
    stderr: isTerminal,
    colours: isTerminal,
  });
  let state = reduceRun(startRun(['n'], 1, 0), accepted('n'), 1);
  const chunk = KINDS[kind]!;
  const before = usedBytes();
  let peak = before;
  for (let sent = 0; sent < TOTAL_BYTES; sent += chunk.length) {
    const event: RunEvent = { kind: 'output', node: 'n', stream: 'stdout', bytes: chunk.length };
    state = reduceRun(state, event, 2);
    renderer.event(state, event, chunk);
    peak = Math.max(peak, usedBytes());
  }
  renderer.end(reduceRun(state, { kind: 'agent-lost' }, 3));
  expect(peak - before).toBeLessThan(GROWTH_BYTES_MAX);
  // A terminal gets the beginning of an endless line, everybody else gets all of it.
  if (isTerminal && kind !== 'lines') expect(writtenBytes).toBeLessThan(MIB);
  else expect(writtenBytes).toBeGreaterThan(TOTAL_BYTES);
});
