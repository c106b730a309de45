import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type KeyEvent, KeyParser, keyName } from '../../src/tui/terminal/keys.ts';

function typed(...chunks: readonly (string | Uint8Array)[]): KeyEvent[] {
  const parser = new KeyParser();
  const events: KeyEvent[] = [];
  let now = 0;
  for (const chunk of chunks) {
    now += 1000;
    events.push(...parser.push(typeof chunk === 'string' ? new TextEncoder().encode(chunk) : chunk, now));
  }
  return [...events, ...parser.flush()];
}

const names = (...chunks: readonly string[]): string[] =>
  typed(...chunks).map((event) =>
    event.kind === 'paste' ? `paste ${JSON.stringify(event.text)}` : keyName(event),
  );

describe('keys', () => {
  test.each<[readonly string[], readonly string[]]>([
    [['a'], ['a']],
    [[' '], ['space']],
    [['\r'], ['enter']],
    [
      ['\t', '\u001b[Z'],
      ['tab', 'backtab'],
    ],
    [
      ['\u007f', '\b'],
      ['backspace', 'backspace'],
    ],
    [
      ['\u0003', '\u0012'],
      ['ctrl-c', 'ctrl-r'],
    ],
    [
      ['\u001b[A', '\u001bOB', '\u001b[5~', '\u001b[H', '\u001bOF'],
      ['up', 'down', 'pageup', 'home', 'end'],
    ],
    [['\u001b', '[', 'A'], ['up']],
    [['\u001b'], ['escape']],
    [['\u001bx'], ['escape', 'x']],
    [['\u001b[1;5C', 'a'], ['a']],
    [['\u001b[A\u001b[A\r'], ['up', 'up', 'enter']],
    [['gg'], ['g', 'g']],
  ])('%j are %j', (chunks, expected) => {
    expect(names(...chunks)).toEqual(expected);
  });

  test('a character that is cut in two comes whole', () => {
    const bytes = new TextEncoder().encode('é🎉');
    expect(typed(...Array.from(bytes, (byte) => Uint8Array.of(byte)))).toEqual([
      { kind: 'char', text: 'é' },
      { kind: 'char', text: '🎉' },
    ]);
  });
});

describe('a paste', () => {
  test.each<[readonly string[], readonly string[]]>([
    [['\u001b[200~rm -rf /\r\u001b[201~'], ['paste "rm -rf /\\r"']],
    [
      ['\u001b[200~a\u001b[20', '1~b'],
      ['paste "a"', 'b'],
    ],
    [['\u001b[200~a\u0003\u001b[A\u001b[201~'], ['paste "a\\u0003\\u001b[A"']],
    [['uptime\r'], ['paste "uptime\\r"']],
    [['uptime\nreboot\n'], ['paste "uptime\\nreboot\\n"']],
  ])('%j never presses Enter', (chunks, expected) => {
    expect(names(...chunks)).toEqual(expected);
  });

  test('that brings its own end mark along does not press Enter with what follows', () => {
    const pasted = '\u001b[200~uptime\u001b[201~\r\u001b[201~';
    expect(names(pasted)).not.toContain('enter');
    const parser = new KeyParser();
    parser.push(new TextEncoder().encode('\u001b[200~uptime\u001b[201~'), 1000);
    expect(parser.push(new TextEncoder().encode('\r'), 1010)).toEqual([]);
    expect(parser.push(new TextEncoder().encode('\r'), 1200)).toEqual([{ kind: 'key', name: 'enter' }]);
  });

  test('that the kernel cut before its line end presses none either', () => {
    const parser = new KeyParser();
    expect(parser.push(new TextEncoder().encode('uptime'), 1000).length).toBe(6);
    expect(parser.push(new TextEncoder().encode('\r'), 1010)).toEqual([]);
    expect(parser.push(new TextEncoder().encode('\r'), 1200)).toEqual([{ kind: 'key', name: 'enter' }]);
  });

  test('without an end takes a bounded memory', () => {
    const parser = new KeyParser();
    parser.push(new TextEncoder().encode('\u001b[200~'), 0);
    for (let i = 0; i < 100; i++) parser.push(new TextEncoder().encode('x'.repeat(10_000)), i);
    const [event] = parser.push(new TextEncoder().encode('\u001b[201~'), 200);
    expect(event).toMatchObject({ kind: 'paste' });
    expect(event?.kind === 'paste' ? event.text.length : 0).toBeLessThan(70_000);
  });
});

test('any bytes, however cut, make keys and nothing else', () => {
  const bytes = fc
    .uint8Array({ maxLength: 40 })
    .map((all) => all.map((byte) => (byte % 3 === 0 ? 0x1b : byte)));
  fc.assert(
    fc.property(fc.array(bytes, { maxLength: 5 }), (chunks) => {
      for (const event of typed(...chunks)) expect(['char', 'key', 'paste']).toContain(event.kind);
    }),
    { numRuns: 3000 },
  );
});
