import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LineOutput, LineWriter, type LineWriterOptions } from '../../src/report/line-writer.ts';

/** What writers wrote, in pieces and as one text. */
class Memory {
  readonly pieces: Buffer[] = [];
  readonly output = new LineOutput((bytes) => this.pieces.push(Buffer.from(bytes)));

  writer(node: string, mode: LineWriterOptions['mode']): LineWriter {
    return new LineWriter({ label: `${node}: `, mode, output: this.output });
  }
  get bytes(): Buffer {
    return Buffer.concat(this.pieces);
  }
  get text(): string {
    return this.bytes.toString();
  }
}

function written(mode: LineWriterOptions['mode'], ...chunks: (string | Uint8Array)[]): string {
  const memory = new Memory();
  const writer = memory.writer('web1', mode);
  for (const chunk of chunks) writer.push(Buffer.from(chunk));
  writer.end();
  return memory.text;
}

describe.each(['raw', 'plain'] as const)('lines (%s)', (mode) => {
  test.each([
    ['whole lines', ['a\nb\n'], 'web1: a\nweb1: b\n'],
    ['a last line without its end', ['a\nb'], 'web1: a\nweb1: b\n'],
    ['a line in pieces', ['a', 'b', 'c\nd'], 'web1: abc\nweb1: d\n'],
    ['empty lines', ['\n\na\n'], 'web1: \nweb1: \nweb1: a\n'],
    ['nothing', [''], ''],
    ['nothing at all', [], ''],
    ['an end that comes by itself', ['a', '\n'], 'web1: a\n'],
  ])('%s', (_name, chunks, expected) => expect(written(mode, ...chunks)).toBe(expected));

  test('each has its label, however the stream is cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('a', 'bc', '\n', 'é', ' '), { size: 'max', maxLength: 60 }),
        fc.nat({ max: 9 }),
        (parts, size) => {
          const bytes = Buffer.from(parts.join(''));
          const chunks = Array.from({ length: Math.ceil(bytes.length / (size + 1)) }, (_, i) =>
            bytes.subarray(i * (size + 1), (i + 1) * (size + 1)),
          );
          const lines = parts.join('').replace(/\n$/, '').split('\n');
          const expected = bytes.length === 0 ? '' : lines.map((line) => `web1: ${line}\n`).join('');
          expect(written(mode, ...chunks)).toBe(expected);
        },
      ),
    );
  });

  test('of different nodes do not mix', () => {
    const memory = new Memory();
    const [a, b] = [memory.writer('a', mode), memory.writer('b', mode)];
    a.push(Buffer.from('1'));
    b.push(Buffer.from('2\n3'));
    a.push(Buffer.from('1\n'));
    b.end();
    expect(memory.text).toBe('b: 2\na: 11\nb: 3\n');
  });

  test('of a whole chunk are written at once', () => {
    const memory = new Memory();
    memory.writer('a', mode).push(Buffer.from('1\n2\n3\n'));
    expect(memory.pieces.length).toBe(1);
  });

  test('a chunk of nothing but line ends', () => {
    expect(written(mode, Buffer.alloc(300_000, '\n')).length).toBe(300_000 * 'web1: \n'.length);
  });

  test('a label cannot break out of its line', () => {
    const memory = new Memory();
    const writer = memory.writer('a\n\u001b[2Jb', mode);
    writer.push(Buffer.from('x\n'));
    expect(memory.text).toBe('a \u241b[2Jb: x\n');
  });
});

describe('raw lines', () => {
  test('keep their bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 8 }), (chunks) => {
        const memory = new Memory();
        const writer = memory.writer('n', 'raw');
        for (const chunk of chunks) writer.push(chunk);
        writer.end();
        const bytes = Buffer.concat(chunks).toString('latin1');
        const expected =
          bytes === ''
            ? ''
            : bytes
                .replace(/\n$/, '')
                .split('\n')
                .map((line) => `n: ${line}\n`)
                .join('');
        expect(memory.bytes.toString('latin1')).toBe(expected);
      }),
    );
  });

  test('that are long go out before they end, whole when nobody comes in between', () => {
    const memory = new Memory();
    const writer = memory.writer('n', 'raw');
    const chunk = Buffer.alloc(65_536, 'x');
    for (let i = 0; i < 10; i++) writer.push(chunk);
    expect(memory.bytes.length).toBeGreaterThan(500_000);
    writer.push(Buffer.from('\nnext\n'));
    expect(memory.text).toBe(`n: ${'x'.repeat(655_360)}\nn: next\n`);
  });

  test('that are long are broken where another node comes in between, and go on with their label', () => {
    const memory = new Memory();
    const [long, other] = [memory.writer('long', 'raw'), memory.writer('other', 'raw')];
    const half = 'x'.repeat(100_000);
    long.push(Buffer.from(half));
    other.push(Buffer.from('hello\n'));
    long.push(Buffer.from(`${half}\n`));
    expect(memory.text).toBe(`long: ${half}\nother: hello\nlong: ${half}\n`);
  });

  test('that are long and end with the stream get their line end', () => {
    expect(written('raw', Buffer.alloc(100_000, 'x'))).toBe(`web1: ${'x'.repeat(100_000)}\n`);
  });

  test('that come in ten thousand pieces stay one line', () => {
    const memory = new Memory();
    const [a, b] = [memory.writer('a', 'raw'), memory.writer('b', 'raw')];
    for (let i = 0; i < 10_000; i++) a.push(Buffer.from('x'));
    b.push(Buffer.from('y\n'));
    a.push(Buffer.from('\n'));
    expect(memory.text).toBe(`b: y\na: ${'x'.repeat(10_000)}\n`);
  });
});

describe('lines on a terminal', () => {
  test('are cleaned, also where a chunk cuts a sequence or a character', () => {
    const bytes = Buffer.from('a\u001b]0;title\u0007é\u001b[2Jb\n');
    const shown = 'web1: a\u241b]0;title\u2407é\u241b[2Jb\n';
    expect(written('plain', bytes)).toBe(shown);
    expect(written('plain', ...Array.from(bytes, (byte) => Uint8Array.of(byte)))).toBe(shown);
  });

  test('have an underlined label where colours are on, and colours end with their line', () => {
    expect(written('colour', '\u001b[31mred\nplain\n')).toBe(
      '\u001b[4mweb1:\u001b[0m \u001b[31mred\u001b[0m\n\u001b[4mweb1:\u001b[0m plain\n',
    );
  });

  test('are cut where they get too wide, and say so', () => {
    expect(written('plain', `${'x'.repeat(4096)}\n`)).toBe(`web1: ${'x'.repeat(4096)}\n`);
    expect(written('plain', `${'x'.repeat(4097)}\nnext\n`)).toBe(
      `web1: ${'x'.repeat(4096)} \u27e8cut at 4096 columns; all of it with | cat\u27e9\nweb1: next\n`,
    );
    expect(written('plain', `${'世'.repeat(3000)}\n`)).toMatch(/^web1: 世{2048} ⟨cut/);
    expect(written('plain', `${'\t'.repeat(600)}\n`)).toMatch(/^web1: \t{512} ⟨cut/);
  });

  test('that are cut close their colour', () => {
    expect(written('colour', `\u001b[31m${'x'.repeat(5000)}\n`)).toContain('x\u001b[0m \u27e8cut');
  });

  test('are cut alike however the stream is cut, and never within a sequence', () => {
    const line = Buffer.from(`${'\u001b[31mx\u0301'.repeat(9000)}${'🎉'.repeat(3000)}\nend\n`);
    const whole = written('colour', line);
    for (const size of [1, 7, 1000, 16_384]) {
      const chunks = Array.from({ length: Math.ceil(line.length / size) }, (_, i) =>
        line.subarray(i * size, (i + 1) * size),
      );
      expect(written('colour', ...chunks) === whole, `chunks of ${size}`).toBe(true);
    }
    expect(whole.replace(/\u001b\[[0-9;]*m/g, '')).not.toContain('\u001b');
    expect(whole.length).toBeLessThan(17_000);
  });

  test.each([
    ['characters', 'x'],
    ['combining marks', '\u0301'],
    ['colours', '\u001b[31m'],
    ['control characters', '\u0000'],
  ])('a line of %s without end takes no memory', (_name, part) => {
    const memory = new Memory();
    const writer = memory.writer('n', 'colour');
    const chunk = Buffer.from(part.repeat(20_000));
    for (let i = 0; i < 200; i++) writer.push(chunk);
    writer.push(Buffer.from('\n'));
    expect(memory.bytes.length).toBeLessThan(80_000);
    expect(memory.text).toContain('\u27e8cut at');
  });
});
