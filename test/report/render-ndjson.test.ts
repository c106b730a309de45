import fc from 'fast-check';
import { expect, test } from 'vitest';
import { NdjsonRenderer } from '../../src/report/render-ndjson.ts';
import { FINAL_STATES } from '../../src/run/model.ts';
import {
  accepted,
  acked,
  denied,
  ended,
  MemorySink,
  play,
  type Step,
  started,
  untrusted,
} from './renderers-support.ts';

interface Line {
  readonly event: string;
  readonly node?: string;
  readonly text?: string;
  readonly base64?: string;
  readonly [key: string]: unknown;
}

function linesOf(sink: MemorySink): Line[] {
  expect(sink.stdout.endsWith('\n')).toBe(true);
  return sink.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
}

function rendered(targets: readonly string[], steps: readonly Step[]): Line[] {
  const sink = new MemorySink();
  play(new NdjsonRenderer(sink, { argv: ['ps', 'ax'], targets, timeoutMs: 30_000 }), targets, steps);
  expect(sink.stderr).toBe('');
  return linesOf(sink);
}

/** The bytes that the lines of one stream carry. */
function bytesOf(lines: readonly Line[], event: 'stdout' | 'stderr'): Buffer {
  return Buffer.concat(
    lines
      .filter((line) => line.event === event)
      .map(({ text, base64 }) =>
        text === undefined ? Buffer.from(base64 ?? '', 'base64') : Buffer.from(text),
      ),
  );
}

test('tells a run from its start to its summary', () => {
  const lines = rendered(
    ['web1', 'web2'],
    [
      acked('web1'),
      accepted('web1', true),
      started('web1'),
      { out: ['web1', 'stdout', 'hi\n'] },
      denied('web2', 'never', 'no shells'),
      ended('web1'),
    ],
  );
  expect(lines[0]).toMatchObject({ event: 'start', argv: ['ps', 'ax'], targets: ['web1', 'web2'] });
  expect(lines.map(({ event, node }) => (node === undefined ? event : `${event} ${node}`))).toEqual([
    'start',
    'ack web1',
    'accepted web1',
    'started web1',
    'stdout web1',
    'denied web2',
    'exit web1',
    'summary',
  ]);
  expect(lines[2]).toMatchObject({
    rule: 'basics',
    program: '/bin/ps',
    sandbox: 'standard',
    firstSeen: true,
  });
  expect(lines[5]).toMatchObject({ rule: 'never', reason: 'no shells' });
  expect(lines[6]).toMatchObject({ code: 0, signal: null, cause: 'exit', stdoutBytes: 3 });
  expect(lines[7]).toMatchObject({ exit: 5, targets: 2, states: { exited: 1, denied: 1 } });
});

test('a character that chunks cut in two stays text, and what is no text is base64', () => {
  const bytes = Buffer.from('é世🎉');
  const cut = Array.from(bytes, (byte): Step => ({ out: ['n', 'stdout', Uint8Array.of(byte)] }));
  const lines = rendered(['n'], [accepted('n'), ...cut, ended('n')]);
  expect(lines.filter((line) => line.event === 'stdout').map(({ text }) => text)).toEqual(['é', '世', '🎉']);
  const binary = rendered(
    ['n'],
    [accepted('n'), { out: ['n', 'stderr', Uint8Array.of(0xff, 0)] }, ended('n')],
  );
  expect(binary.find((line) => line.event === 'stderr')).toMatchObject({ base64: '/wA=' });
});

test('every byte arrives, however it is cut', () => {
  const chunk = fc.oneof(
    fc.uint8Array({ maxLength: 12 }),
    fc.string({ unit: 'grapheme' }).map((text) => Buffer.from(text)),
  );
  fc.assert(
    fc.property(fc.array(chunk, { maxLength: 12 }), (chunks) => {
      const lines = rendered(
        ['n'],
        [accepted('n'), ...chunks.map((data): Step => ({ out: ['n', 'stdout', data] })), ended('n')],
      );
      expect(bytesOf(lines, 'stdout')).toEqual(Buffer.concat(chunks));
      const kinds = lines.map(({ event }) => event);
      expect(kinds.lastIndexOf('stdout')).toBeLessThan(kinds.indexOf('exit'));
    }),
  );
});

test('every target ends in exactly one line, and nothing of it comes after that', () => {
  const steps: Step[] = [
    accepted('a'),
    started('a'),
    { out: ['a', 'stdout', 'x'] },
    untrusted('a'),
    { out: ['a', 'stdout', 'y'] },
    acked('a'),
    accepted('a'),
    ended('a'),
    accepted('b'),
    started('b'),
    { kind: 'timeout' },
    { kind: 'grace-over' },
  ];
  const lines = rendered(['a', 'b', 'c'], steps);
  const finals = ['exit', ...FINAL_STATES] as readonly string[];
  for (const node of ['a', 'b', 'c']) {
    const kinds = lines.filter((line) => line.node === node).map(({ event }) => event);
    expect(kinds.filter((kind) => finals.includes(kind)).length, node).toBe(1);
    expect(finals, node).toContain(kinds.at(-1));
  }
  expect(bytesOf(lines, 'stdout').toString()).toBe('x');
});

test('no line holds anything that a terminal would obey', () => {
  const sink = new MemorySink();
  const evil = '\u001b]0;t\u0007\u009b2J\u007f\u202e\u200b\u{e0041}\u2028\r';
  play(
    new NdjsonRenderer(sink, { argv: [evil], targets: ['n'], timeoutMs: 1 }),
    ['n'],
    [accepted('n'), { out: ['n', 'stdout', evil] }, { kind: 'failed', node: 'n', reason: evil, hint: evil }],
  );
  expect(sink.stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u202e\u200b\u{e0041}]/u);
  expect(linesOf(sink).find((line) => line.event === 'stdout')?.text).toBe(evil);
});
