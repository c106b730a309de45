import fc from 'fast-check';
import { expect, test } from 'vitest';
import { JsonRenderer } from '../../src/report/render-json.ts';
import { accepted, denied, ended, MemorySink, play, type Step, untrusted } from './renderers-support.ts';

interface Output {
  readonly text?: string;
  readonly base64?: string;
}
interface Whole {
  readonly argv: string[];
  readonly exit: number;
  readonly nodes: {
    readonly node: string;
    readonly state: string;
    readonly stdout: Output;
    readonly stderr: Output;
  }[];
}

function rendered(targets: readonly string[], steps: readonly Step[]): Whole {
  const sink = new MemorySink();
  play(new JsonRenderer(sink, { argv: ['ps'], targets, timeoutMs: 1 }), targets, steps);
  return JSON.parse(sink.stdout) as Whole;
}

function bytesOf({ text, base64 }: Output): Buffer {
  return text === undefined ? Buffer.from(base64 ?? '', 'base64') : Buffer.from(text);
}

test('one object has every target with its state and its whole output', () => {
  const whole = rendered(
    ['web1', 'web2'],
    [
      accepted('web1'),
      { out: ['web1', 'stdout', 'a'] },
      { out: ['web1', 'stderr', 'oops\n'] },
      { out: ['web1', 'stdout', 'b\n'] },
      denied('web2', 'never', 'no'),
      ended('web1', { code: 2 }),
    ],
  );
  expect(whole).toMatchObject({ argv: ['ps'], exit: 5 });
  expect(whole.nodes[0]).toMatchObject({
    node: 'web1',
    state: 'exited',
    code: 2,
    stdout: { text: 'ab\n' },
    stderr: { text: 'oops\n' },
  });
  expect(whole.nodes[1]).toMatchObject({
    node: 'web2',
    state: 'denied',
    rule: 'never',
    stdout: { text: '' },
  });
});

test('output is exact: as text when all of it is valid UTF-8, else as base64', () => {
  const chunk = fc.oneof(
    fc.uint8Array({ maxLength: 9 }),
    fc.string({ unit: 'grapheme' }).map((text) => Buffer.from(text)),
  );
  fc.assert(
    fc.property(fc.array(chunk, { maxLength: 9 }), (chunks) => {
      const whole = rendered(
        ['n'],
        [accepted('n'), ...chunks.map((data): Step => ({ out: ['n', 'stdout', data] })), ended('n')],
      );
      const all = Buffer.concat(chunks);
      const { stdout } = whole.nodes[0]!;
      expect(bytesOf(stdout)).toEqual(all);
      expect(stdout.text !== undefined).toBe(Buffer.from(all.toString()).equals(all));
    }),
    { numRuns: 500 },
  );
});

test('a character that chunks cut in two is text', () => {
  const [first, ...rest] = Buffer.from('🎉');
  const steps: Step[] = [
    accepted('n'),
    { out: ['n', 'stdout', Uint8Array.of(first!)] },
    { out: ['n', 'stdout', Uint8Array.from(rest)] },
    ended('n'),
  ];
  expect(rendered(['n'], steps).nodes[0]?.stdout).toEqual({ text: '🎉' });
});

test('output in very many pieces is held whole', () => {
  const pieces = Array.from({ length: 200_000 }, (): Step => ({ out: ['n', 'stdout', 'x'] }));
  expect(rendered(['n'], [accepted('n'), ...pieces, ended('n')]).nodes[0]?.stdout.text?.length).toBe(200_000);
});

test('what comes from a target that is not trusted any more is left out', () => {
  const steps: Step[] = [
    accepted('n'),
    { out: ['n', 'stdout', 'a'] },
    untrusted('n'),
    { out: ['n', 'stdout', 'b'] },
  ];
  expect(rendered(['n'], steps).nodes[0]).toMatchObject({ state: 'untrusted', stdout: { text: 'a' } });
});

test('nothing to obey is written, and a run without targets is an object too', () => {
  const sink = new MemorySink();
  const evil = '\u001b]0;t\u0007\u009b\u202e\u{e0041}';
  const head = { argv: [evil], targets: ['n'], timeoutMs: 1 };
  play(new JsonRenderer(sink, head), ['n'], [accepted('n'), { out: ['n', 'stdout', evil] }, ended('n')]);
  expect(sink.stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e\u{e0041}]/u);
  expect((JSON.parse(sink.stdout) as Whole).nodes[0]?.stdout.text).toBe(evil);
  expect(rendered([], [])).toMatchObject({ exit: 3, nodes: [] });
});
