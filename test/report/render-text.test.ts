import { expect, test } from 'vitest';
import { TextRenderer } from '../../src/report/render-text.ts';
import {
  accepted,
  denied,
  ended,
  MemorySink,
  play,
  type Step,
  started,
  untrusted,
} from './renderers-support.ts';

const PIPES = { stdout: false, stderr: false, colours: false };
const TERMINAL = { stdout: true, stderr: true, colours: true };

function rendered(targets: readonly string[], steps: readonly Step[], terminals = PIPES): MemorySink {
  const sink = new MemorySink();
  play(new TextRenderer(sink, terminals), targets, steps);
  return sink;
}

test('stdout goes to stdout and stderr to stderr, each line with its node', () => {
  const { stdout, stderr } = rendered(
    ['web1', 'web2'],
    [
      accepted('web1'),
      started('web1'),
      { out: ['web1', 'stdout', 'one\ntw'] },
      { out: ['web1', 'stderr', 'oops'] },
      accepted('web2'),
      { out: ['web2', 'stdout', 'other\n'] },
      { out: ['web1', 'stdout', 'o\nlast'] },
      ended('web1'),
      ended('web2'),
    ],
  );
  expect(stdout).toBe('web1: one\nweb2: other\nweb1: two\nweb1: last\n');
  expect(stderr).toContain('web1: oops\n');
  expect(stderr).toContain('2 of 2 ran it and returned 0');
});

test('who did not return 0 is named with the reason, when it happens and at the end', () => {
  const { stderr } = rendered(
    ['a', 'b', 'c', 'd', 'e'],
    [
      accepted('a'),
      ended('a', { code: 3 }),
      denied('b', 'no-ps', 'customer names'),
      { kind: 'failed', node: 'c', reason: 'no such program', hint: 'install it' },
      accepted('d'),
      ended('d', { code: null, signal: 'SIGSEGV' }),
      { kind: 'timeout' },
    ],
  );
  expect(stderr).toContain('fanout: a returned 3\n');
  expect(stderr).toContain('fanout: b denied by rule "no-ps": customer names\n');
  expect(stderr).toContain('fanout: c could not start it: no such program\nfanout:   install it\n');
  expect(stderr).toContain('fanout: d died of SIGSEGV\n');
  expect(stderr).toContain('fanout: e unreachable: it never acknowledged the command\n');
  expect(stderr).toContain('0 of 5 ran it and returned 0');
  expect(stderr).toContain('2 returned something else: a,d');
  expect(stderr.match(/^fanout: e /gm)?.length).toBe(1);
});

test('nothing of a target that is not trusted is shown any more', () => {
  const { stdout, stderr } = rendered(
    ['web1'],
    [
      accepted('web1'),
      { out: ['web1', 'stdout', 'before\n'] },
      untrusted('web1'),
      { out: ['web1', 'stdout', 'after\n'] },
      { out: ['stranger', 'stdout', 'who\n'] },
    ],
  );
  expect(stdout).toBe('web1: before\n');
  expect(stderr).toContain('NOT TRUSTED: its key has changed');
});

test('a pipe gets the bytes, a terminal gets nothing to obey', () => {
  const steps: Step[] = [
    accepted('n'),
    { out: ['n', 'stdout', 'a\u001b]0;t\u0007\u001b[31mb\rc\n'] },
    ended('n'),
  ];
  expect(rendered(['n'], steps).stdout).toBe('n: a\u001b]0;t\u0007\u001b[31mb\rc\n');
  expect(rendered(['n'], steps, TERMINAL).stdout).toBe(
    '\u001b[4mn:\u001b[0m a\u241b]0;t\u2407\u001b[31mb\u240dc\u001b[0m\n',
  );
  expect(rendered(['n'], steps, { ...TERMINAL, colours: false }).stdout).toBe(
    'n: a\u241b]0;t\u2407b\u240dc\n',
  );
});

test('reasons, rules, hints and names of a node cannot drive the terminal, not even through a pipe', () => {
  const evil = 'x\u001b[2J\r\n\u202e';
  const { stderr } = rendered([`n${evil}`], [{ kind: 'failed', node: `n${evil}`, reason: evil, hint: evil }]);
  expect(stderr).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
  const other = rendered(['m'], [denied('m', evil, evil)]).stderr;
  expect(other).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
});

test('a line of our own does not end up in the middle of a long line of a node', () => {
  const long = 'x'.repeat(100_000);
  const { stderr } = rendered(
    ['a', 'b'],
    [
      accepted('a'),
      { out: ['a', 'stderr', long] },
      denied('b', '', 'no'),
      { out: ['a', 'stderr', 'y\n'] },
      ended('a'),
    ],
  );
  expect(stderr.startsWith(`a: ${long}\nfanout: b denied: no\na: y\n`)).toBe(true);
});
